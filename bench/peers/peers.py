#!/usr/bin/env python3
"""heed against PyTorch, ONNX Runtime and OpenVINO: one Markdown table, from one run.

    peers.py HEED_ROW [--rows REGEX] [--rounds N] [--seconds S] [--json FILE]

HEED_ROW is the program of that name (`./run peers` builds it). All run the same rows on the same
numbers in turns; what counts is the best call of each. A result that differs from heed's is said.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import environment

PEERS = ["pytorch_peer", "onnxruntime_peer", "openvino_peer"]
ENCODERS = [{"name": name, "question": "minilm", "threads": 1, "goal": 0, "bf16": 0}
            for name in ("minilm_64_short", "minilm_512")]


class Process:
    """A worker, or heed_row: a line with a name in, a line of JSON out."""

    def __init__(self, title, command):
        self.title = title
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, name, seconds):
        self.process.stdin.write(f"{name} {seconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"peers: {self.title} died on {name}")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def measure(processes, row, rounds, seconds):
    """The best of each process over the rounds, None where it cannot do the row."""
    best = [None] * len(processes)
    for _ in range(rounds):
        for n, process in enumerate(processes):
            answer = process.ask(row["name"], seconds)
            if "error" in answer:
                best[n] = best[n] or {"error": answer["error"]}
                continue
            if best[n] is None:
                best[n] = answer
                continue
            for key, better in (("seconds", min), ("fma", max), ("read", max)):
                if key in answer:
                    best[n][key] = better(best[n][key], answer[key])
            best[n]["how"] = answer["how"]
    return best


def differs(row, ours, theirs):
    """Whether the probes differ by more than rounding; each draws its own weights for training."""
    if row["question"] == "training":
        return False
    allowed = 3e-2 if row["bf16"] else 2e-4 if row["question"] == "minilm" else 2e-5
    return not all(abs(a - b) <= allowed for a, b in zip(ours["probe"], theirs["probe"]))


# --- The table -----------------------------------------------------------------------------------


def shape_of(row):
    if row["question"] == "minilm":
        return "the whole encoder"
    if row["question"] == "training":
        text = f"{row['B']} × {row['heads']} × {row['L']} × {row['features'] // row['heads']}, "
        return text + f"{row['layers']} layers, dropout {row['dropout']}"
    heads = str(row["Hq"]) if row["Hq"] == row["Hkv"] else f"{row['Hq']}/{row['Hkv']}"
    length = str(row["Lk"]) if row["Lq"] == row["Lk"] else f"{row['Lq']}×{row['Lk']}"
    text = f"{row['B']} × {heads} × {length} × {row['D']}"
    if row["pattern"] != "full":
        text += ", " + row["pattern"].replace("_", " ")
    return text + (", bias" if row["bias"] else "") + (", bf16" if row["bf16"] else "")


def amount_of(row):
    """What a row's seconds are divided into, and its unit."""
    if row["question"] in ("minilm", "training"):
        return None, "ms"
    if row["question"] == "decode":
        size = 2 if row["bf16"] else 4
        return 1e-9 * size * row["B"] * row["Hkv"] * row["Lk"] * (row["D"] + row["Dv"]), "GB/s"
    return 1e-9 * row["flops"], "GFLOP/s"


def speed(row, answer):
    amount, _ = amount_of(row)
    return 1e3 * answer["seconds"] if amount is None else amount / answer["seconds"]


def limit(row, ours):
    if row["question"] in ("minilm", "training"):
        return None
    return 1e-9 * (ours["read"] if row["question"] == "decode" else ours["fma"])


def cell(row, answer, most):
    if "error" in answer:
        return "—"
    text = f"{speed(row, answer):.1f}"
    return text if most is None else f"{text} ({100 * speed(row, answer) / most:.0f} %)"


def mib(answer):
    return "—" if "error" in answer else f"{answer['extra'] / 2**20:.1f}"


def table_line(row, answers):
    ours, *theirs = answers
    if "error" in ours:
        return f"| {row['name']} | heed: {ours['error']} |"
    most = limit(row, ours)
    known = [answer["seconds"] for answer in theirs if "error" not in answer]
    ratio = f"{min(known) / ours['seconds']:.2f}" if known else "—"
    cells = [row["name"], shape_of(row), str(row["threads"]), amount_of(row)[1],
             "—" if most is None else f"{most:.1f}", f"{row['goal']:.2f}" if row["goal"] else "—",
             *(cell(row, answer, most) for answer in answers), ratio,
             " / ".join(mib(answer) for answer in answers)]
    return "| " + " | ".join(cells) + " |"


def head(titles):
    cells = ["row", "B × H × L × D", "threads", "unit", "limit", "goal", *titles, "heed / best peer",
             "MiB more: " + " / ".join(title.split()[0] for title in titles)]
    return "| " + " | ".join(cells) + " |\n|" + "---|" * len(cells)


def notes(titles, measured):
    """How each peer was asked, which rows it refuses, and where its numbers are not heed's."""
    said = {}
    for row, (ours, *theirs) in measured:
        for title, answer in zip(titles[1:], theirs):
            how = answer.get("how") or answer["error"]
            if how:
                said.setdefault(f"{title}, {how}", []).append(row["name"])
            if "how" in answer and "how" in ours and differs(row, ours, answer):
                said.setdefault(f"{title}, other numbers than heed's", []).append(row["name"])
    return [f"- {what}: {', '.join(names)}" for what, names in sorted(said.items())]


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"model name\s*: (.*)", file.read())
    return found[1] if found else platform.machine()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heed_row", type=Path)
    parser.add_argument("--rows", default="", help="only rows whose name this expression matches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each in each round")
    parser.add_argument("--json", type=Path, help="everything measured, for other programs")
    return parser.parse_args()


def main():
    given = arguments()
    listed = subprocess.run([given.heed_row, "--list"], text=True, capture_output=True, check=True)
    rows = json.loads(listed.stdout)
    if "HEED_MINILM" in os.environ:
        rows += ENCODERS
    rows = [row for row in rows if re.search(given.rows, row["name"])]
    python = environment.python()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(rows, file)
        file.flush()
        here = Path(__file__).resolve().parent
        titles = ["heed"] + [
            environment.run(python, "-c", f"import {peer}; print({peer}.NAME)", cwd=here).strip()
            for peer in PEERS]
        commands = [[given.heed_row, "--serve"]] + [
            [python, here / "worker.py", peer, file.name] for peer in PEERS]
        processes = [Process(title, command) for title, command in zip(titles, commands)]
        print(f"{processor()}\n\n{head(titles)}", flush=True)
        measured = []
        for row in rows:
            answers = measure(processes, row, given.rounds, given.seconds)
            measured.append((row, answers))
            print(table_line(row, answers), flush=True)
        for process in processes:
            process.end()
    print("\nHow each peer was asked:\n")
    print("\n".join(notes(titles, measured)))
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
