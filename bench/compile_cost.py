#!/usr/bin/env python3
"""What including and using heed costs a compiler, against Eigen's Tensor header alone.

    compile_cost.py [--compiler CXX] [--rounds N] [--quick] [FLAGS...]

The units are compiled in turns, at -O2 and without -march; processor seconds and memory are the
best of the rounds. --quick only checks that the longest unit compiles.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EIGEN = "#include <unsupported/Eigen/CXX11/Tensor>\n"
HEED = "#include <heed/heed.hpp>\n"
TENSORS = ("const heed::Tensor4<float>& q, const heed::Tensor4<float>& k, "
           "const heed::Tensor4<float>& v")
FORWARD = f"{HEED}auto forward({TENSORS}) {{ return heed::attention(q, k, v); }}\n"
CAUSAL = (f"{HEED}auto forward({TENSORS}) "
          "{ return heed::attention(q, k, v, heed::mask::causal()); }\n")

# name, source, allowed as a multiple of the first unit's seconds
UNITS = [("Eigen's Tensor", EIGEN, None), ("heed.hpp", HEED, 1.5), ("one forward", FORWARD, 3.0),
         ("one causal forward", CAUSAL, 3.0)]
ALLOWED_MIB = 1024


def compile_once(command):
    """(processor seconds, MiB) of one run of the compiler."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"compile_cost: failed: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(folder, arguments):
    """The best (seconds, MiB) of each unit."""
    best = [(float("inf"), float("inf"))] * len(UNITS)
    output = ["-O2", "-c", "-o", str(folder / "unit.o")]
    for _ in range(arguments.rounds):
        for n, (_, source, _) in enumerate(UNITS):
            unit = folder / f"unit{n}.cpp"
            unit.write_text(source, encoding="utf-8")
            best[n] = tuple(map(min, best[n], compile_once(
                [arguments.compiler, "-std=c++20", *arguments.flags, *output, str(unit)])))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    arguments, arguments.flags = parser.parse_known_args()
    arguments.flags = arguments.flags or [f"-I{ROOT / 'include'}", "-isystem/usr/include/eigen3"]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            unit = Path(folder) / "unit.cpp"
            unit.write_text(CAUSAL, encoding="utf-8")
            compile_once([arguments.compiler, "-std=c++20", "-fsyntax-only", *arguments.flags,
                          str(unit)])
            return
        best = measure(Path(folder), arguments)
    print(f"{'':<20}{'seconds':>8}{'of Eigen':>10}{'goal':>6}{'MiB':>6}{'goal':>6}")
    for (name, _, allowed), (seconds, mib) in zip(UNITS, best):
        print(f"{name:<20}{seconds:>8.1f}{seconds / best[0][0]:>10.2f}"
              f"{allowed or '':>6}{mib:>6.0f}{ALLOWED_MIB if allowed else '':>6}")


if __name__ == "__main__":
    main()
