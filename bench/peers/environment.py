"""The throw-away virtual environment of the peers, outside the tree.

    python3 environment.py      makes it where it is missing and prints its Python
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
NEEDED_BYTES = 4 << 30


def cache_folder():
    cache = os.environ.get("HEED_CACHE")
    if cache:
        return Path(cache)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heed"


def run(*command, **options):
    """The output of a command; ends the program with the command's last words where it fails."""
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"peers: {command[0]} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def python():
    """The Python of the environment, which is made first where it is missing or out of date."""
    folder = cache_folder() / "peers"
    marker = folder / "requirements.txt"  # written last
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not marker.exists() or marker.read_text(encoding="utf-8") != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < NEEDED_BYTES:
            sys.exit(f"peers: {folder} needs {NEEDED_BYTES >> 30} GiB of free space")
        shutil.rmtree(folder)
        make(folder)
        marker.write_text(wanted, encoding="utf-8")
    return folder / "bin" / "python"


def make(folder):
    say(f"installing the peers into {folder} (once, about 2 GB)")
    run(sys.executable, "-m", "venv", folder)
    interpreter = folder / "bin" / "python"
    # --no-deps: torch from PyPI would bring three gigabytes of CUDA, which a processor never calls.
    run(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary", ":all:", "--requirement", REQUIREMENTS)
    library = run(interpreter, "-c", "import importlib.util as u;"
                  "print(u.find_spec('torch').submodule_search_locations[0])").strip()
    stand_in_for_cuda(Path(library) / "lib")
    run(interpreter, "-c", "import torch, onnxruntime, openvino, onnx")


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


# --- torch without CUDA --------------------------------------------------------------------------

IS_CUDA = re.compile(r"_{0,2}(cu|nccl|nv)")


def stand_in_for_cuda(folder):
    """Libraries with CUDA's names in torch's folder, so that torch can be loaded without CUDA.

    Every function in them returns 100, CUDA's word for "there is no device".
    """
    libraries = sorted(folder.glob("*.so"))
    present = {path.name for path in folder.iterdir()}
    missing, home, wanted, defined = set(), {}, {}, set()
    for path in libraries:
        needed = re.findall(r"NEEDED.*\[(lib.*)\]", run("readelf", "-d", path))
        missing |= {name for name in needed if IS_CUDA.match(name[3:]) and name not in present}
        home |= version_homes(path)
        for symbol, version, is_wanted in symbols(path):
            if not is_wanted:
                defined.add(symbol)
            elif IS_CUDA.match(symbol):
                wanted[symbol] = version
    for library in sorted(missing):
        versions = sorted(version for version in home if home[version] == library)
        mine = {symbol: version for symbol, version in wanted.items() if symbol not in defined
                and (version in versions or not version)}
        link(folder / library, mine, versions)


def version_homes(path):
    """Which library each version of a symbol comes from, as `path` wants it."""
    homes, library = {}, None
    for line in run("readelf", "-V", "-W", path).splitlines():
        if found := re.search(r"File: (\S+)", line):
            library = found[1]
        elif (found := re.search(r"Name: (\S+) ", line)) and library:
            homes[found[1]] = library
    return homes


def symbols(path):
    """(name, version, whether another library must define it) of each dynamic symbol."""
    for line in run("nm", "-D", path).splitlines():
        *_, kind, symbol = line.split()
        name, _, version = symbol.partition("@")
        yield name, version.strip("@"), kind in "Uw"


def link(path, names, versions):
    source = ".text\n" + "".join(f".globl {name}\n.type {name},@function\n{name}:\n"
                                 for name in names) + "mov $100,%eax\nret\n"
    command = ["gcc", "-shared", "-nostdlib", "-x", "assembler", "-", "-o", path,
               f"-Wl,-soname,{path.name}"]
    with tempfile.NamedTemporaryFile("w", suffix=".map") as script:
        for version in versions:
            mine = " ".join(f"{name};" for name in names if names[name] == version)
            script.write(f"{version} {{ global: {mine} }};\n")
        script.flush()
        if versions:
            command.append(f"-Wl,--version-script,{script.name}")
        run(*command, input=source)


if __name__ == "__main__":
    print(python())
