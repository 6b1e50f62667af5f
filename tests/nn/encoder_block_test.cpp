// Feed-forward and the encoder block against loops.
#include "heed/nn/encoder_block.hpp"

#include <algorithm>

#include "heed/mask/padding.hpp"
#include "heed/nn/initialise.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
using heed::Tensor3;
namespace nn = heed::nn;
namespace mask = heed::mask;

namespace {

Rows plus(Rows a, const Rows& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a[i].size(); ++j) a[i][j] += b[i][j];
  }
  return a;
}

const auto sees_all = [](std::size_t, std::size_t) { return true; };

}  // namespace

TEMPLATE_TEST_CASE("feed-forward: equals the loops", "", float, double) {
  nn::FeedForward<TestType> part(12, 40);
  scatter(part, 0.3, 3);
  const auto x = tokens<TestType>(2, 31, 12, 5);
  const auto y = part.forward(x);
  for (Index b = 0; b < 2; ++b) {
    CHECK(difference(y, b, feed_forward(rows_of(x, b), weights_of(part), "")) <
          (sizeof(TestType) == 4 ? 2e-6 : 1e-14));
  }
}

TEMPLATE_TEST_CASE("encoder block: post-norm and pre-norm equal the loops", "", float, double) {
  for (const auto place : {nn::NormPlace::post, nn::NormPlace::pre}) {
    nn::EncoderBlock<TestType> block(
        12, {.attention = {.heads = 3}, .hidden = 20, .norm = place, .eps = 1e-3});
    scatter(block, 0.4, 3);
    const Weights w = weights_of(block);
    const auto x = tokens<TestType>(2, 9, 12, 5);
    const auto y = block.forward(x);
    for (Index b = 0; b < 2; ++b) {
      const Rows in = rows_of(x, b);
      const auto attend = [&](const Rows& rows) {
        return attention(rows, rows, rows, w, "attention.", 3, 3, sees_all);
      };
      Rows expected;
      if (place == nn::NormPlace::post) {
        const Rows middle = layer_norm(plus(in, attend(in)), w, "norm1.", 1e-3);
        expected =
            layer_norm(plus(middle, feed_forward(middle, w, "feed_forward.")), w, "norm2.", 1e-3);
      } else {
        const Rows middle = plus(in, attend(layer_norm(in, w, "norm1.", 1e-3)));
        expected =
            plus(middle, feed_forward(layer_norm(middle, w, "norm2.", 1e-3), w, "feed_forward."));
      }
      CHECK(difference(y, b, expected) < (sizeof(TestType) == 4 ? 5e-6 : 1e-13));
    }
  }
}

TEST_CASE("encoder block: no bit depends on threads, nor on what pads the batch") {
  nn::EncoderBlock<float> block(48, {.attention = {.heads = 4}});
  nn::initialise(block, nn::Init::torch_linear, 1);
  auto x = tokens<float>(3, 40, 48, 5);
  const std::vector<int> lengths = {40, 13, 27};
  const auto y = block.forward(x, mask::padding(lengths), {}, {.threads = 1});
  for (const int threads : {2, 3, 4, 7}) {
    CHECK(same_bits(block.forward(x, mask::padding(lengths), {}, {.threads = threads}), y));
  }
  Tensor3<float> alone(1, 13, 48);
  std::copy_n(x.data() + 40 * 48, 13 * 48, alone.data());
  const auto one = block.forward(alone);
  bool same = true;
  for (Index n = 0; n < one.size(); ++n) same = same && one.data()[n] == y.data()[40 * 48 + n];
  CHECK(same);
  for (Index i = 13; i < 40; ++i) x(1, i, 3) = std::nanf("");
  const auto poisoned = block.forward(x, mask::padding(lengths));
  for (Index n = 0; n < 13 * 48; ++n) {
    same = same && poisoned.data()[40 * 48 + n] == y.data()[40 * 48 + n];
  }
  CHECK(same);
}

TEST_CASE("encoder block: attention must give the block's features") {
  const auto text = error_of([] {
    nn::EncoderBlock<float>(12,
                            {.attention = {.heads = 2, .head_dim = 5, .output_projection = false}});
  });
  CHECK(text == "heed::nn::EncoderBlock: attention gives 10 features, the block has 12");
}

TEST_CASE("encoder block: every parameter has a name of its own") {
  const nn::EncoderBlock<float> block(8, {.attention = {.heads = 2}});
  const Weights w = weights_of(block);
  CHECK(w.size() == 16);
  for (const char* name : {"attention.query.weight", "attention.key.bias", "attention.value.weight",
                           "attention.output.bias", "norm1.weight", "norm2.bias",
                           "feed_forward.first.weight", "feed_forward.second.bias"}) {
    CHECK(w.contains(name));
  }
  CHECK(nn::parameter_count(block) == 4 * (64 + 8) + 2 * 16 + 8 * 32 + 32 + 32 * 8 + 8);
}

namespace {

// Row by row what a site drops of batch b, in double: the definition, word by word.
Rows dropped(Rows x, double p, std::uint64_t seed, std::uint32_t b) {
  const heed::Dropout dropout = heed::Dropout::of(p, seed);
  for (std::uint32_t i = 0; i < x.size(); ++i) {
    for (std::uint32_t j = 0; j < x[i].size(); ++j) {
      x[i][j] = dropout.keeps(b, 0, i, j) ? x[i][j] * dropout.keep_scale : 0.0;
    }
  }
  return x;
}

}  // namespace

TEST_CASE("feed-forward: training drops after the activation and after the second map") {
  nn::FeedForward<double> part(6, 10, {.dropout = 0.4});
  scatter(part, 0.5, 3);
  const auto x = tokens<double>(2, 9, 6, 5);
  const nn::Options train{.mode = nn::Mode::train, .seed = 7};
  const auto y = part.forward(x, train);
  const Weights w = weights_of(part);
  for (Index b = 0; b < 2; ++b) {
    const auto word = static_cast<std::uint32_t>(b);
    Rows hidden = linear(rows_of(x, b), w, "first.");
    for (auto& row : hidden) {
      for (double& value : row) value = gelu(value);
    }
    hidden = dropped(hidden, 0.4, nn::site_seed(7, nn::DropoutSite::hidden), word);
    const Rows out = linear(hidden, w, "second.");
    CHECK(difference(y, b,
                     dropped(out, 0.4, nn::site_seed(7, nn::DropoutSite::feed_forward_output),
                             word)) < 1e-13);
  }
  for (const int threads : {1, 2, 5}) {
    const nn::Options same{.mode = nn::Mode::train, .seed = 7, .threads = threads};
    CHECK(same_bits(part.forward(x, same), y));
  }
  CHECK_FALSE(same_bits(part.forward(x, {.mode = nn::Mode::train, .seed = 8}), y));
  nn::FeedForward<double> never(6, 10);
  scatter(never, 0.5, 3);
  CHECK(same_bits(part.forward(x), never.forward(x)));
  CHECK(same_bits(never.forward(x, train), never.forward(x)));
  nn::FeedForward<double> all(6, 10, {.dropout = 1});
  const auto nothing = all.forward(x, train);
  for (Index n = 0; n < nothing.size(); ++n) CHECK(nothing.data()[n] == 0);
  CHECK(error_of([] { nn::FeedForward<double>(6, 10, {.dropout = -0.5}); }) ==
        "heed::nn::FeedForward: dropout -0.500000 is outside [0, 1]");
}

TEST_CASE("encoder block: training drops in four places, from words of their own") {
  for (const auto place : {nn::NormPlace::post, nn::NormPlace::pre}) {
    const auto make = [&](double weights, double output, double feed_forward) {
      nn::EncoderBlock<double> block(6, {.attention = {.heads = 2, .dropout = weights},
                                         .hidden = 10,
                                         .norm = place,
                                         .dropout = feed_forward,
                                         .attention_output_dropout = output});
      scatter(block, 0.5, 3);
      return block;
    };
    const auto x = tokens<double>(2, 7, 6, 5);
    const nn::Options train{.mode = nn::Mode::train, .seed = 7};
    const auto plain = make(0, 0, 0).forward(x);
    CHECK(same_bits(make(0.5, 0.5, 0.5).forward(x), plain));
    CHECK(same_bits(make(0, 0, 0).forward(x, {}, {}, train), plain));
    CHECK_FALSE(same_bits(make(0.5, 0, 0).forward(x, {}, {}, train), plain));
    CHECK_FALSE(same_bits(make(0, 0, 0.5).forward(x, {}, {}, train), plain));

    const auto block = make(0, 0.5, 0);
    const Weights w = weights_of(block);
    const auto y = block.forward(x, {}, {}, train);
    for (Index b = 0; b < 2; ++b) {
      const Rows in = rows_of(x, b);
      const Rows normed = place == nn::NormPlace::pre ? layer_norm(in, w, "norm1.", 1e-5) : in;
      const Rows part = dropped(attention(normed, normed, normed, w, "attention.", 2, 2, sees_all),
                                0.5, nn::site_seed(7, nn::DropoutSite::attention_output),
                                static_cast<std::uint32_t>(b));
      Rows middle = plus(in, part);
      if (place == nn::NormPlace::post) {
        middle = layer_norm(middle, w, "norm1.", 1e-5);
        CHECK(difference(y, b,
                         layer_norm(plus(middle, feed_forward(middle, w, "feed_forward.")), w,
                                    "norm2.", 1e-5)) < 1e-12);
      } else {
        CHECK(difference(y, b,
                         plus(middle, feed_forward(layer_norm(middle, w, "norm2.", 1e-5), w,
                                                   "feed_forward."))) < 1e-12);
      }
    }
  }
}

TEST_CASE("dropout: every site and layer has a seed of its own") {
  std::vector<std::uint64_t> seeds = {7};
  for (const auto site : {nn::DropoutSite::attention_output, nn::DropoutSite::hidden,
                          nn::DropoutSite::feed_forward_output}) {
    seeds.push_back(nn::site_seed(7, site));
    seeds.push_back(nn::site_seed(nn::layer_seed(7, 0), site));
  }
  for (Index layer = 0; layer < 4; ++layer) seeds.push_back(nn::layer_seed(7, layer));
  std::sort(seeds.begin(), seeds.end());
  CHECK(std::adjacent_find(seeds.begin(), seeds.end()) == seeds.end());
}

TEST_CASE("encoder block: without biases it has weights alone") {
  const nn::EncoderBlock<float> block(
      8, {.attention = {.heads = 2}, .norm = nn::NormPlace::pre, .bias = nn::Bias::no});
  CHECK(nn::parameter_count(block) == 4 * 64 + 2 * 8 + 2 * 8 * 32);
  for (const auto& [name, value] : weights_of(block)) CHECK(name.ends_with(".weight"));
}
