"""torch.nn.functional.scaled_dot_product_attention"""

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention as attention

import inputs

NAME = "PyTorch " + torch.__version__.split("+")[0]


def ways(row):
    if row["question"] == "minilm":
        return []
    if row["question"] == "training":
        return [(f"AdamW, {kind}", lambda kind=kind: prepare_training(row, kind))
                for kind in ("fused", "foreach")]
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


class Classifier(torch.nn.Module):
    """heed::nn::SimpleTransformer: the attention's output is not dropped."""

    def __init__(self, row):
        super().__init__()
        features = row["features"]
        self.embedding = torch.nn.Embedding(1000, features)
        self.positions = torch.nn.Parameter(torch.randn(512, features))
        self.blocks = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(features, row["heads"], 4 * features, row["dropout"],
                                             "gelu", batch_first=True)
            for _ in range(row["layers"]))
        for block in self.blocks:
            block.dropout1.p = 0.0
        self.classifier = torch.nn.Linear(features, 2)

    def forward(self, ids):
        x = self.embedding(ids) + self.positions[:ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean(1))


def prepare_training(row, kind):
    """A training step, as bench/support/training.hpp has it."""
    torch.set_num_threads(row["threads"])
    torch.manual_seed(1)
    model = Classifier(row).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, **{kind: True})
    b, i = np.arange(row["B"])[:, None], np.arange(row["L"])[None, :]
    ids = torch.from_numpy((7919 * b + 104729 * i) % 1000)
    labels = torch.arange(row["B"]) % 2
    held = {}

    def call():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(ids), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        held["loss"] = loss

    return call, lambda: held["loss"].detach().numpy()
