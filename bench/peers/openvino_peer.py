"""OpenVINO's ScaledDotProductAttention"""

import numpy as np
import openvino
from openvino import opset6
from openvino import opset13 as op

import inputs

NAME = "OpenVINO " + openvino.__version__.split("-")[0]


def ways(row):
    if row["question"] in ("backward", "training"):  # it has no gradients
        return []
    if row["question"] == "minilm":
        return []
    if row["question"] == "decode":
        return [("ScaledDotProductAttention over a state", lambda: decode(row))]
    return [("ScaledDotProductAttention", lambda: prepare(row))]


def prepare(row):
    values = list(inputs.qkv(row))
    kind = openvino.Type.bf16 if row["bf16"] else openvino.Type.f32
    parameters = [op.parameter(list(x.shape), kind) for x in values]
    if row["pattern"] == "causal_window":
        values.append(inputs.allowed(row))
        parameters.append(op.parameter(list(values[-1].shape), openvino.Type.boolean))
    elif row["bias"]:
        values.append(inputs.bias(row))
        parameters.append(op.parameter(list(values[-1].shape), kind))
    node = op.scaled_dot_product_attention(*parameters, causal=row["pattern"] == "causal")
    if row["bf16"]:
        node = op.convert(node, openvino.Type.f32)
    request = compiled(openvino.Model([node], parameters), row)
    for n, value in enumerate(values):
        request.set_input_tensor(n, tensor(value, row["bf16"]))
    return request.infer, lambda: request.get_output_tensor(0).data


def compiled(model, row):
    return openvino.Core().compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": row["threads"], "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if row["bf16"] else "f32",
        "KV_CACHE_PRECISION": "f32",
    }).create_infer_request()


def decode(row):
    """One new token; the cache is the model's state, as in OpenVINO's language models.

    Every call appends a token, so the state is a little longer each time.
    """
    q, k, v = inputs.qkv(row)
    new = [q, k[:, :, -1:], v[:, :, -1:], np.zeros(row["B"], np.int32)]
    kinds = [openvino.Type.f32] * 3 + [openvino.Type.i32]
    parameters = [op.parameter(list(x.shape), kind) for x, kind in zip(new, kinds)]
    kept = [cache(row, name, parameter, parameters[3])
            for name, parameter in (("k", parameters[1]), ("v", parameters[2]))]
    node = op.scaled_dot_product_attention(parameters[0], kept[0][0], kept[1][0], causal=False)
    model = openvino.Model([op.result(node)], [sink for _, sink in kept], parameters)
    request = compiled(model, row)
    for state in request.query_state():
        past = (k if state.name == "k" else v)[:, :, :-1]
        state.state = openvino.Tensor(np.ascontiguousarray(past))
    for n, value in enumerate(new):
        request.set_input_tensor(n, tensor(value, False))
    first = {}

    def call():
        request.infer()
        if not first:
            first["out"] = request.get_output_tensor(0).data.copy()

    return call, lambda: first["out"]


def cache(row, name, new, beams):
    """State `name` with the new token behind it, for every query head; and what stores it.

    The product with ones repeats a head for its group in the form that the plugin fuses.
    """
    B, heads, dim = row["B"], row["Hkv"], row["D"]
    group = row["Hq"] // heads
    kind, shape = openvino.Type.f32, openvino.PartialShape([B, heads, -1, dim])
    past = opset6.read_value(op.constant(np.zeros((B, heads, 0, dim), np.float32)), name, kind,
                             shape)
    past = op.gather(past, beams, op.constant(0, np.int64))
    whole = op.concat([past, new], 2)
    sink = opset6.assign(whole, name)
    if group > 1:
        ones = op.constant(np.ones((B, heads, group, 1, 1), np.float32))
        spread = op.multiply(op.unsqueeze(whole, op.constant(2, np.int64)), ones)
        whole = op.reshape(spread, op.constant([0, heads * group, -1, dim], np.int64), True)
    return whole, sink


def tensor(value, bf16):
    if not bf16 or value.dtype != np.float32:
        return openvino.Tensor(np.ascontiguousarray(value), shared_memory=False)
    # numpy has no bfloat16: its bits are a float's upper half, rounded to even.
    bits = value.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    made = openvino.Tensor(openvino.Type.bf16, list(value.shape))
    made.data.view(np.uint16)[...] = rounded
    return made
