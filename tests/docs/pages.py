"""The pages for readers: README.md, CONTRIBUTING.md and those below docs/. Every block of them runs.

  pages.py check ROOT                        links, anchors, paths, languages, marks, excerpts
  pages.py program PAGE OUT                  the C++ blocks of a page as one program, OUT
  pages.py project ROOT PAGE FOLDER COMPILER the project that a page describes, made as it says
  pages.py self-test                         breaks each rule on a page made for it and sees it found

A block is a fence with a language. A C++ block with `int main()` is a whole program. Any other is a
fragment, the body of a function after tests/docs/fragment.hpp, which says what it may use. All
blocks of a page are compiled into one program, which runs them in order.

An HTML comment on the line before a fence marks the block:
  <!-- file: NAME -->     the block is file NAME of the project that the page describes
  <!-- run: heed -->      shell commands, executed in a copy of heed's root
  <!-- run: project -->   shell commands, executed in the project
  <!-- part of: PATH -->  the block stands in that file of the repository, line by line
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LANGUAGES = {"cpp", "cmake", "sh", "text"}
MARKS = {"file", "run", "part of"}
PLACES = {"heed", "project"}
NOT_COPIED = {".git", "build", "out"}


class Block:
    def __init__(self, language, line, mark):
        self.language, self.line = language, line  # of the fence, counted from 1
        self.mark, self.argument = mark
        self.lines = []

    def text(self):
        return "\n".join(self.lines) + "\n"

    def is_program(self):
        return re.search(r"^int main\(", self.text(), re.M) is not None


def mark_of(line):
    """('file', 'main.cpp') of '<!-- file: main.cpp -->'; two empty texts where there is no mark."""
    match = re.fullmatch(r"<!-- *([\w ]+): *(.*?) *-->", line.strip())
    return match.groups() if match else ("", "")


def blocks_of(text):
    block, before = None, ""
    for number, line in enumerate(text.splitlines(), 1):
        if block is not None and line.strip() == "```":
            yield block
            block = None
        elif block is not None:
            block.lines.append(line)
        elif line.lstrip().startswith("```"):
            block = Block(line.strip().strip("`").strip(), number, mark_of(before))
        before = line


def prose_of(text):
    """(line number, line) outside of blocks."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            yield number, line


def pages_of(root):
    pages = [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [page for page in pages if page.exists()] + sorted(root.glob("docs/**/*.md"))


# --- Rules ---------------------------------------------------------------------------------------


def anchor_of(heading):
    """As GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).strip().lower())
    return kept.replace(" ", "-")


def anchors_of(text):
    return {anchor_of(match.group(1)) for _, line in prose_of(text)
            if (match := re.match(r"#+ +(.*)", line))}


def check_links(root, page, text):
    for number, line in prose_of(text):
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path) if path else page
            if not file.exists():
                yield number, f"the link {target} leads nowhere"
            elif anchor and anchor not in anchors_of(file.read_text(encoding="utf-8")):
                yield number, f"{path or page.name} has no heading {anchor!r}"


def check_paths(root, page, text):
    if page.name == "CHANGELOG.md":  # which names what is gone
        return
    bases = [root, root / "include/heed"]
    ending = r"\.(?:hpp|cpp|cuh|cu|inl|py|sh|md|txt)"
    for number, line in prose_of(text):
        for path in re.findall(rf"`((?:[\w.]+/)+[\w.]+{ending})`", line):
            if "NN_" not in path and not any((base / path).exists() for base in bases):
                yield number, f"there is no {path}"


def check_blocks(root, _, text):
    for block in blocks_of(text):
        if block.language not in LANGUAGES:
            yield block.line, f"the block's language is {block.language!r}, not one of {sorted(LANGUAGES)}"
        if block.mark and block.mark not in MARKS:
            yield block.line, f"the mark {block.mark!r} is not one of {sorted(MARKS)}"
        if block.mark == "run" and block.argument not in PLACES:
            yield block.line, f"{block.argument!r} is not one of {sorted(PLACES)}"
        if block.mark == "part of" and not stands_in(root / block.argument, block.lines):
            yield block.line, f"the block does not stand in {block.argument}"


def stands_in(file, lines):
    if not file.exists():
        return False
    wanted = [line.strip() for line in lines]
    there = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return any(there[n:n + len(wanted)] == wanted for n in range(len(there) - len(wanted) + 1))


def check_commands(root, _, text):
    run = root / "run"
    for block in blocks_of(text):
        if block.language != "sh":
            continue
        for command in re.findall(r"^\./run ([\w-]+)", block.text(), re.M):
            if not re.search(rf"^  {command}\)", run.read_text(encoding="utf-8"), re.M):
                yield block.line, f"./run has no command {command}"
        for path in re.findall(r"(?<=\s)(?:examples|bench|tests|docs)/[\w./-]+", block.text()):
            if not (root / path).exists():
                yield block.line, f"there is no {path}"


def check(root):
    for page in pages_of(root):
        text = page.read_text(encoding="utf-8")
        for rule in (check_links, check_paths, check_blocks, check_commands):
            for line, complaint in rule(root, page, text):
                yield f"{page.relative_to(root)}:{line}: {complaint}"


# --- The blocks of a page as one program ---------------------------------------------------------


def program_of(page):
    includes, bodies, calls = [], [], []
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.language == "cpp" and not block.mark:
            name = f"block_{block.line}"
            includes += [line for line in block.lines if re.match(r"#include\b", line)]
            bodies.append(body_of(block, name, page))
            calls.append(f'  std::cout << "--- {page.name}:{block.line}\\n";\n  {name}();\n')
    return ('#include "docs/fragment.hpp"\n' + "\n".join(dict.fromkeys(includes)) + "\n\n" +
            "\n".join(bodies) + "\nint main() {\n" + "".join(calls) + "}\n")


# q, k and v stand one scope further out, so that a fragment may have others of these names.
FRAGMENT_START = "".join(f"  [[maybe_unused]] auto {name} = heed_docs::tokens({heads});\n"
                         for name, heads in (("q", 8), ("k", 2), ("v", 2))) + "  {\n"


def body_of(block, name, page):
    line = f'#line {block.line + 1} "{page.as_posix()}"\n'
    code = "\n".join("" if re.match(r"#include\b", text) else text for text in block.lines) + "\n"
    if not block.is_program():
        return f"void {name}() {{\n{FRAGMENT_START}{line}{code}  }}\n}}\n"
    code = re.sub(r"^int main\(\)", f"int main_of_{name}()", code, flags=re.M)
    if not re.search(r"\breturn\b", code):
        code = code.rstrip()[:-1] + "return 0;\n}\n"
    return (f"namespace {name}_program {{\n{line}{code}}}\n"
            f"void {name}() {{\n  if ({name}_program::main_of_{name}() != 0) std::abort();\n}}\n")




# --- The project of a page -----------------------------------------------------------------------


def make_project(root, page, folder, compiler):
    """Complaints about what happens when the page is followed in an empty folder."""
    text = page.read_text(encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    places = {"heed": folder / "heed", "project": folder / "project"}
    for place in places.values():
        place.mkdir(parents=True)
    for entry in root.iterdir():
        if entry.name not in NOT_COPIED and not entry.name.startswith("build"):
            (places["heed"] / entry.name).symlink_to(entry)
    environment = {**os.environ, "HOME": str(folder), "CXX": compiler,
                   "CMAKE_EXPORT_COMPILE_COMMANDS": "ON"}
    for block in blocks_of(text):
        if block.mark == "file":
            (places["project"] / block.argument).write_text(block.text(), encoding="utf-8")
    for block in blocks_of(text):
        if block.mark == "run":
            print(block.text(), flush=True)
            done = subprocess.run(["sh", "-e", "-c", block.text()], cwd=places[block.argument],
                                  env=environment, check=False)
            if done.returncode != 0:
                yield f"{page.name}:{block.line}: these commands fail"
                return
    yield from check_optimised(places["project"], environment)


def check_optimised(project, environment):
    """A build with the page's command is optimised, and so is one that names no build type."""
    plain = project / "build-plain"
    subprocess.run(["cmake", "-S", project, "-B", plain, f"-DCMAKE_PREFIX_PATH={environment['HOME']}/heed-install"],
                   env=environment, check=False, stdout=subprocess.DEVNULL)
    for build in (project / "build", plain):
        commands = build / "compile_commands.json"
        if not commands.exists() or not re.search(r" -O[23]\b", commands.read_text("utf-8")):
            yield f"{build.name}: the project is built without optimisation"


# --- The rules can fail --------------------------------------------------------------------------

GOOD_PAGE = """# A page

See [below](#the-second-part), [the other](docs/other.md#part) and `include/heed/version.hpp`.

```cpp
#include <iostream>
std::cout << q.size();
```

## The second part

<!-- part of: include/heed/version.hpp -->
```cpp
int version = 1;
```

```sh
./run test
```
"""

# (what is replaced on the good page, by what, what the complaint must say)
BAD_EDITS = [
    ("(#the-second-part)", "(#the-third-part)", "has no heading"),
    ("docs/other.md#part", "docs/another.md", "leads nowhere"),
    ("docs/other.md#part", "docs/other.md#missing", "has no heading"),
    ("heed/version.hpp`", "heed/versions.hpp`", "there is no"),
    ("```sh", "```bash", "language"),
    ("```sh", "```", "language"),
    ("part of: include", "comes from: include", "the mark"),
    ("int version = 1;", "int version = 2;", "does not stand in"),
    ("./run test", "./run tests", "has no command"),
    ("./run test", "cat examples/none.cpp", "there is no"),
]


def complaints_about(page, others=()):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = {"README.md": page, "docs/other.md": "# Part\n", "run": "  test) ;;\n",
                 "include/heed/version.hpp": "#pragma once\n  int version = 1;\n",
                 "CHANGELOG.md": "`mask/gone.hpp` is gone.\n",
                 "docs/folder/page.md": "[a page above](../other.md#part)\n", **dict(others)}
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        return list(check(root))


def self_test():
    for complaint in complaints_about(GOOD_PAGE):
        yield f"the good page is refused: {complaint}"
    for old, new, expected in BAD_EDITS:
        if not any(expected in complaint for complaint in complaints_about(GOOD_PAGE.replace(old, new))):
            yield f"{old!r} → {new!r}: nothing says {expected!r}"
    deep = {"docs/folder/page.md": "[nothing](other.md)\n"}
    if not any("docs/folder/page.md:1: the link" in complaint
               for complaint in complaints_about(GOOD_PAGE, deep)):
        yield "a broken link of a page in a folder of docs is not found"
    blocks = list(blocks_of(GOOD_PAGE))
    if [(block.language, block.line, block.mark) for block in blocks] != [
            ("cpp", 5, ""), ("cpp", 13, "part of"), ("sh", 17, "")]:
        yield "the blocks of the good page are not found"


def main(arguments):
    command, *rest = arguments or [""]
    if command == "check" and len(rest) == 1:
        complaints = list(check(Path(rest[0])))
    elif command == "program" and len(rest) == 2:
        Path(rest[1]).write_text(program_of(Path(rest[0])), encoding="utf-8")
        complaints = []
    elif command == "project" and len(rest) == 4:
        root, page, folder, compiler = rest
        complaints = list(make_project(Path(root).resolve(), Path(page), Path(folder).resolve(), compiler))
    elif command == "self-test" and not rest:
        complaints = list(self_test())
    else:
        sys.exit(__doc__)
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
