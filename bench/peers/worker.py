"""One peer in a process of its own: worker.py PEER ROWS.json reads lines "NAME SECONDS" and answers
each with a line of JSON, as heed_row --serve does.

A peer is a module with ways(row) -> [(how, prepare)]: each a way to ask for the row. prepare()
returns call() and result() -> [B, Hq, Lq, Dv]. The best way counts.
"""

import contextlib
import ctypes
import importlib
import json
import math
import os
import sys
import time

import inputs

TOO_LONG = 5.0  # seconds of a call; such a way is not measured
SLICE = 0.003


def status_bytes(key):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(key + ":"))


def extra_memory(call):
    """By how many bytes the process grew during the call, at its largest."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    before = status_bytes("VmRSS")
    call()
    return max(0, status_bytes("VmHWM") - before)


def turn(call, slice_, expected, clock):
    calls = max(1, round(slice_ / expected))
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls


class Way:
    def __init__(self, how, prepare, row):
        self.how = how
        self.slice = 0 if row["question"] == "decode" else SLICE
        # As heed's: processor seconds on one thread, the clock on the wall on several.
        self.clock = time.process_time if row["threads"] == 1 else time.perf_counter
        self.call, result = prepare()
        self.best = math.inf
        if row["question"] == "training":  # the first step makes moments and gradients
            self.once()
            self.extra = extra_memory(lambda: (self.once(), self.once()))
        else:  # the first call: some peers keep the memory that they took in it
            self.extra = extra_memory(self.once)
        if self.best > TOO_LONG:
            raise RuntimeError(f"{self.best:.0f} s a call")
        self.probe = inputs.probe(result())

    def once(self):
        self.best = turn(self.call, 0, 1, self.clock)

    def measure(self, seconds, between):
        start = time.perf_counter()
        while True:
            between()
            self.best = min(self.best, turn(self.call, self.slice, self.best, self.clock))
            if time.perf_counter() - start > seconds:
                return


class Worker:
    def __init__(self, peer, rows):
        self.peer = importlib.import_module(peer)
        self.rows = {row["name"]: row for row in rows}
        self.large = inputs.np.ones(1 << 26, dtype=inputs.np.float32)
        for name in self.rows:  # so that memory taken once for all does not count for a row
            self.prepare(name, shrink=True)
        self.name = None

    def answer(self, name, seconds):
        if name != self.name:
            self.prepare(name)
        if not self.ways:
            return {"error": "; ".join(self.errors)}
        cold = self.ways[0].slice == 0
        between = self.large.sum if cold else lambda: None
        for way in self.ways:
            way.measure(seconds / len(self.ways), between)
        best = min(self.ways, key=lambda way: way.best)
        # Ways that are far behind need no further rounds.
        self.ways = [way for way in self.ways if way.best < 1.3 * best.best]
        return {"seconds": best.best, "extra": best.extra, "how": best.how, "probe": best.probe}

    def prepare(self, name, shrink=False):
        self.name, self.ways, self.errors = name, [], []
        row = dict(self.rows[name])
        if shrink and "Lk" in row:
            row |= {"Lq": min(row["Lq"], 64), "Lk": 64}
        for how, prepare in self.peer.ways(row):
            try:
                self.ways.append(Way(how, prepare, row))
            except Exception as error:  # what a peer refuses is part of the table
                self.errors.append(f"{how}: {str(error).strip().splitlines()[0][:120]}")


def main():
    # Peers print to standard output as they like; the answers keep it for themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open(sys.argv[2], encoding="utf-8") as file:
        worker = Worker(sys.argv[1], json.load(file))
    for line in sys.stdin:
        name, seconds = line.split()
        with contextlib.redirect_stdout(sys.stderr):
            answer = worker.answer(name, float(seconds))
        print(json.dumps({"name": name, **answer}), file=answers, flush=True)


if __name__ == "__main__":
    main()
