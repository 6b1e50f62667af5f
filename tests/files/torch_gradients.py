"""Ten random inputs through heed's modules and PyTorch's: results and all gradients agree.

    torch_gradients.py PROGRAM      the program of torch_gradients.cpp

A difference may be 1e-5 of the tensor's largest number, or of 1 where that is smaller. Returns 77,
and says so, where PyTorch is missing.
"""

import json
import math
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import torch
except ImportError:
    print("skipped: this Python has no torch; ./run peers installs one")
    sys.exit(77)

ALLOWED = 1e-5
TYPES = {torch.float32: ("F32", "f"), torch.int64: ("I64", "q")}


class Classifier(torch.nn.Module):
    """heed::nn::SimpleTransformer."""

    def __init__(self, features, heads, hidden, layers):
        super().__init__()
        self.embedding = torch.nn.Embedding(50, features)
        self.positions = torch.nn.Module()
        self.positions.table = torch.nn.Parameter(torch.randn(64, features))
        self.layers = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(features, heads, hidden, 0.0, "gelu",
                                             batch_first=True) for _ in range(layers))
        self.classifier = torch.nn.Linear(features, 3)

    def forward(self, ids):
        x = self.embedding(ids) + self.positions.table[:ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.classifier(x.mean(1))


def write(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        dtype, letter = TYPES[tensor.dtype]
        numbers = tensor.detach().flatten().tolist()
        piece = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        header[name] = {"dtype": dtype, "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read(path):
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    found = {}
    for name, entry in json.loads(content[8:end]).items():
        if name != "__metadata__":
            begin, stop = entry["data_offsets"]
            piece = content[end + begin:end + stop]
            found[name] = torch.tensor(struct.unpack(f"<{len(piece) // 4}f", piece))
    return found


def problem(number):
    """Kind, sizes, the module and its inputs; sizes differ from one number to the next."""
    torch.manual_seed(number)
    heads = 2 + number % 3
    features, hidden = heads * (6 + 2 * number), 20 + 7 * number
    length, memory = 3 + 4 * number, 30 - 2 * number
    kind = ("encoder", "decoder", "encoder_pre", "classifier")[number % 4]
    x = torch.randn(2, length, features, requires_grad=True)
    if kind == "classifier":
        model = Classifier(features, heads, hidden, 2)
        return kind, heads, hidden, model, {"ids": torch.randint(0, 50, (3, length))}
    if kind == "decoder":
        model = torch.nn.TransformerDecoderLayer(features, heads, hidden, 0.0, "gelu",
                                                 batch_first=True)
        return kind, heads, hidden, model, {
            "x": x, "memory": torch.randn(2, memory, features, requires_grad=True)}
    model = torch.nn.TransformerEncoderLayer(features, heads, hidden, 0.0, "gelu",
                                             batch_first=True, norm_first=kind == "encoder_pre")
    return kind, heads, hidden, model, {"x": x}


def expected(kind, model, inputs):
    """dy, and what PyTorch gives: results and gradients by name."""
    if kind == "decoder":
        length = inputs["x"].shape[1]
        causal = torch.nn.Transformer.generate_square_subsequent_mask(length)
        out = model(inputs["x"], inputs["memory"], tgt_mask=causal, tgt_is_causal=True)
    else:
        out = model(*inputs.values())
    dy = torch.randn(out.shape)
    out.backward(dy)
    wanted = {"out": out}
    for name in ("x", "memory"):
        if name in inputs:
            wanted["d_" + name] = inputs[name].grad
    return dy, wanted, {name: p.grad for name, p in model.named_parameters()}


def worst(ours, theirs):
    """The largest difference, as a share of the theirs' largest number or of 1; NaN if one is."""
    if set(ours) != set(theirs):
        sys.exit(f"other tensors: {sorted(set(ours) ^ set(theirs))}")
    gaps = {}
    for name, tensor in theirs.items():
        gap = (ours[name] - tensor.detach().flatten()).abs().max()
        gaps[name] = (gap / tensor.abs().max().clamp(min=1)).item()
        if math.isnan(gaps[name]):
            return gaps[name], name
    return max((gap, name) for name, gap in gaps.items())


def main():
    program, failed = sys.argv[1], False
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "in", Path(folder) / "out"
        for number in range(10):
            kind, heads, hidden, model, inputs = problem(number)
            dy, wanted, gradients = expected(kind, model, inputs)
            weights = {"model." + name: p for name, p in model.named_parameters()}
            write(given, {**weights, **inputs, "dy": dy})
            subprocess.run([program, kind, str(heads), str(hidden), "2", given, answer], check=True)
            for gap, name in (worst(read(Path(f"{answer}.results")), wanted),
                              worst(read(answer), gradients)):
                failed |= not gap <= ALLOWED
                print(f"{number} {kind}: {gap:.1e} in {name}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
