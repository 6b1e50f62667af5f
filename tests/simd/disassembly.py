"""What heed's compiled code may hold, read from its disassembly.

  disassembly.py loops COMPILER SOURCES FLAGS...  no sums of the kernels are kept on the stack
  disassembly.py units COMPILER SOURCES FLAGS...  units built with different -m flags share a program
  disassembly.py self-test                        breaks each rule in code made for it

SOURCES is the folder units/ beside this file. Ends with 77, "skipped", where objdump is missing or
the compiler is not for x86-64.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = 77
WIDE_FLAGS = ["-mavx2", "-mfma"]

# Functions of the kernels whose loops must not touch the stack, and how often they may: nowhere in
# the products, where every sum stays in its register. g++'s softmax keeps the sums of its rows
# there: 4 accesses among 70 and more instructions.
STACK_LIMITS = {"qk": 0, "pv": 0}
STACK_LIMITS_GNU = {**STACK_LIMITS, "softmax": 4}
# Multiplications that the largest loop must have at least: the sums of a tile.
SUMS = {"avx2": 12, "avx512": 16}

MULTIPLIES = re.compile(r"v?fmadd\d*p[sd]|v?mulp[sd]")
VEX = re.compile(r"v(?!err|erw|m(call|launch|resume|xoff|read|write|clear|ptrld|ptrst))[a-z]")
WIDE_REGISTER = re.compile(r"%[yz]mm")
KERNELS = re.compile(r"^_ZZ?NK?4heed4simd\d+abi_[a-z0-9_]*?(?:4avx2|6avx512|11avx512_bf16|3amx)(?=\d)")
OF_HEED = re.compile(r"^_ZT?[hv]?[n0-9_]*Z?NK?4heed")


def functions_of(disassembly):
    """{mangled name: [(address, instruction)]} of `objdump -d --no-show-raw-insn`."""
    functions, code = {}, None
    for line in disassembly.splitlines():
        if match := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            code = functions.setdefault(match.group(1), [])
        elif match := re.match(r"\s*([0-9a-f]+):\t(.*)$", line):
            code.append((int(match.group(1), 16), match.group(2)))
    return functions


def innermost_loops(code):
    """The instructions between each backward jump and its target that hold no other such pair."""
    back = []
    for address, text in code:
        match = re.match(r"j\w+\s+([0-9a-f]+)\b", text)
        if match and int(match.group(1), 16) <= address:
            back.append((int(match.group(1), 16), address))
    for begin, end in back:
        if not any(begin <= b and e <= end and (b, e) != (begin, end) for b, e in back):
            yield [text for address, text in code if begin <= address <= end]


def stack_accesses(code, loop):
    # Where the frame is aligned rbp holds it; elsewhere rbp is a register like any other.
    framed = any(re.match(r"mov\s+%rsp,%rbp", text) for _, text in code)
    frame = r"\(%r(sp|bp)\b" if framed else r"\(%rsp\b"
    return [text for text in loop if re.search(frame, text)]


def check_loops(functions, limits):
    for isa, sums in SUMS.items():
        for kernel, limit in limits.items():
            for scalar in "fd":
                name = f"{isa}::{kernel}<{'float' if scalar == 'f' else 'double'}>"
                pattern = re.compile(rf"{len(isa)}{isa}{len(kernel)}{kernel}I{scalar}[EN]")
                found = [code for symbol, code in functions.items()
                         if KERNELS.match(symbol) and pattern.search(symbol)]
                if len(found) != 1:
                    yield f"{name}: {len(found)} functions of this name"
                    continue
                yield from check_loops_of(name, found[0], sums, limit)


def check_loops_of(name, code, sums, limit):
    largest = 0
    for loop in innermost_loops(code):
        multiplies = sum(bool(MULTIPLIES.match(text)) for text in loop)
        largest = max(largest, multiplies)
        accesses = stack_accesses(code, loop)
        if multiplies and len(accesses) > limit:
            yield (f"{name}: {len(accesses)} stack accesses in a loop of {len(loop)} instructions, "
                   f"may be {limit}: {accesses[0]}")
    if largest < sums:
        yield f"{name}: its largest loop multiplies {largest} times, a tile has {sums} sums"


def check_baseline(functions):
    """Code built for any machine has wide registers in the kernels alone that are picked for it."""
    for name, code in functions.items():
        for _, text in code:
            if not KERNELS.match(name) and (WIDE_REGISTER.search(text) or VEX.match(text)):
                yield f"built without -m: {name} holds '{text}'"
                break


def check_shared(base, wide, linked_by_name):
    """What both units define is kept once, in either body: heed's must run on any machine."""
    for name in sorted(set(base) & set(wide) & linked_by_name):
        for _, text in wide[name]:
            if OF_HEED.match(name) and VEX.match(text):
                yield f"built with {' '.join(WIDE_FLAGS)}, kept for all: {name} holds '{text}'"
                break


def run(command, **options):
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if result.returncode not in (0, SKIPPED):
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {result.returncode}:\n"
                         f"{result.stdout}{result.stderr}")
    return result


def disassemble(file):
    return functions_of(run(["objdump", "-d", "--no-show-raw-insn", file]).stdout)


def weak_symbols(file):
    lines = run(["nm", "--defined-only", file]).stdout.splitlines()
    return {line.split()[-1] for line in lines if line.split()[-2] in "WVu"}


def loops(compiler, sources, flags, folder):
    run([compiler, *flags, "-O2", "-c", sources / "kernels.cpp", "-o", folder / "kernels.o"])
    gnu = "clang" not in run([compiler, "--version"]).stdout
    yield from check_loops(disassemble(folder / "kernels.o"),
                           STACK_LIMITS_GNU if gnu else STACK_LIMITS)


def units(compiler, sources, flags, folder):
    base, wide, main = (folder / f"{name}.o" for name in ("base", "wide", "main"))
    build = [compiler, *flags, "-O2", "-c"]
    run([*build, sources / "main.cpp", "-o", main])
    run([*build, "-DHEED_UNIT=attend_base", sources / "attend.cpp", "-o", base])
    run([*build, *WIDE_FLAGS, "-DHEED_UNIT=attend_wide", sources / "attend.cpp", "-o", wide])
    for order in ((base, wide), (wide, base)):
        run([compiler, main, *order, "-o", folder / "program"])
        for isa in ("", "portable"):
            run([folder / "program"], env={**os.environ, "HEED_ISA": isa})
    yield from check_baseline(disassemble(base))
    yield from check_shared(disassemble(base), disassemble(wide), weak_symbols(wide))


KERNEL = "_ZN4heed4simd20abi_base_serial_ieee4avx24dotsIfEEvRKNS0_5StripIT_EE"


def listing(name, *code):
    return "\n".join([f"0 <{name}>:"] + [f"  {n}:\t{text}" for n, text in enumerate(code)])


def self_test():
    sums = ["vfmadd231ps %ymm0,%ymm1,%ymm2"] * 12
    tight = functions_of(listing(KERNEL, "vmovups (%rbp),%ymm3", *sums, "jne    1 <x>"))
    if any(check_loops_of("good", tight[KERNEL], 12, 0)):
        yield "a tight loop is refused"
    for spill in ("vmovups %ymm4,-0x20(%rsp)", "vaddps 0x8(%rsp,%rax,4),%ymm1,%ymm2"):
        code = functions_of(listing(KERNEL, *sums, spill, "jne    0 <x>"))[KERNEL]
        if not any("1 stack accesses" in text for text in check_loops_of("bad", code, 12, 0)):
            yield f"nothing says that {spill} touches the stack"
    framed = functions_of(listing(KERNEL, "mov    %rsp,%rbp", *sums, "vmovaps -0x10(%rbp),%ymm1",
                                  "jne    1 <x>"))[KERNEL]
    if not any("1 stack accesses" in text for text in check_loops_of("framed", framed, 12, 0)):
        yield "nothing says that a frame in rbp is the stack"
    if not any(check_loops_of("rolled", tight[KERNEL], 13, 0)):
        yield "nothing says that a loop is too small"
    if not any("0 functions" in text for text in check_loops({}, STACK_LIMITS)):
        yield "nothing says that a kernel is missing"

    other = "_ZNK4heed7Dropout6activeEv"
    for text in ("vpaddd %ymm1,%ymm2,%ymm3", "vmovss (%rax),%xmm0", "addps  %zmm1,%zmm2"):
        if not any(check_baseline(functions_of(listing(other, text)))):
            yield f"nothing says that {text} is too wide"
    if any(check_baseline(tight)):
        yield "the kernels for AVX2 may not use it"
    narrow = functions_of(listing(other, "addss  %xmm1,%xmm0"))
    wide = functions_of(listing(other, "vaddss %xmm1,%xmm0,%xmm0"))
    if not any(check_shared(narrow, wide, {other})):
        yield "nothing says that a shared function is wide"
    if any(check_shared(narrow, wide, set())) or any(check_shared(narrow, narrow, {other})):
        yield "a function that is not shared, or not wide, is refused"


def main(arguments):
    if arguments == ["self-test"]:
        complaints = list(self_test())
    elif len(arguments) >= 3 and arguments[0] in ("loops", "units"):
        compiler, sources, flags = arguments[1], Path(arguments[2]), arguments[3:]
        machine = run([compiler, "-dumpmachine"]).stdout
        if not shutil.which("objdump") or not machine.startswith("x86_64"):
            print("skipped: this reads x86-64 code with objdump (Debian, Ubuntu: binutils)")
            return SKIPPED
        check = loops if arguments[0] == "loops" else units
        with tempfile.TemporaryDirectory() as folder:
            complaints = list(check(compiler, sources, flags, Path(folder)))
    else:
        sys.exit(__doc__)
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
