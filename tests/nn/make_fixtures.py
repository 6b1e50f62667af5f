"""Writes torch_fixtures.hpp: layers of torch with small weights, their inputs and what they give.

  python3 make_fixtures.py > torch_fixtures.hpp        needs torch (2.15.0 was used)

Weights and inputs are multiples of 1/64, so that the few digits written are all of them.
"""

import textwrap

import torch

FEATURES, HEADS, HIDDEN, SOURCE = 6, 2, 10, 4


def scatter(module, generator):
    for parameter in module.parameters():
        parameter.data = sixty_fourths(parameter.shape, generator)
    return module.double().eval()


def sixty_fourths(shape, generator):
    return torch.randint(-64, 65, tuple(shape), generator=generator) / 64


def written(tensor, name):
    numbers = textwrap.fill(", ".join(f"{number:.15g}" for number in tensor.flatten().tolist()),
                            width=98, initial_indent=" " * 7, subsequent_indent=" " * 7)
    shape = ", ".join(str(size) for size in tensor.shape)
    return f'    {{"{name}",\n     {{{{{shape}}},\n      {{{numbers.strip()}}}}}}},\n'


def fixture(name, comment, module, inputs, out):
    text = f"// {comment}\ninline const TorchFixture {name} = {{\n"
    for key, value in module.state_dict().items():
        text += written(value, key)
    for key, value in inputs.items():
        text += written(value, key)
    return text + written(out, "out") + "};\n"


def encoder_layer(generator, norm_first, bias=True):
    layer = scatter(torch.nn.TransformerEncoderLayer(
        FEATURES, HEADS, HIDDEN, dropout=0.0, activation="gelu", layer_norm_eps=1e-5,
        batch_first=True, norm_first=norm_first, bias=bias), generator)
    x = sixty_fourths((2, 4, FEATURES), generator).double()
    padding = torch.tensor([[False] * 4, [False, False, False, True]])
    return layer, {"x": x}, layer(x, src_key_padding_mask=padding)


def decoder_layer(generator, norm_first):
    """Causal, and the last key of memory's batch 1 is padding."""
    layer = scatter(torch.nn.TransformerDecoderLayer(
        FEATURES, HEADS, HIDDEN, dropout=0.0, activation="relu", batch_first=True,
        norm_first=norm_first), generator)
    x = sixty_fourths((2, 3, FEATURES), generator).double()
    memory = sixty_fourths((2, 4, FEATURES), generator).double()
    causal = torch.triu(torch.ones(3, 3, dtype=torch.bool), diagonal=1)
    padding = torch.tensor([[False] * 4, [False, False, False, True]])
    out = layer(x, memory, tgt_mask=causal, tgt_is_causal=True, memory_key_padding_mask=padding)
    return layer, {"x": x, "memory": memory}, out


def cross_attention(generator):
    layer = scatter(torch.nn.MultiheadAttention(
        FEATURES, HEADS, kdim=SOURCE, vdim=SOURCE, batch_first=True), generator)
    x = sixty_fourths((1, 3, FEATURES), generator).double()
    key = sixty_fourths((1, 5, SOURCE), generator).double()
    value = sixty_fourths((1, 5, SOURCE), generator).double()
    out, weights = layer(x, key, value, average_attn_weights=False)
    return layer, {"x": x, "key": key, "value": value, "weights": weights}, out


def extra_keys(generator):
    """Three sizes of features, a learned and a zero key, and the last key of the batch padded."""
    layer = scatter(torch.nn.MultiheadAttention(
        4, HEADS, kdim=3, vdim=5, add_bias_kv=True, add_zero_attn=True, batch_first=True),
        generator)
    x = sixty_fourths((1, 2, 4), generator).double()
    key = sixty_fourths((1, 3, 3), generator).double()
    value = sixty_fourths((1, 3, 5), generator).double()
    padding = torch.tensor([[False, False, True]])
    out, weights = layer(x, key, value, key_padding_mask=padding, average_attn_weights=False)
    return layer, {"x": x, "key": key, "value": value, "weights": weights}, out


class Block(torch.nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.heads = heads
        self.attention = torch.nn.Module()
        for name in ("W_q", "W_k", "W_v", "W_o"):
            setattr(self.attention, name, torch.nn.Linear(features, features))
        self.norm1 = torch.nn.LayerNorm(features)
        self.norm2 = torch.nn.LayerNorm(features)
        self.ff = torch.nn.Sequential(
            torch.nn.Linear(features, 4 * features), torch.nn.GELU(), torch.nn.Dropout(0.1),
            torch.nn.Linear(4 * features, features), torch.nn.Dropout(0.1))

    def forward(self, x):
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        part = self.attention
        heads = torch.nn.functional.scaled_dot_product_attention(
            split(part.W_q(x)), split(part.W_k(x)), split(part.W_v(x)))
        x = self.norm1(x + part.W_o(heads.transpose(1, 2).flatten(-2)))
        return self.norm2(x + self.ff(x))


class Classifier(torch.nn.Module):
    """Embedding, learned positions, blocks, mean over the tokens, linear."""

    def __init__(self, vocabulary, features, heads, layers, classes, positions):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, features)
        self.pos_encoding = torch.nn.Parameter(torch.zeros(1, positions, features))
        self.blocks = torch.nn.ModuleList(Block(features, heads) for _ in range(layers))
        self.classifier = torch.nn.Linear(features, classes)

    def forward(self, ids):
        x = self.embedding(ids) + self.pos_encoding[:, :ids.shape[1], :]
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean(dim=1))


def classifier(generator):
    model = scatter(Classifier(5, 4, 2, 2, 2, 4), generator)
    ids = torch.tensor([[0, 4, 2], [3, 3, 1]])
    return model, {"ids": ids}, model(ids)


def main():
    generator = torch.Generator().manual_seed(42)
    # the fast path of eval mode zeroes padded rows; the plain one is what the layer defines
    torch.backends.mha.set_fastpath_enabled(False)
    print("""// torch's results on small weights. Written by make_fixtures.py; do not edit.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace nn_test {

struct TorchTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> data;
};
using TorchFixture = std::map<std::string, TorchTensor>;

// clang-format off""")
    with torch.no_grad():
        for norm_first in (False, True):
            name = "torch_pre_norm" if norm_first else "torch_post_norm"
            print(fixture(name, f"TransformerEncoderLayer(norm_first={norm_first}), the last token "
                          "of batch 1 is padding", *encoder_layer(generator, norm_first)))
        print(fixture("torch_cross_attention", "MultiheadAttention with kdim and vdim",
                      *cross_attention(generator)))
        print(fixture("torch_no_bias", "TransformerEncoderLayer(bias=False), the last token of "
                      "batch 1 is padding", *encoder_layer(generator, False, bias=False)))
        print(fixture("torch_extra_keys", "MultiheadAttention with add_bias_kv, add_zero_attn and "
                      "three sizes; the last key is padding", *extra_keys(generator)))
        print(fixture("torch_classifier", "A classifier of token ids with two blocks",
                      *classifier(generator)))
        for norm_first in (False, True):
            name = "torch_pre_norm_decoder" if norm_first else "torch_post_norm_decoder"
            print(fixture(name, f"TransformerDecoderLayer(norm_first={norm_first}), causal; the "
                          "last of memory's batch 1 is padding",
                          *decoder_layer(generator, norm_first)))
    print("// clang-format on\n\n}  // namespace nn_test")


main()
