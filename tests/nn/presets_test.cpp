// Modules with arguments chosen: each is plain multi-head attention called with them.
#include "heed/nn/presets.hpp"

#include "heed/mask/causal.hpp"
#include "heed/score/soft_cap.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
namespace nn = heed::nn;
namespace mask = heed::mask;
namespace score = heed::score;

TEST_CASE("presets: biases and dropout as named") {
  const auto unbiased = nn::MultiHeadAttention<float>(8, nn::unbiased(2));
  const auto biased = nn::MultiHeadAttention<float>(8, nn::biased(2));
  CHECK(nn::parameter_count(unbiased) == 4 * 64);
  CHECK(nn::parameter_count(biased) == 4 * 64 + 4 * 8);
  CHECK(unbiased.options().dropout == 0.1);
  CHECK(biased.options().dropout == 0.1);
}

TEST_CASE("self-attention: softmax(x Wq (x Wk)ᵀ / sqrt(features)) x Wv and its weights") {
  nn::SelfAttention<float> part(6);
  scatter(part, 0.7, 3);
  CHECK(nn::parameter_count(part) == 3 * 36);
  const auto x = tokens<float>(2, 5, 6, 5);
  const auto [out, weights] = part.forward(x);
  auto w = weights_of(part);
  w["output.weight"] = Eigen::MatrixXd::Identity(6, 6);
  for (Index b = 0; b < 2; ++b) {
    const Rows rows = rows_of(x, b);
    CHECK(difference(out, b, attention(rows, rows, rows, w, "", 1, 1, [](std::size_t, std::size_t) {
                       return true;
                     })) < 5e-6);
    for (Index i = 0; i < 5; ++i) {
      double sum = 0;
      for (Index j = 0; j < 5; ++j) sum += static_cast<double>(weights(b, 0, i, j));
      CHECK(sum == Approx(1).epsilon(1e-6));
    }
  }
  CHECK(part.forward(x, mask::causal()).weights(0, 0, 0, 1) == 0);
}

TEST_CASE("local attention: the module with mask::local, narrowed by the caller's mask") {
  nn::LocalAttention<float> part(8, 2, 7);
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(2, 30, 8, 5);
  const auto& inner = part.attention();
  CHECK(same_bits(part.forward(x), inner.forward(x, mask::local(7))));
  CHECK(same_bits(part.forward(x, mask::causal()),
                  inner.forward(x, mask::local(7) & mask::causal())));
  CHECK_FALSE(same_bits(part.forward(x), inner.forward(x)));
  std::vector<std::byte> memory(inner.workspace_bytes(x));
  auto out = x;
  part.forward_into(out, x, {}, {}, {.workspace = memory});
  CHECK(same_bits(out, part.forward(x)));
  const Rows rows = rows_of(x, 1);
  const auto near = [](std::size_t i, std::size_t j) { return i <= j + 3 && j <= i + 3; };
  CHECK(difference(part.forward(x), 1,
                   attention(rows, rows, rows, weights_of(part), "", 2, 2, near)) < 5e-6);
  CHECK_THROWS_AS(nn::LocalAttention<float>(8, 2, -1), heed::Error);
}

TEST_CASE("ALiBi attention: the module with score::alibi after the caller's score") {
  nn::AlibiMultiHeadAttention<float> part(12, 3);
  scatter(part, 0.5, 3);
  CHECK(part.slopes() == score::alibi_slopes(3));
  const auto x = tokens<float>(2, 9, 12, 5);
  const auto slopes = score::alibi_slopes(3);
  const auto& inner = part.attention();
  CHECK(same_bits(part.forward(x), inner.forward(x, {}, score::alibi(slopes))));
  CHECK(same_bits(part.forward(x, mask::causal(), score::soft_cap(2)),
                  inner.forward(x, mask::causal(), score::soft_cap(2) >> score::alibi(slopes))));
  CHECK(same_bits(part.forward(x, x, x), part.forward(x)));
  CHECK_FALSE(same_bits(part.forward(x), inner.forward(x)));
  std::vector<std::byte> memory(inner.workspace_bytes(x));
  auto out = x;
  part.forward_into(out, x, {}, {}, {.workspace = memory});
  CHECK(same_bits(out, part.forward(x)));
  auto copy = part;  // refers to its own slopes
  CHECK(same_bits(copy.forward(x), part.forward(x)));
}
