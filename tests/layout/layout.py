"""The rules of the tree that no compiler checks.

  layout.py check ROOT                     arrows between folders, who may use what, words
  layout.py headers ROOT COMPILER FLAGS... every header, and every part of a target, compiles alone
  layout.py self-test                      breaks each rule in a tree made for it and sees it found
"""

import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Includes go from a later tier to an earlier one, or stay inside a folder.
TIERS = [
    {"core"},
    {"mask", "score", "softmax", "simd", "position", "plot"},
    {"kv"},
    {"attention"},
    {"approx", "nn", "cuda"},
    {"files"},
    {"inspect", "train"},
    {"dispatch"},
]
TIER = {folder: tier for tier, folders in enumerate(TIERS) for folder in folders}
UMBRELLAS = {"heed.hpp", "inspect.hpp", "plot.hpp", "files.hpp", "cuda.hpp", "version.hpp"}
EVERYWHERE = {"version.hpp"}

# Contents that only some places may have: (what, pattern, paths below include/heed that may).
RESERVED = [
    ("Eigen", r"#\s*include\s*<(unsupported/)?Eigen/|\bEigen::",
     r"core/eigen\.hpp|(nn|approx|files|inspect|train)/.*"),
    ("an intrinsic", r"#\s*include\s*<\w*(intrin|arm_neon|arm_sve)\.h>|\b_mm\d*_\w+\(|\b__m\d+[id]?\b",
     r"simd/.*"),
    ("OpenMP", r"#\s*pragma\s+omp\b|#\s*include\s*<omp\.h>|\bomp_\w+\(", r"core/parallel\.hpp"),
    ("a CUDA kernel", r"\b__global__\b", r"cuda/.*\.cuh"),
    ("the question for the instruction set", r"\bisa\(\)",  # asked where a call begins
     r"simd/(isa|gemm/product)\.hpp|kv/memory\.hpp|attention/\w+\.hpp|(nn|train|dispatch)/\w+\.hpp|"
     r"approx/(upcast|lsh/lsh|top_k/top_k\w*|linear/(scan_\w+|random_features\w*))\.hpp"),
    # The row tile that holds a row, the panel that holds a column: typed views find an element.
    ("division by MR or NR", r"(?<!\d) [/%] (\w+(\.|->))*[mn]r_?\b", r"simd/gemm/\w+\.hpp|simd/.*\.inl|cuda/.*"),
    ("division by a panel's width", r" [/%] (\w+(\.|->))*width_?\b", r"simd/gemm/column_panels\.hpp|(?!kv/).*"),
    ("rounding up to MR or NR", r"\bm_tiles\([^;]*\) \* (\w+(\.|->))*mr_?\b|\bpanels\([^;]*\) \* (\w+(\.|->))*nr_?\b",
     r"simd/gemm/\w+\.hpp|cuda/.*"),
    ("MPI", r"#\s*include\s*<mpi\.h>|\bMPI_\w+", r"(?!)"),  # nowhere
]

# Written in pieces, so that this file does not contain them.
WORDS = re.compile(
    r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b"
    r"|(?<![\w.~-])/(" + "|".join(["ro" + "ot", "ho" + "me", "wo" + "rk", "Us" + "ers"]) + r")/")
# Words that the glossary replaced: (retired, its successor). docs/glossary.md has their meanings.
RETIRED = [
    ("Geometry", "TileShape"), ("Strip", "TileArgs"), ("rewriter", "for_isa"),
    ("CellMap", "BlockMask"), ("QueryRows", "QueryBlock"), ("FlashBlock", "KvBlock"),
    ("FlashPartials", "SplitState"), ("attend_span", "attend_split"),
    ("merge_spans", "combine_splits"), ("for_each_stretch", "for_each_head_segment"),
    ("mend_scores", "recompute_nan_scores"), ("dots_direct", "qk_unpacked"),
    ("accumulate_direct", "pv_unpacked"), ("accumulate_seen", "pv_masked"),
    ("load_rows", "pack_a"), ("pack_keys", "pack_b_transposed"), ("pack_values", "pack_b"),
    ("close_rows", "finalize_rows"), ("shrink_row", "rescale_row"), ("abreast", "interleave"),
    ("widen_some", "load_some_as"), ("Curve", "Activation"), ("bend_row", "activate_row"),
    ("Textbook", "ReferenceResult"), ("weigh_values", "weighted_values"),
    ("SpacedMask", "StridedKeysMask"), ("StepsKeys", "HasKeyStride"), ("key_step", "key_stride"),
    ("CoversCells", "CoversGrid"), ("Widened", "Upcast"), ("Owned4", "OwnedTensor"),
    ("BestKeys", "TopKSelector"), ("OfferCell", "PushScores"), ("DropRest", "Compact"),
    ("AimedQueries", "BucketedQueries"), ("PrefixPlan", "ScanPlan"), ("PrefixState", "KvState"),
    ("sees_prefix", "is_prefix_mask"), ("only_pads", "is_padding_only"),
    ("LastingSpan", "BorrowedSpan"), ("PlainCut", "SimtTraits"), ("with_cut", "dispatch_traits"),
    ("own_row", "fragment_row"), ("start_forward", "launch_forward"),
    ("BackendOffer", "BackendInfo"), ("anywhere::", "dispatch::"),
    ("first cache", "L1"), ("second cache", "L2"), ("blind row", "fully masked row"),
    ("find_live_cells", "for_each_live_block"), ("row_maxima", "row_max"),
    ("add_lanes", "reduce_add"), ("part_packing", "pack_bf16x3"),
    ("early_scale", "scale_steps"), ("every_key", "take_every"), ("attend_widened", "attention_in"),
    ("aim_queries", "assign_to_chunks"), ("PrefixWork", "ScanPlan"), ("ShowState", "publish"),
    ("Visible", "KeyLimit"), ("Corner", "LdmatrixAddress"), ("careful_", "nonfinite_pass_"),
    ("flash_cells", "score_epilogue"), ("cell_map", "block_mask"), ("twins", "naive"),
    ("Hashing", "LshOptions"), ("tops", "running_max"), ("live_cells", "most_tiles"),
    ("CurveActivation", "SimdActivation"), ("is_curve", "is_simd_activation"),
    ("curve_of", "simd_activation_of"), ("blind_rows", "fully_masked_rows"),
    ("blind_by_score", "fully_masked_by_score"),
    ("no multiple of", "not a multiple of"), ("has not the shape", "must have the shape"),
]
SUCCESSOR = dict(RETIRED)
RETIRED_WORDS = re.compile(r"(?<!\w)(" + "|".join(re.escape(old) for old, _ in RETIRED) + r")(?!\w)")
# A sentence of a comment begins with its noun or verb.
RIDDLE = re.compile(r"(//|#)(?: +| .*[.:;] )(" + "|".join(["Wh" + "at", "Ho" + "w", "Whe" + "ther", "Whi" + "ch"]) + r")\b")
CODE = {".hpp", ".inl", ".cuh", ".cpp", ".cu", ".h", ".py", ".cmake", ".txt"}
# A change log names what it replaced; this file lists it.
MAY_BE_RETIRED = {"CHANGELOG.md", "tests/layout/layout.py"}

# Headers that do not compile alone: only nvcc takes the first, the others open or close a region.
NOT_ALONE = {"cuda.hpp"} | {f"simd/target/{part}.inl" for part in ("alone", "alone_end", "begin", "end")}
X86 = {"x86_64", "AMD64"}
# Headers that are slow to read, the largest sets first. A header that includes all of a set sees
# their declarations when it stands alone too, so reading them precompiled changes no verdict.
PRECOMPILED = [("attention/attention.hpp", "core/eigen.hpp"), ("simd/kernels.hpp", "core/eigen.hpp"),
               ("core/eigen.hpp",), ("simd/kernels.hpp",), ("score/score.hpp", "mask/mask.hpp"),
               ("mask/mask.hpp",), ("core/view.hpp",)]

SKIPPED_FOLDERS = {".git", ".cache", "build", "out", "__pycache__"}


def code_of(text):
    """The text without comments and without what strings say; line numbers kept."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    lines = re.sub(r"//[^\n]*|/\*.*?\*/", blank, text, flags=re.S).split("\n")
    return "\n".join(line if re.match(r"\s*#\s*include", line)
                     else re.sub(r'"(\\.|[^"\\])*"', '""', line) for line in lines)


def headers_of(root):
    base = root / "include" / "heed"
    files = sorted(p for p in base.rglob("*") if p.suffix in {".hpp", ".inl", ".cuh"})
    return {p.relative_to(base).as_posix(): code_of(p.read_text(encoding="utf-8")) for p in files}


def includes_of(code):
    """(line number, path below heed/) of each of a header's own includes."""
    for number, line in enumerate(code.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"](?:heed/)?([^">]+)[">]', line)
        if match and ('"' in line or "heed/" in line):
            yield number, match.group(1)


def check_arrows(headers):
    for name, code in headers.items():
        folder = name.split("/")[0]
        if "/" not in name:
            if name not in UMBRELLAS:
                yield (f"{name}: only {', '.join(sorted(UMBRELLAS))} stand directly in "
                       "include/heed")
            continue
        if folder not in TIER:
            yield f"{name}: folder {folder} has no place in the order of folders"
            continue
        for number, target in includes_of(code):
            into = target.split("/")[0]
            if target not in headers:
                yield f"{name}:{number}: includes {target}, which include/heed does not have"
            elif target not in EVERYWHERE and into != folder and (
                    TIER.get(into, len(TIERS)) >= TIER[folder]):
                yield f"{name}:{number}: {folder} may not include {target}: the arrow runs back"


def check_contributing(root, headers):
    """The order of folders that contributors read: of the folders that there are, and all of them."""
    folders = {name.split("/")[0] for name in headers if "/" in name}
    lines = (root / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    named = {word for line in lines if line.startswith("core → ") for word in re.findall(r"\w+", line)}
    for folder in sorted(folders ^ named):
        yield f"CONTRIBUTING.md: the order of folders and include/heed disagree about {folder}"


def check_reserved(headers):
    for name, code in headers.items():
        for what, pattern, allowed in RESERVED:
            if not re.fullmatch(allowed, name):
                for match in re.finditer(pattern, code):
                    number = code.count("\n", 0, match.start()) + 1
                    yield f"{name}:{number}: {what} belongs in {allowed}"


def check_form(headers):
    for name, code in headers.items():
        if name.endswith(".hpp") and "#pragma once" not in code:
            yield f"{name}: has no #pragma once"


def check_own_tests(root, headers):
    for name in headers:
        folder, _, file = name.partition("/flash/")
        test = f"tests/{folder}/{Path(file).stem}_test.cpp"
        if file and not (root / test).exists():
            yield f"{name}: has no test of its own name, {test}"


def reached_from(headers, umbrellas):
    reached, open_set = set(), [name for name in headers if name in umbrellas]
    while open_set:
        name = open_set.pop()
        if name not in reached:
            reached.add(name)
            open_set += [target for _, target in includes_of(headers[name]) if target in headers]
    return reached


def check_reached(headers):
    for name in sorted(set(headers) - reached_from(headers, UMBRELLAS)):
        yield f"{name}: not reached from heed.hpp or another umbrella header"


def check_needs_no_stb(headers):
    for name in sorted(reached_from(headers, {"heed.hpp"})):
        if re.search(r"#\s*include\s*<(stb/)?stb_", headers[name]):
            yield f"{name}: heed.hpp reaches it, and it needs stb"


def check_words(root):
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders
                      if f not in SKIPPED_FOLDERS and not f.startswith("build-")]
        for file in files:
            if file == ".git":  # of a linked working tree
                continue
            path = Path(folder) / file
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:
                continue  # a picture or hostile test data, not prose
            for number, line in enumerate(lines, 1):
                name = path.relative_to(root).as_posix()
                match = WORDS.search(line)
                if match:
                    yield f"{name}:{number}: must not say {match.group(0)!r}"
                match = RIDDLE.search(line) if path.suffix in CODE else None
                if match:
                    yield (f"{name}:{number}: a comment begins with its noun or verb, not with "
                           f"{match.group(2)!r}")
                match = RETIRED_WORDS.search(line)
                if match and name not in MAY_BE_RETIRED:
                    yield (f"{name}:{number}: {match.group(1)!r} is retired, say "
                           f"{SUCCESSOR[match.group(1)]!r} (docs/glossary.md)")


def check(root):
    headers = headers_of(root)
    for complaints in (check_arrows, check_reserved, check_form, check_reached, check_needs_no_stb):
        yield from complaints(headers)
    yield from check_contributing(root, headers)
    yield from check_own_tests(root, headers)
    yield from check_words(root)


def precompile(names, folder, compiler, flags):
    """The flags with which a unit begins with the precompiled headers of these names."""
    header = folder / names[0].replace("/", "_")
    header.write_text("".join(f'#include "heed/{name}"\n' for name in names), encoding="utf-8")
    subprocess.run([compiler, *flags, "-x", "c++-header", str(header), "-o", f"{header}.gch"], check=True)
    return ["-include", str(header)]


def chains_of(names, reached):
    """The names as few lists, in each of which a header includes all that stand before it.

    Such a header sees their declarations when it stands alone too, so reading them before it
    changes no verdict: a list is one unit. Few, by a maximum matching of headers with the next one.
    """
    before = {}  # header -> the one before it in its list

    def find_next(name, tried):
        for later in names:
            if name in reached[later] and later not in tried:
                tried.add(later)
                if later not in before or find_next(before[later], tried):
                    before[later] = name
                    return True
        return False

    after = {}
    for name in names:
        find_next(name, set())
    for later, name in before.items():
        after[name] = later
    for name in names:
        if name not in before:
            chain = [name]
            while chain[-1] in after:
                chain.append(after[chain[-1]])
            yield chain


def without_conditions(code):
    """The text without lines between #if and #endif."""
    depth, lines = 0, []
    for line in code.splitlines():
        depth += bool(re.match(r"\s*#\s*if", line))
        lines.append(line if depth == 0 else "")
        depth -= bool(re.match(r"\s*#\s*endif", line))
    return "\n".join(lines)


def surely_reached(headers):
    """The headers that each one includes under any flags. A part of a target opens alone.inl."""
    sure = {name: without_conditions(code) for name, code in headers.items()}
    return {name: reached_from(sure, [target for _, target in includes_of(
                sure[name] if name.endswith(".hpp") else code)]) - {name}
            for name, code in headers.items()}


def units_of(headers):
    """(names, precompiled set or None) of the units that show that each header compiles alone."""
    groups = {}
    reached = surely_reached(headers)
    for name, code in headers.items():
        other_machine = "#define HEED_ALONE a" in code and platform.machine() not in X86
        if name not in NOT_ALONE and not name.endswith(".cuh") and not other_machine:
            begin = next((names for names in PRECOMPILED if set(names) <= reached[name]), None)
            groups.setdefault(begin, []).append(name)
    for begin, names in groups.items():
        # A part of a target is opened as the unit itself, as an editor does.
        yield from (([name], begin) for name in names if not name.endswith(".hpp"))
        whole = [name for name in names if name.endswith(".hpp")]
        yield from ((chain, begin) for chain in chains_of(whole, reached))


def compile_headers(root, names, command):
    """What the compiler says against a unit that includes the names in this order."""
    text = "".join(f'#include "heed/{name}"\n' for name in names)
    part = len(names) == 1 and not names[0].endswith(".hpp")
    file = str(root / "include/heed" / names[0]) if part else "-"
    result = subprocess.run([*command, "-fsyntax-only", "-x", "c++", file], check=False, text=True,
                            input=None if part else text, capture_output=True)
    return result.stderr if result.returncode != 0 else ""


def check_headers_alone(root, compiler, flags):
    with tempfile.TemporaryDirectory() as folder:
        begins = {None: []}
        for number, names in enumerate(PRECOMPILED):
            place = Path(folder) / str(number)
            place.mkdir()
            begins[names] = precompile(names, place, compiler, flags)
        for names, begin in units_of(headers_of(root)):
            command = [compiler, *flags, *begins[begin]]
            if not compile_headers(root, names, command):
                continue
            for name in names:
                said = compile_headers(root, [name], command)
                if said:
                    yield f"{name}: does not compile alone:\n{said}"


GOOD_TREE = {
    "include/heed/heed.hpp": '#pragma once\n#include "heed/dispatch/backends.hpp"\n',
    "include/heed/dispatch/backends.hpp": '#pragma once\n#include "heed/attention/attention.hpp"\n',
    "include/heed/version.hpp": "#pragma once\n",
    "include/heed/core/error.hpp": "#pragma once\n",
    "include/heed/mask/causal.hpp": '#pragma once\n#include "heed/core/error.hpp"\n',
    "include/heed/attention/attention.hpp": '#pragma once\n#include "heed/mask/strided.hpp"\n',
    "include/heed/mask/strided.hpp": '#pragma once\n#include "heed/mask/causal.hpp"\n'
                                     'inline const char* text = "Eigen::half";\n',
    "CONTRIBUTING.md": "Includes point one way:\n\ncore → mask → attention → dispatch\n",
    "README.md": "see https://example.org/home/page and ./work/x; // #pragma omp in a comment\n",
}

# (file, text appended to it, what the complaint must say)
BAD_EDITS = [
    ("include/heed/core/error.hpp", '#include "heed/mask/causal.hpp"\n', "the arrow runs back"),
    ("include/heed/mask/causal.hpp", '#include "heed/score/score.hpp"\n', "does not have"),
    ("include/heed/attention/attention.hpp", '#include "heed/heed.hpp"\n', "the arrow runs back"),
    ("include/heed/attention/attention.hpp", '#include "heed/dispatch/backends.hpp"\n',
     "the arrow runs back"),
    ("include/heed/utils/text.hpp", "#pragma once\n", "has no place"),
    ("include/heed/extra.hpp", "#pragma once\n", "stand directly"),
    ("include/heed/mask/causal.hpp", "#include <Eigen/Core>\n", "Eigen belongs"),
    ("include/heed/mask/causal.hpp", "using Half = Eigen::half;\n", "Eigen belongs"),
    ("include/heed/attention/attention.hpp", "#include <immintrin.h>\n", "intrinsic belongs"),
    ("include/heed/attention/attention.hpp", "auto z = _mm256_setzero_ps();\n", "intrinsic belongs"),
    ("include/heed/core/error.hpp", "#pragma omp parallel\n", "OpenMP belongs"),
    ("include/heed/core/error.hpp", "#include <omp.h>\n", "OpenMP belongs"),
    ("include/heed/core/error.hpp", "__global__ void kernel();\n", "CUDA kernel belongs"),
    ("include/heed/mask/causal.hpp", "const auto machine = isa();\n", "instruction set belongs"),
    ("include/heed/mask/causal.hpp", "R* row = x + i / tile_shape.mr * size;\n", "by MR or NR belongs"),
    ("include/heed/mask/causal.hpp", "x += first % shape_->nr;\n", "by MR or NR belongs"),
    ("include/heed/kv/extra.hpp", "T* to = k + first / width * D * width;\n", "panel's width belongs"),
    ("include/heed/mask/causal.hpp", "rows = shape.m_tiles(size(n)) * shape.mr;\n", "to MR or NR belongs"),
    ("include/heed/mask/causal.hpp", "n = shape.panels(m) * nr;\n", "to MR or NR belongs"),
    ("include/heed/mask/window.hpp", "#pragma once\n", "not reached"),
    ("include/heed/mask/window.hpp", "int twice;\n", "no #pragma once"),
    ("include/heed/attention/flash/plan.hpp", "#pragma once\n", "has no test of its own name"),
    ("include/heed/mask/causal.hpp", "#include <stb/stb_image_write.h>\n", "needs stb"),
    ("CONTRIBUTING.md", "core → nn\n", "disagree about nn"),
    ("README.md", "TO" + "DO: finish\n", "must not say"),
    ("include/heed/mask/causal.hpp", "struct Strip {};\n", "say 'TileArgs'"),
    ("include/heed/mask/causal.hpp", "// Wh" + "at a query sees.\n", "begins with its noun"),
    ("README.md", "for a blind row\n", "say 'fully masked row'"),
    ("README.md", "cd /ro" + "ot/heed\n", "must not say"),
]


def complaints_about(edit):
    with tempfile.TemporaryDirectory() as folder:
        files = dict(GOOD_TREE)
        if edit:
            files[edit[0]] = files.get(edit[0], "") + edit[1]
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return list(check(Path(folder)))


def complaints_about_units():
    headers = {"mask/a.hpp": "", "mask/b.hpp": '#include "heed/mask/a.hpp"\n',
               "mask/c.hpp": '#include "heed/mask/b.hpp"\n', "mask/d.hpp": "",
               "mask/e.hpp": '#if X\n#include "heed/mask/d.hpp"\n#endif\n'}
    found = sorted(names for names, _ in units_of(headers))
    if found != [["mask/a.hpp", "mask/b.hpp", "mask/c.hpp"], ["mask/d.hpp"], ["mask/e.hpp"]]:
        yield f"headers are compiled together as {found}"


def self_test():
    yield from complaints_about_units()
    for complaint in complaints_about(None):
        yield f"the good tree is refused: {complaint}"
    for edit in BAD_EDITS:
        if not any(edit[2] in complaint for complaint in complaints_about(edit)):
            yield f"{edit[0]} + {edit[1]!r}: nothing says {edit[2]!r}"


def main(arguments):
    if arguments[:1] == ["check"] and len(arguments) == 2:
        complaints = check(Path(arguments[1]))
    elif arguments[:1] == ["headers"] and len(arguments) >= 3:
        complaints = check_headers_alone(Path(arguments[1]), arguments[2], arguments[3:])
    elif arguments == ["self-test"]:
        complaints = self_test()
    else:
        sys.exit(__doc__)
    complaints = list(complaints)
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
