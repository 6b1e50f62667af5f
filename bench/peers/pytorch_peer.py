"""torch.nn.functional.scaled_dot_product_attention"""

import torch
from torch.nn.functional import scaled_dot_product_attention as attention

import inputs

NAME = "PyTorch " + torch.__version__.split("+")[0]


def ways(row):
    if row["question"] == "minilm":
        return []
    options = {"is_causal": row["pattern"] == "causal", "enable_gqa": row["Hq"] != row["Hkv"]}
    found = [("sdpa", lambda: prepare(row, options))]
    if row["pattern"] == "causal_window":
        mask = torch.from_numpy(inputs.allowed(row))
        found = [("sdpa with a mask", lambda: prepare(row, {"attn_mask": mask}))]
    elif row["bias"]:
        bias = torch.from_numpy(inputs.bias(row))
        found = [("sdpa with a bias", lambda: prepare(row, {"attn_mask": bias}))]
    elif row["question"] == "decode" and row["Hq"] != row["Hkv"]:
        found.append(("sdpa, the group as queries", lambda: prepare(row, {}, fold=True)))
    return found


def prepare(row, options, fold=False):
    torch.set_num_threads(row["threads"])
    dtype = torch.bfloat16 if row["bf16"] else torch.float32
    q, k, v = (torch.from_numpy(x).to(dtype) for x in inputs.qkv(row))
    if fold:
        q = q.view(row["B"], row["Hkv"], row["Hq"] // row["Hkv"], row["D"])
    held = {}

    def call():
        held["out"] = attention(q, k, v, **options)

    if row["question"] == "backward":
        return prepare_backward(row, dtype, (q, k, v), options)
    return torch.inference_mode()(call), lambda: held["out"].float().contiguous().numpy()


def prepare_backward(row, dtype, inputs_of, options):
    """The backward pass alone; its result is the gradient of q."""
    leaves = [x.detach().requires_grad_() for x in inputs_of]
    out = attention(*leaves, **options)
    d_out = torch.from_numpy(inputs.d_out(row)).to(dtype)
    held = {}

    def call():
        held["d"] = torch.autograd.grad(out, leaves, d_out, retain_graph=True)

    return call, lambda: held["d"][0].float().contiguous().numpy()
