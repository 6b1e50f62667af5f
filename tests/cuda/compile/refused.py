"""refused.py NVCC INCLUDE SOURCE: what a .cu must not say, and what nvcc then answers.

SOURCE is several programs, as in tests/compile: HEED_WRONG 0 must compile without a warning, each
other must fail with a message that matches its line `// expect: regex`.
"""

import re
import subprocess
import sys
from pathlib import Path


def compiled(nvcc, include, source, wrong):
    command = [nvcc, "-std=c++20", "-arch=sm_80", f"-I{include}", f"-DHEED_WRONG={wrong}",
               "-Werror=all-warnings", "-Xptxas=-O0", "-ptx", "-o", "/dev/null", source]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.returncode == 0, run.stdout + run.stderr


def main(nvcc, include, source):
    expected = re.findall(r"^// expect: (.+)$", Path(source).read_text(encoding="utf-8"), re.M)
    good, text = compiled(nvcc, include, source, 0)
    if not good:
        return f"program 0 must compile, but:\n{text}"
    for wrong, pattern in enumerate(expected, 1):
        good, text = compiled(nvcc, include, source, wrong)
        if good:
            return f"program {wrong} compiles, but must not"
        if not re.search(pattern, text):
            return f"program {wrong}: nothing matches '{pattern}' in:\n{text}"
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
