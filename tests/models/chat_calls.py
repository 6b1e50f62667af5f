"""Calls the program chat as a user does: right and wrong arguments, good and hostile files.

  chat_calls.py CHAT

The model is a tiny one with random weights, made here, so nothing needs downloading; its text means
nothing, and is the same in every call that has to give the same.
"""

import fcntl
import os
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

PROGRAM = sys.argv[1]
FEATURES, HIDDEN, HEADS, KV_HEADS, LAYERS, CONTEXT = 64, 96, 4, 2, 2, 400
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)


# ---- the tiny model -------------------------------------------------------------------------------

def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


def array(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def letters():
    """GPT-2's letters of all bytes."""
    shown = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = iter(range(256, 512))
    return [chr(byte if byte in shown else next(others)) for byte in range(256)]


def model(ends=True, context=CONTEXT):
    """One that does not end never picks its end token: the logit is 0, below that of many others."""
    draw = random.Random(3)
    tokens = SPECIAL + letters()
    kinds = [3] * len(SPECIAL) + [1] * 256
    values = [value("general.architecture", 8, text("llama")),
              value("tokenizer.ggml.model", 8, text("gpt2")),
              value("tokenizer.ggml.pre", 8, text("smollm")),
              value("tokenizer.ggml.tokens", 9, array(8, [text(token) for token in tokens])),
              value("tokenizer.ggml.token_type", 9, array(5, [struct.pack("<i", k) for k in kinds])),
              value("tokenizer.ggml.merges", 9, array(8, [])),
              value("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5))]
    for key, number in [("block_count", LAYERS), ("context_length", context),
                        ("embedding_length", FEATURES), ("feed_forward_length", HIDDEN),
                        ("attention.head_count", HEADS), ("attention.head_count_kv", KV_HEADS)]:
        values.append(value("llama." + key, 4, struct.pack("<I", number)))
    kv = FEATURES // HEADS * KV_HEADS
    shapes = {"token_embd": (len(tokens), FEATURES), "output_norm": (FEATURES,)}
    for n in range(LAYERS):
        for name, shape in [("attn_norm", (FEATURES,)), ("ffn_norm", (FEATURES,)),
                            ("attn_q", (FEATURES, FEATURES)), ("attn_k", (kv, FEATURES)),
                            ("attn_v", (kv, FEATURES)), ("attn_output", (FEATURES, FEATURES)),
                            ("ffn_gate", (HIDDEN, FEATURES)), ("ffn_up", (HIDDEN, FEATURES)),
                            ("ffn_down", (FEATURES, HIDDEN))]:
            shapes[f"blk.{n}.{name}"] = shape
    infos, data = [], b""
    for name, shape in shapes.items():
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        if len(shape) > 1:  # Q8_0
            blocks = (struct.pack("<e", 0.003) + draw.randbytes(32) for _ in range(size // 32))
            kind, written = 8, b"".join(blocks)
            if name == "token_embd" and not ends:
                row = len(written) // shape[0]
                end = SPECIAL.index("<|im_end|>") * row
                written = written[:end] + bytes(row) + written[end + row:]
        else:
            kind, written = 0, struct.pack(f"<{size}f", *([1.0] * size))
        extents = struct.pack(f"<{len(shape)}Q", *reversed(shape))
        infos.append(text(name + ".weight") + struct.pack("<I", len(shape)) + extents +
                     struct.pack("<IQ", kind, len(data)))
        data += written + bytes(-len(written) % 32)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(values)) + b"".join(values + infos)
    return header + bytes(-len(header) % 32) + data


# ---- calls ----------------------------------------------------------------------------------------

def call(*arguments, stdin=b"", env=None, pass_fds=()):
    return subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, timeout=120,
                          env={**os.environ, **(env or {})}, pass_fds=pass_fds)


def refused(code, part, *arguments, **more):
    done = call(*arguments, **more)
    lines = done.stderr.decode(errors="replace").strip().split("\n")
    check(done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}")
    check(part in lines[-1] and len(lines[-1]) < 400, f"{arguments}: said {lines[-1]!r}")
    check(done.stdout == b"", f"{arguments}: wrote {done.stdout[:40]!r}")


def said(*arguments, **more):
    done = call("--model", str(file), *arguments, **more)
    check(done.returncode == 0, f"{arguments}: exit code {done.returncode}: {done.stderr[-200:]!r}")
    try:
        return done.stdout.decode()
    except UnicodeDecodeError:
        check(False, f"{arguments}: what it wrote is not UTF-8")
        return ""


class Terminal:
    """A conversation in a pseudo-terminal, whose Ctrl-C reaches the program as a user's does."""

    def __init__(self, *arguments, lines=True):
        """Without lines, a line may be longer than the 4095 characters that a terminal collects."""
        self.end, self.own = pty.openpty()
        # Linux sends the signal and then drops what was written, at times the prompt that follows.
        settings = termios.tcgetattr(self.own)
        settings[3] |= termios.NOFLSH
        if not lines:
            settings[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(self.own, termios.TCSANOW, settings)
        self.before = termios.tcgetattr(self.own)

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.running = subprocess.Popen([PROGRAM, *arguments], stdin=self.own, stdout=self.own,
                                        stderr=self.own, preexec_fn=take_terminal)
        self.said = ""  # since the last prompt

    def type(self, characters):
        data = characters.encode()
        while data:
            data = data[os.write(self.end, data):]

    def wait_for(self, pattern):
        """Reads until the pattern has come. False where the program ends or a minute goes by."""
        late = time.monotonic() + 60
        while not re.search(pattern, self.said):
            if select.select([self.end], [], [], 0.1)[0]:
                self.said += os.read(self.end, 4096).decode(errors="replace")
            elif self.running.poll() is not None or time.monotonic() > late:
                return False
        return True

    def prompt(self):
        """The text up to the next prompt."""
        if not self.wait_for(r"\n> $"):
            check(False, f"the prompt does not come: {self.said[-200:]!r}")
        said, self.said = self.said, ""
        return said

    def ends(self, code):
        """What it says last. The terminal has its settings and the cursor begins a line."""
        check(self.running.wait(60) == code, f"in a terminal: exit code {self.running.returncode}")
        while select.select([self.end], [], [], 0)[0]:
            self.said += os.read(self.end, 4096).decode(errors="replace")
        check(termios.tcgetattr(self.own) == self.before, "the terminal has other settings")
        check(self.said.endswith("\n"), f"the cursor stands behind {self.said[-40:]!r}")
        os.close(self.end)
        os.close(self.own)
        return self.said


def tokens_of(said):
    """Tokens that were read and written, and those in the cache and forgotten."""
    counts = [re.search(pattern, said) for pattern in
              (r"prefill: (\d+) tokens", r"decode: (\d+) tokens", r"MB of (\d+) tokens",
               r"window: (\d+) tokens")]
    return [int(found.group(1)) if found else -1 for found in counts]


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    file = folder / "tiny.gguf"
    file.write_bytes(model())
    (folder / "text").write_text("over and over and over and over and ")

    check(b"--temperature" in call("--help").stdout, "--help does not tell the options")
    refused(2, "there is no option --tempo", "--tempo", "1")
    refused(2, "wants a value behind it", "--prompt")
    refused(2, '"Hello" stands behind no option; a text stands behind --prompt', "Hello")
    refused(2, '"" stands behind no option', "")
    refused(2, 'wants a number from 0.0 to 1.0, not "2"', "--top-p", "2")
    refused(2, "wants a number", "--temperature", "nan")
    refused(2, "wants a whole number", "--top-k=-1")
    refused(2, "file, bfloat16 or float", "--weights", "int3")
    refused(2, 'k4v4 or paged, not "int4"', "--cache", "int4")
    refused(2, "exclude each other", "--look", "x.png", "--speculate", "3")
    refused(2, "exclude each other", "--look", "x.png", "--window", "300")
    refused(1, "a window of 397 tokens is not among 32", "--model", str(file), "--prompt", "a",
            "--window", "397")
    refused(1, "fetch.sh downloads it", "--prompt", "a", env={"HEED_CACHE": name})
    refused(1, "--system is not UTF-8", "--prompt", "a", "--system", b"caf\xe9")
    refused(1, "No such file", "--model", "", "--prompt", "a")
    refused(1, "--look: cannot write to the folder", "--model", str(file), "--prompt", "a", "--look",
            name + "/none/x.png")
    refused(1, f"{name} is a folder", "--model", str(file), "--prompt", "a", "--look", name)
    (folder / "blank").write_text(" \n\n")
    for blank in (("--prompt", ""), ("--prompt", "  "), ("--file", str(folder / "blank")),
                  ("--file", "-")):
        refused(1, "there is nothing to answer", "--model", str(file), *blank)
    refused(1, "No such file", "--model", name + "/none", "--prompt", "a")
    refused(1, "does not begin with", "--model", str(folder / "text"), "--prompt", "a")
    (folder / "cut.gguf").write_bytes(model()[:-4000])
    refused(1, "was it cut?", "--model", str(folder / "cut.gguf"), "--prompt", "a")
    (folder / "latin").write_bytes(b"caf\xe9")
    refused(1, "byte 4 is not UTF-8", "--model", str(file), "--file", str(folder / "latin"))
    (folder / "long").write_text("x" * 500)
    done = call("--model", str(file), "--file", str(folder / "long"))
    check(done.returncode == 1 and b"context of 400 has room for 400" in done.stderr,
          "a long text is not refused")
    done = call("--model", str(file), "--file", str(folder / "long"), "--window", "300")
    check(done.returncode == 1 and b"window of 300 has room for 300" in done.stderr,
          f"a text longer than the window: {done.stderr!r}")

    few = ("--max-tokens", "30")
    answer = said("--prompt", "Hello", *few)
    check(len(answer) > 5, "the answer is empty")
    for same in (["--speculate", "8"], ["--window", "300"], ["--threads", "1"], ["--top-k", "3"],
                 ["--seed", "4"], ["--cache", "paged"]):
        check(said("--prompt", "Hello", *few, *same) == answer, f"{same} changes a greedy answer")
    check(said("--prompt", "Hello", *few, "--system", "x") != answer, "--system changes nothing")
    for weights in ("bfloat16", "float"):
        check(len(said("--prompt", "Hello", *few, "--weights", weights)) > 5, f"{weights}: no answer")
    warm = ("--temperature", "1", *few)
    check(said("--prompt", "Hello", *warm) == said("--prompt", "Hello", *warm),
          "a seed gives two answers")
    check(said("--prompt", "Hello", *warm) != said("--prompt", "Hello", *warm, "--seed", "1"),
          "two seeds give one answer")
    check(said("--file", "-", *few, stdin=b"Hello") == answer, "--file - is not the prompt")
    for closed, code, wrote in (("<&- 2>&-", 0, answer.encode()), ("<&- >&-", 1, b"")):
        done = subprocess.run(["sh", "-c", f'exec "$0" "$@" {closed}', PROGRAM, "--model", str(file),
                               "--prompt", "Hello", *few], capture_output=True, timeout=60)
        check(done.returncode == code and done.stdout == wrote,
              f"{closed}: exit code {done.returncode}, wrote {done.stdout[:40]!r}")
    done = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&-', PROGRAM, "--model", str(file)],
                          capture_output=True, timeout=60)
    check(done.returncode == 0, f"without standard input: exit code {done.returncode}")
    read_end, write_end = os.pipe()
    os.write(write_end, b"Hello")
    os.close(write_end)
    refused(1, "fetch.sh downloads it", "--file", f"/dev/fd/{read_end}", env={"HEED_CACHE": name},
            pass_fds=[read_end])
    check(said("--file", f"/dev/fd/{read_end}", *few, pass_fds=[read_end]) == answer,
          "--file of a pipe is not the prompt")
    os.close(read_end)
    check(said(*few, stdin=b"Hello\n") == answer, "a line is not a prompt")
    check(len(said(*few, stdin=b"Hello\n\nAgain\n")) > len(answer), "the second line has no answer")
    done = call("--model", str(file), stdin=b"Hello\n" * 9, *("--max-tokens", "100"))
    check(done.returncode == 0 and b"context of the model is full" in done.stderr,
          f"a full context is not told: {done.stderr[-300:]!r}")
    done = call("--model", str(file), stdin=b"x" * 500 + b"\nHello\n", *few)
    check(done.returncode == 0 and b"no room for this text" in done.stderr and len(done.stdout) > 9,
          "a line that is too long ends the conversation")
    said("--prompt", "Hello", *few, "--look", str(folder / "look.png"))
    check((folder / "look.png").read_bytes()[:4] == b"\x89PNG", "--look wrote no picture")

    done = call("--model", str(file), stdin=b"Hello\n" * 9,
                *("--max-tokens", "100", "--window", "200"))
    check(done.returncode == 0 and b"is full" not in done.stderr and
          re.search(rb"window: [1-9]\d+ tokens forgotten", done.stderr),
          f"a window does not go on: {done.stderr[-300:]!r}")

    # Every cache: its name and size are printed, drafts, a window and --look go on with it. A token
    # has 2 layers of 2 key heads of 16 numbers for its key and as many for its value.
    (folder / "endless.gguf").write_bytes(model(ends=False))
    for cache, printed, token in (("float", "float", 512), ("bfloat16", "bfloat16", 256),
                                  ("half", "half", 256), ("int8", "k8v8", 160),
                                  ("k8v4", "k8v4", 128), ("k4v4", "k4v4", 96),
                                  ("paged", "paged", 512)):
        of = ("--model", str(folder / "endless.gguf"), "--cache", cache, "--max-tokens", "300")
        done = call(*of, "--prompt", "Hello", "--speculate", "8")
        bytes_said = re.search(rb"keys and values in (\w+): ([\d.]+) MB of (\d+) tokens, ([\d.]+) MB",
                               done.stderr)
        check(done.returncode == 0 and bytes_said and bytes_said[1].decode() == printed and
              abs(float(bytes_said[2]) * 1e6 - token * int(bytes_said[3])) < 5001 and
              float(bytes_said[4]) >= float(bytes_said[2]) and int(bytes_said[3]) > 300 and
              re.search(rb"drafts: [\d.]+ tokens a call, [\d.]+ times as fast", done.stderr),
              f"--cache {cache}: {done.stderr!r}")
        done = call(*of, "--window", "100", "--prompt", "Hello")
        check(done.returncode == 0 and re.search(rb"window: [1-9]\d+ tokens forgotten", done.stderr),
              f"--cache {cache}: a window does not go on: {done.stderr[-300:]!r}")
        said("--cache", cache, "--prompt", "Hello", *few, "--look", str(folder / f"{cache}.png"))
        check((folder / f"{cache}.png").stat().st_size > 100, f"--cache {cache}: --look drew nothing")

    # Ctrl-C in a terminal: within an answer, while a text is read, and at the prompt.
    endless = ("--model", str(folder / "endless.gguf"), "--window", "100", "--max-tokens", "1000000")
    terminal = Terminal(*endless)
    terminal.prompt()
    terminal.type("Hello\n")
    check(terminal.wait_for(r"Hello\r\n[^\n]{20}"), "no answer in a terminal")
    terminal.type("\x03")
    terminal.prompt()
    terminal.type("\n")
    # The part of the answer that was written stays in the conversation; its last token is not read.
    read, written, kept, forgotten = tokens_of(terminal.ends(0))
    check(written > 0 and kept + forgotten == read + written - 1,
          f"of {read} tokens read and {written} written {kept} are kept, {forgotten} forgotten")

    # A text that takes a minute to read is stopped at once, and none of it stays.
    words = 30000
    (folder / "large.gguf").write_bytes(model(context=4 * words))
    terminal = Terminal("--model", str(folder / "large.gguf"), lines=False)
    terminal.prompt()
    terminal.type("ab " * words + "\n")
    check(terminal.wait_for(r"\] \d+ of \d+ tokens"), f"no progress of a long text: {terminal.said[-200:]!r}")
    start = time.monotonic()
    terminal.type("\x03")
    terminal.prompt()
    check(time.monotonic() - start < 20, "Ctrl-C while a text is read takes long")
    terminal.type("\n")
    read, written, kept, _ = tokens_of(terminal.ends(0))
    check(0 < read < 3 * words and written == 0 and kept == 0,
          f"stopped while it reads: {read} tokens read, {written} written, {kept} kept")

    brief = ("--model", str(file), "--max-tokens", "30")
    terminal = Terminal(*brief)
    terminal.prompt()
    terminal.type("\x03")
    terminal.ends(130)

    # Ctrl-C while it waits for a line of a pipe, and a reader that goes away.
    waiting = subprocess.Popen([PROGRAM, "--model", str(file)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    check(waiting.wait(60) == 130, "Ctrl-C does not end a conversation by 130")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, "--model", str(file), "--prompt", "a"], stdout=full,
                              stderr=subprocess.PIPE, timeout=60)
    check(done.returncode == 1 and b"cannot write" in done.stderr, "a full disk is not told")

for failure in failures:
    print(failure)
print(f"{len(failures)} failures")
sys.exit(len(failures) > 0)
