"""The path of a call: from heed::attention to the multiply-add of a tile, at most 9 calls in 6 files.

  call_chain.py check ROOT   each function of the path stands in its file and calls the next one
  call_chain.py self-test    breaks the path in a tree made for it and sees it found

A lambda that a function hands to its workers or to its loop over KV blocks is part of it.
docs/design.md tells the path.
"""

import re
import sys
from pathlib import Path

from layout import code_of

MOST_CALLS, MOST_FILES = 9, 6
FORWARD, KERNEL = "attention/flash/forward.hpp", "simd/gemm/micro_kernel.inl"
# (file, function); each calls the next one, the last one multiplies and adds.
CHAIN = [
    ("attention/attention.hpp", "attention"),
    ("attention/run.hpp", "run"),
    (FORWARD, "flash_forward"),
    (FORWARD, "attend_keys"),
    (FORWARD, "attend_block"),
    (FORWARD, "attend_tiles"),
    (FORWARD, "compute_scores"),
    (KERNEL, "qk"),
    (KERNEL, "qk_tile"),
    (KERNEL, "micro_kernel"),
]
# (file, text): the table in which the kernels of a target stand, and the multiply-add itself.
BESIDE = [
    (KERNEL, r"return fma\(a, b, sum\)"),
    ("simd/target/kernels.inl", r"\.qk = &qk<"),
    ("simd/target/avx2.hpp", r"\bfma\("),
]
MULTIPLY_ADD = r"step\.add"


def closing(code, at, pair):
    """The place behind the bracket that closes the one at `at`."""
    depth = 0
    for place in range(at, len(code)):
        depth += (code[place] == pair[0]) - (code[place] == pair[1])
        if depth == 0:
            return place + 1
    return len(code)


def bodies_of(code, function):
    """The bodies of the definitions of a function."""
    for match in re.finditer(rf"(?<![.\w:]){function}\(", code):
        behind = closing(code, match.end() - 1, "()")
        opening = re.match(r"\s*\{", code[behind:])
        if opening:
            begin = behind + opening.end() - 1
            yield code[begin:closing(code, begin, "{}")]


def check_chain(texts, chain):
    codes = {name: code_of(text) for name, text in texts.items()}
    callees = [rf"(?<![:\w]){name}(<[^;(]*>)?\(" for _, name in chain[1:]] + [MULTIPLY_ADD]
    for (file, function), callee in zip(chain, callees):
        bodies = list(bodies_of(codes.get(file, ""), function))
        if len(bodies) != 1:
            yield f"{file}: defines {function} {len(bodies)} times, where one body is of the path"
        elif not any(re.search(callee, body) for body in bodies):
            yield f"{file}: {function} does not call the next of the path, {callee}"
    for file, text in BESIDE:
        if not re.search(text, codes.get(file, "")):
            yield f"{file}: has nothing like {text}"
    calls, files = len(chain) - 1, {file for file, _ in chain + BESIDE}
    if calls > MOST_CALLS:
        yield f"the path has {calls} calls, more than {MOST_CALLS}"
    if len(files) > MOST_FILES:
        yield f"the path goes through {len(files)} files, more than {MOST_FILES}"


def check(root):
    names = {file for file, _ in CHAIN + BESIDE}
    paths = {name: root / "include" / "heed" / name for name in names}
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.exists()}
    return check_chain(texts, CHAIN)


def good_tree():
    texts = {"simd/target/kernels.inl": "{.qk = &qk<R>};", "simd/target/avx2.hpp": "Vec fma(Vec a);",
             KERNEL: "Vec add(Vec a) { return fma(a, b, sum); }\n"}
    for (file, function), (_, callee) in zip(CHAIN, CHAIN[1:]):
        body = f"each(tasks, [&](Index n) {{ task.{callee}<T>(f(x), n); }});"
        texts[file] = texts.get(file, "") + f"void {function}(A a, B (*b)(int)) {{\n  {body}\n}}\n"
    texts[KERNEL] += "void micro_kernel(A a) { sum = step.add(a, b, sum); }\n"
    return texts


# (file, text, its replacement, what the complaint must say)
BAD_EDITS = [
    (FORWARD, "task.attend_block<T>(", "task.attend_later<T>(", "attend_keys does not call the next"),
    (FORWARD, "task.attend_tiles<T>(f(x), n);", "// attend_tiles(x)\n", "attend_block does not call the next"),
    ("attention/run.hpp", "task.flash_forward<T>", "run_planned", "run does not call the next"),
    ("attention/attention.hpp", "void attention(", "void attend(", "defines attention 0 times"),
    (FORWARD, "void attend_tiles(A a, B (*b)(int)) {", "void attend_tiles(A a);\n{", "defines attend_tiles 0 times"),
    (FORWARD, "void attend_keys(", "void flash_forward(C c) { }\nvoid attend_keys(", "defines flash_forward 2 times"),
    (KERNEL, "step.add", "step.sub", "micro_kernel does not call the next"),
    ("simd/target/kernels.inl", "&qk<", "&qk_pairs<", "has nothing like"),
]


def self_test():
    for complaint in check_chain(good_tree(), CHAIN):
        yield f"the good tree is refused: {complaint}"
    for file, text, replacement, expected in BAD_EDITS:
        texts = good_tree()
        assert text in texts[file], (file, text)
        texts[file] = texts[file].replace(text, replacement)
        if not any(expected in complaint for complaint in check_chain(texts, CHAIN)):
            yield f"{file}: {replacement!r} for {text!r}: nothing says {expected!r}"
    longer = list(check_chain(good_tree(), [("attention/call.hpp", "call")] + CHAIN))
    for expected in ("has 10 calls", "through 7 files"):
        if not any(expected in complaint for complaint in longer):
            yield f"a longer path: nothing says {expected!r}"


def main(arguments):
    if arguments[:1] == ["check"] and len(arguments) == 2:
        complaints = list(check(Path(arguments[1])))
    elif arguments == ["self-test"]:
        complaints = list(self_test())
    else:
        sys.exit(__doc__)
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
