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


def encoder_layer(generator, norm_first):
    layer = scatter(torch.nn.TransformerEncoderLayer(
        FEATURES, HEADS, HIDDEN, dropout=0.0, activation="gelu", layer_norm_eps=1e-5,
        batch_first=True, norm_first=norm_first), generator)
    x = sixty_fourths((2, 4, FEATURES), generator).double()
    padding = torch.tensor([[False] * 4, [False, False, False, True]])
    return layer, {"x": x}, layer(x, src_key_padding_mask=padding)


def cross_attention(generator):
    layer = scatter(torch.nn.MultiheadAttention(
        FEATURES, HEADS, kdim=SOURCE, vdim=SOURCE, batch_first=True), generator)
    x = sixty_fourths((1, 3, FEATURES), generator).double()
    key = sixty_fourths((1, 5, SOURCE), generator).double()
    value = sixty_fourths((1, 5, SOURCE), generator).double()
    out, weights = layer(x, key, value, average_attn_weights=False)
    return layer, {"x": x, "key": key, "value": value, "weights": weights}, out


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
    print("// clang-format on\n\n}  // namespace nn_test")


main()
