"""MiniLM as an ONNX graph of ONNX Runtime's own fused operators, from the trained weights."""

import json
import os
import struct
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

import inputs
import onnx_session


def ways(name):
    if "HEED_MINILM" not in os.environ:
        return []
    found = [("fused Attention", lambda: prepare(name, flash=False))]
    if inputs.sentences(name)[1].min() == inputs.sentences(name)[0].shape[1]:
        found.append(("MultiHeadAttention", lambda: prepare(name, flash=True)))
    return found


def weights_of(path):
    """Name to array of a safetensors file."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    found = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + n for n in entry["data_offsets"])
            found[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(
                entry["shape"])
    return found


class Graph:
    """Nodes and constants, each named by what it is."""

    def __init__(self, weights, config):
        self.weights, self.config = weights, config
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        self.constants[name] = numpy_helper.from_array(
            np.ascontiguousarray(value, dtype=np.float32), name)
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name])

    def node(self, kind, given, out, domain="com.microsoft", **attributes):
        # A fused operator that skips a result names it "".
        self.nodes.append(helper.make_node(kind, given, [out], domain=domain, **attributes))
        return out

    def linear(self, x, name, out):
        weight = self.constant(name + ".weight", self.weights[name + ".weight"].T)
        return self.node("MatMul", [x, weight], out, domain="")

    def norm(self, x, residual, bias, name, out):
        return self.node("SkipLayerNormalization",
                         [x, residual, self.weight(name + ".weight"), self.weight(name + ".bias"),
                          self.weight(bias)], out, epsilon=self.config["layer_norm_eps"])

    def embeddings(self):
        table = "embeddings.{}.weight".format
        names = [self.weight(table(part)) for part in
                 ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm")]
        self.nodes.append(helper.make_node(
            "EmbedLayerNormalization", ["ids", "segments"] + names
            + [self.weight("embeddings.LayerNorm.bias")], ["x0", "unused"],
            domain="com.microsoft", epsilon=self.config["layer_norm_eps"]))
        return "x0"

    def attention(self, x, layer, flash):
        part = f"encoder.layer.{layer}.attention.self."
        heads = self.config["num_attention_heads"]
        stacked = [np.concatenate([self.weights[part + n + end] for n in ("query", "key", "value")])
                   for end in (".weight", ".bias")]
        bias = self.constant(part + "bias", stacked[1])
        if not flash:
            weight = self.constant(part + "weight", stacked[0].T)
            return self.node("Attention", [x, weight, bias, "lengths"], f"context{layer}",
                             num_heads=heads)
        projected = [self.linear(x, part + n, f"{n}{layer}") for n in ("query", "key", "value")]
        return self.node("MultiHeadAttention", projected + [bias], f"context{layer}",
                         num_heads=heads)

    def layer(self, x, layer, flash):
        part = f"encoder.layer.{layer}."
        context = self.attention(x, layer, flash)
        projected = self.linear(context, part + "attention.output.dense", f"projected{layer}")
        middle = self.norm(projected, x, part + "attention.output.dense.bias",
                           part + "attention.output.LayerNorm", f"middle{layer}")
        wide = self.linear(middle, part + "intermediate.dense", f"wide{layer}")
        active = self.node("BiasGelu", [wide, self.weight(part + "intermediate.dense.bias")],
                           f"active{layer}")
        narrow = self.linear(active, part + "output.dense", f"narrow{layer}")
        return self.norm(narrow, middle, part + "output.dense.bias", part + "output.LayerNorm",
                         f"x{layer + 1}")


def prepare(name, flash):
    folder = Path(os.environ["HEED_MINILM"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    graph = Graph(weights_of(folder / "model.safetensors"), config)
    x = graph.embeddings()
    for layer in range(config["num_hidden_layers"]):
        x = graph.layer(x, layer, flash)
    ids, lengths = inputs.sentences(name)
    given = {"ids": ids, "segments": np.zeros_like(ids)}
    if not flash:
        given["lengths"] = lengths
    kinds = {key: (onnx_session.INT32, value.shape) for key, value in given.items()}
    runner = onnx_session.session(graph.nodes, kinds, [x], 1, graph.constants.values())
    call, result = onnx_session.bound(runner, given, {x: None})
    # bench/peers/heed_row.cpp looks at the last sentence's first token too.
    return call, lambda: result()[-1, 0]
