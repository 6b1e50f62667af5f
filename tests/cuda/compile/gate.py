"""What one kernel may cost to compile, and what it may not do.

  gate.py NVCC INCLUDE SOURCE ARCH REGISTERS KIB SECONDS DEFINES...

Compiles SOURCE for one architecture and fails on spilled registers or a stack frame, on ptxas notes
that it serialises what should overlap, on more registers than two blocks an SM leave, and on more
than SECONDS of processor time, 1.5 GB of memory or KIB KiB of object. Time is the better of two
tries: a core shared with another program takes up to twice as long.
"""

import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SERIALISED = re.compile(r"C7508|C7510|C7514|C7517")
MAX_BYTES = 1.5e9


def complaints_about(text, object_bytes, limits):
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill", text)]
    frames = [int(n) for n in re.findall(r"(\d+) bytes stack frame", text)]
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", text)]
    if not registers or not frames:
        yield "ptxas said nothing of registers"
    if any(spills):
        yield f"spills {max(spills)} bytes"
    if any(frames):
        yield f"has a stack frame of {max(frames)} bytes"
    if max(registers, default=0) > limits["registers"]:
        yield f"takes {max(registers)} registers, more than {limits['registers']}"
    for note in sorted(set(SERIALISED.findall(text))):
        yield f"ptxas note {note}"
    if object_bytes > limits["kib"] * 1024:
        yield f"the object has {object_bytes / 1024:.0f} KiB, more than {limits['kib']}"


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def self_test():
    good = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\nUsed 200 registers"
    limits = {"registers": 255, "kib": 150}
    wrong = [good.replace("0 bytes spill stores", "8 bytes spill stores"),
             good.replace("0 bytes stack", "16 bytes stack"), good.replace("200", "256"),
             good + "\nptxas info : (C7510) Potential Performance Loss", ""]
    assert not list(complaints_about(good, 1024, limits))
    assert list(complaints_about(good, 151 * 1024, limits))
    for text in wrong:
        assert list(complaints_about(text, 1024, limits)), text


def main(arguments):
    if arguments == ["self-test"]:
        return self_test()
    nvcc, include, source, arch, registers, kib, most_seconds, *defines = arguments
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "kernel.o"
        command = [nvcc, "-std=c++20", f"-gencode=arch=compute_{arch},code=sm_{arch}",
                   f"-I{include}", "-Xptxas=-v", "-Werror=all-warnings", "-c", source, "-o",
                   str(target), *[f"-D{define}" for define in defines]]
        seconds = float("inf")
        for _ in range(2):
            if seconds <= float(most_seconds):
                break
            before = processor_seconds()
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            seconds = min(seconds, processor_seconds() - before)
            text = run.stdout + run.stderr
            if run.returncode != 0:
                sys.exit(f"does not compile:\n{text}")
        size = target.stat().st_size
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    limits = {"registers": int(registers), "kib": int(kib)}
    complaints = list(complaints_about(text, size, limits))
    if seconds > float(most_seconds):
        complaints.append(f"takes {seconds:.1f} s of processor time, more than {most_seconds}")
    if used.ru_maxrss * 1024 > MAX_BYTES:
        complaints.append(f"takes {used.ru_maxrss / 1e6:.2f} GB, more than 1.5")
    found = re.findall(r"Used (\d+) registers", text)
    print(f"sm_{arch}: {found} registers, {size / 1024:.0f} KiB, {seconds:.1f} s, "
          f"{used.ru_maxrss / 1e6:.2f} GB")
    return "\n".join(complaints) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
