"""Calls the program chat as a user does: right and wrong arguments, good and hostile files.

  chat_calls.py CHAT

The model is a tiny one with random weights, made here, so nothing needs downloading; its text means
nothing, and is the same in every call that has to give the same.
"""

import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
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


def model():
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
    for key, number in [("block_count", LAYERS), ("context_length", CONTEXT),
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
        else:
            kind, written = 0, struct.pack(f"<{size}f", *([1.0] * size))
        extents = struct.pack(f"<{len(shape)}Q", *reversed(shape))
        infos.append(text(name + ".weight") + struct.pack("<I", len(shape)) + extents +
                     struct.pack("<IQ", kind, len(data)))
        data += written + bytes(-len(written) % 32)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(values)) + b"".join(values + infos)
    return header + bytes(-len(header) % 32) + data


# ---- calls ----------------------------------------------------------------------------------------

def call(*arguments, stdin=b"", env=None):
    return subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, timeout=120,
                          env={**os.environ, **(env or {})})


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


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    file = folder / "tiny.gguf"
    file.write_bytes(model())
    (folder / "text").write_text("over and over and over and over and ")

    check(b"--temperature" in call("--help").stdout, "--help does not tell the options")
    refused(2, "there is no option --tempo", "--tempo", "1")
    refused(2, "wants a value behind it", "--prompt")
    refused(2, 'wants a number from 0.0 to 1.0, not "2"', "--top-p", "2")
    refused(2, "wants a number", "--temperature", "nan")
    refused(2, "wants a whole number", "--top-k=-1")
    refused(2, "file or float", "--weights", "int3")
    refused(2, "exclude each other", "--look", "x.png", "--speculate", "3")
    refused(1, "fetch.sh downloads it", "--prompt", "a", env={"HEED_CACHE": name})
    refused(1, "--system is not UTF-8", "--prompt", "a", "--system", b"caf\xe9")
    refused(1, "No such file", "--model", "", "--prompt", "a")
    refused(1, "--look: cannot write to the folder", "--model", str(file), "--prompt", "a", "--look",
            name + "/none/x.png")
    refused(1, "No such file", "--model", name + "/none", "--prompt", "a")
    refused(1, "does not begin with", "--model", str(folder / "text"), "--prompt", "a")
    (folder / "cut.gguf").write_bytes(model()[:-4000])
    refused(1, "was it cut?", "--model", str(folder / "cut.gguf"), "--prompt", "a")
    (folder / "latin").write_bytes(b"caf\xe9")
    refused(1, "byte 4 is not UTF-8", "--model", str(file), "--file", str(folder / "latin"))
    (folder / "long").write_text("x" * 500)
    done = call("--model", str(file), "--file", str(folder / "long"))
    check(done.returncode == 1 and b"has room for 400" in done.stderr, "a long text is not refused")

    few = ("--max-tokens", "30")
    answer = said("--prompt", "Hello", *few)
    check(len(answer) > 5, "the answer is empty")
    for same in (["--speculate", "8"], ["--threads", "1"], ["--top-k", "3"], ["--seed", "4"]):
        check(said("--prompt", "Hello", *few, *same) == answer, f"{same} changes a greedy answer")
    check(said("--prompt", "Hello", *few, "--system", "x") != answer, "--system changes nothing")
    warm = ("--temperature", "1", *few)
    check(said("--prompt", "Hello", *warm) == said("--prompt", "Hello", *warm),
          "a seed gives two answers")
    check(said("--prompt", "Hello", *warm) != said("--prompt", "Hello", *warm, "--seed", "1"),
          "two seeds give one answer")
    check(said("--file", "-", *few, stdin=b"Hello") == answer, "--file - is not the prompt")
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

    # Ctrl-C while it waits for a line, and a reader that goes away.
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
