"""What one kernel may cost to compile, and what it may not do.

  gate.py NVCC INCLUDE SOURCE ARCH REGISTERS DEFINES...

Compiles SOURCE for one architecture and fails on spilled registers or a stack frame, on ptxas notes
that it serialises what should overlap, on more than REGISTERS registers, and on more than 10 s
of processor time, 1.5 GB of memory or 150 kB of object. Time is what nvcc and its children
compute, neither the clock's nor the system's, and the better of two tries: a core shared with
another program takes up to twice as long.
"""

import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SERIALISED = re.compile(r"C7508|C7510|C7514|C7517")
MAX_OBJECT_BYTES = 150e3
MAX_SECONDS = 10
MAX_BYTES = 1.5e9


def complaints_about(text, object_bytes, most_registers):
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill", text)]
    frames = [int(n) for n in re.findall(r"(\d+) bytes stack frame", text)]
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", text)]
    if not registers or not frames:
        yield "ptxas said nothing of registers"
    if any(spills):
        yield f"spills {max(spills)} bytes"
    if any(frames):
        yield f"has a stack frame of {max(frames)} bytes"
    if max(registers, default=0) > most_registers:
        yield f"takes {max(registers)} registers, more than {most_registers}"
    for note in sorted(set(SERIALISED.findall(text))):
        yield f"ptxas note {note}"
    if object_bytes > MAX_OBJECT_BYTES:
        yield f"the object has {object_bytes / 1e3:.1f} kB, more than {MAX_OBJECT_BYTES / 1e3:.0f}"


def processor_seconds():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def self_test():
    good = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\nUsed 200 registers"
    wrong = [good.replace("0 bytes spill stores", "8 bytes spill stores"),
             good.replace("0 bytes stack", "16 bytes stack"), good.replace("200", "256"),
             good + "\nptxas info : (C7510) Potential Performance Loss", ""]
    assert not list(complaints_about(good, 150000, 255))
    assert list(complaints_about(good, 150001, 255))
    for text in wrong:
        assert list(complaints_about(text, 1024, 255)), text


def main(arguments):
    if arguments == ["self-test"]:
        return self_test()
    nvcc, include, source, arch, registers, *defines = arguments
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "kernel.o"
        command = [nvcc, "-std=c++20", f"-gencode=arch=compute_{arch},code=sm_{arch}",
                   f"-I{include}", "-Xptxas=-v", "-Werror=all-warnings", "-c", source, "-o",
                   str(target), *[f"-D{define}" for define in defines]]
        seconds = float("inf")
        for _ in range(2):
            if seconds <= MAX_SECONDS:
                break
            before = processor_seconds()
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            seconds = min(seconds, processor_seconds() - before)
            text = run.stdout + run.stderr
            if run.returncode != 0:
                sys.exit(f"does not compile:\n{text}")
        size = target.stat().st_size
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    complaints = list(complaints_about(text, size, int(registers)))
    if seconds > MAX_SECONDS:
        complaints.append(f"takes {seconds:.1f} s of processor time, more than {MAX_SECONDS}")
    if used.ru_maxrss * 1024 > MAX_BYTES:
        complaints.append(f"takes {used.ru_maxrss * 1024 / 1e9:.2f} GB, more than 1.5")
    found = re.findall(r"Used (\d+) registers", text)
    print(f"sm_{arch}: {found} registers, {size / 1e3:.1f} kB, {seconds:.1f} s, "
          f"{used.ru_maxrss * 1024 / 1e9:.2f} GB")
    return "\n".join(complaints) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
