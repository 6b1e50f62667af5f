// heed::attention as a module: the bits of the call, and weights in training.
#include "heed/nn/scaled_dot_product_attention.hpp"

#include "heed/mask/any.hpp"
#include "heed/mask/causal.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
using heed::Tensor3;
namespace nn = heed::nn;
namespace mask = heed::mask;

TEST_CASE("scaled dot-product attention: the call's bits, with dropout in training only") {
  const auto q = tokens<float>(2, 10, 16, 1);
  const auto k = tokens<float>(2, 20, 16, 2);
  const auto v = tokens<float>(2, 20, 12, 3);
  const mask::any causal = mask::causal();
  const nn::ScaledDotProductAttention part({.dropout = 0.4, .scale = 0.5});
  const nn::Options train{.mode = nn::Mode::train, .seed = 6};
  const auto y = part.forward(q, k, v, causal);
  CHECK(same_bits(y, heed::attention(q, k, v, causal, {}, {.scale = 0.5}).out));
  const auto dropped = part.forward(q, k, v, causal, {}, train);
  CHECK(same_bits(
      dropped,
      heed::attention(q, k, v, causal, {}, {.scale = 0.5, .dropout = 0.4, .seed = 6}).out));
  CHECK_FALSE(same_bits(dropped, y));
  CHECK(nn::parameter_count(part) == 0);

  std::vector<std::byte> memory(part.workspace_bytes(q, k, v, causal, {}, train));
  auto with_memory = train;
  with_memory.workspace = memory;
  Tensor3<float> out(2, 10, 12);
  part.forward_into(out, q, k, v, causal, {}, with_memory);
  CHECK(same_bits(out, dropped));

  for (const auto& options : {nn::Options{}, train}) {
    const auto [again, weights] = part.forward_with_weights(q, k, v, causal, {}, options);
    const Tensor3<float> expected =
        heed::reference::attention(
            q, k, v, causal, {},
            {.scale = 0.5, .dropout = options.mode == nn::Mode::train ? 0.4 : 0, .seed = 6})
            .dropped_weights;
    REQUIRE(weights.dimensions() == expected.dimensions());
    for (Index n = 0; n < weights.size(); ++n) {
      CHECK(std::abs(weights.data()[n] - expected.data()[n]) < 2e-6f);
    }
    const auto& whole = options.mode == nn::Mode::train ? dropped : y;
    for (Index n = 0; n < again.size(); ++n) {
      CHECK(std::abs(again.data()[n] - whole.data()[n]) < 4e-6f);
    }
  }
  CHECK_THROWS_AS(part.forward(q, tokens<float>(2, 20, 15, 2), v, causal), heed::Error);
  CHECK(error_of([] { nn::ScaledDotProductAttention({.dropout = 2}); }) ==
        "heed::nn::ScaledDotProductAttention: dropout 2.000000 is outside [0, 1]");
}
