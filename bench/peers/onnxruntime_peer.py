"""ONNX Runtime: its fused operators, and the three plain ones."""

import numpy as np
import onnxruntime
from onnx import helper

import inputs
import minilm_onnx
from onnx_session import FLOAT, INT32, bound, session

NAME = "ONNX Runtime " + onnxruntime.__version__


def ways(row):
    if row["question"] in ("backward", "training"):  # it has no gradients
        return []
    if row["question"] == "minilm":
        return minilm_onnx.ways(row["name"])
    if row["bf16"]:
        return []
    if row["question"] == "decode":
        return [("GroupQueryAttention", lambda: decode(row))]
    found = []
    if row["pattern"] != "causal_window":
        found.append(("MultiHeadAttention", lambda: multi_head(row)))
    if row["pattern"] != "full":
        found.append(("GroupQueryAttention", lambda: grouped(row)))
    if row["pattern"] == "full" and not row["bias"]:
        found.append(("MatMul, Softmax, MatMul", lambda: plain(row)))
    return found


def rows_of_tokens(x):
    """[B, L, H·D] of [B, H, L, D]"""
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(x.shape[0], x.shape[2], -1)


def heads_of(out, row):
    return np.ascontiguousarray(
        out.reshape(row["B"], row["Lq"], row["Hq"], row["Dv"]).transpose(0, 2, 1, 3))


def run(row, node, given, results):
    kinds = {name: (INT32 if value.dtype == np.int32 else FLOAT, value.shape)
             for name, value in given.items()}
    call, result = bound(session([node], kinds, results, row["threads"]), given,
                         dict.fromkeys(results))
    return call, lambda: heads_of(result(), row)


def multi_head(row):
    q, k, v = (rows_of_tokens(x) for x in inputs.qkv(row))
    given = {"q": q, "k": k, "v": v}
    names = ["q", "k", "v"]
    if row["bias"]:
        given["bias"] = inputs.bias(row)
        names += ["", "", "bias"]
    node = helper.make_node("MultiHeadAttention", names, ["out"], domain="com.microsoft",
                            num_heads=row["Hq"], unidirectional=int(row["pattern"] == "causal"))
    return run(row, node, given, ["out"])


def grouped(row):
    q, k, v = (rows_of_tokens(x) for x in inputs.qkv(row))
    given = {"q": q, "k": k, "v": v, "last": np.full(row["B"], row["Lk"] - 1, np.int32),
             "total": np.array(row["Lk"], np.int32)}
    window = row["window"] + 1 if row["pattern"] == "causal_window" else -1
    node = helper.make_node("GroupQueryAttention", ["q", "k", "v", "", "", "last", "total"],
                            ["out", "present_k", "present_v"], domain="com.microsoft",
                            num_heads=row["Hq"], kv_num_heads=row["Hkv"],
                            local_window_size=window)
    return run(row, node, given, ["out", "present_k", "present_v"])


def decode(row):
    """One new token; the cache is its own result, as a serving loop binds it."""
    q, k, v = inputs.qkv(row)
    given = {"q": rows_of_tokens(q), "k": rows_of_tokens(k[:, :, -1:]),
             "v": rows_of_tokens(v[:, :, -1:]), "past_k": k, "past_v": v,
             "last": np.full(row["B"], row["Lk"] - 1, np.int32),
             "total": np.array(row["Lk"], np.int32)}
    kinds = {name: (INT32 if value.dtype == np.int32 else FLOAT, value.shape)
             for name, value in given.items()}
    node = helper.make_node(
        "GroupQueryAttention", ["q", "k", "v", "past_k", "past_v", "last", "total"],
        ["out", "present_k", "present_v"], domain="com.microsoft", num_heads=row["Hq"],
        kv_num_heads=row["Hkv"])
    for cache in ("past_k", "past_v"):
        given[cache] = onnxruntime.OrtValue.ortvalue_from_numpy(given[cache])
    results = {"out": None, "present_k": given["past_k"], "present_v": given["past_v"]}
    call, result = bound(session([node], kinds, results, row["threads"]), given, results)
    return call, lambda: heads_of(result(), row)


def plain(row):
    q, k, v = inputs.qkv(row)
    scale = helper.make_tensor("scale", FLOAT, [], [row["D"]**-0.5])
    nodes = [helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
             helper.make_node("MatMul", ["q", "kt"], ["raw"]),
             helper.make_node("Mul", ["raw", "scale"], ["scores"]),
             helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
             helper.make_node("MatMul", ["weights", "v"], ["out"])]
    given = {"q": q, "k": k, "v": v}
    kinds = {name: (FLOAT, value.shape) for name, value in given.items()}
    return bound(session(nodes, kinds, ["out"], row["threads"], [scale]), given, {"out": None})
