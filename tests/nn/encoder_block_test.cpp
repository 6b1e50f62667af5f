// Feed-forward and the encoder block against loops; weights by name.
#include "heed/nn/encoder_block.hpp"

#include "heed/mask/padding.hpp"
#include "heed/nn/initialise.hpp"
#include "heed/nn/load.hpp"
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

TEST_CASE("load: by name, through a map of names, into every parameter") {
  nn::EncoderBlock<float> block(4, {.attention = {.heads = 2}, .hidden = 6});
  std::map<std::string, std::vector<float>> memory;
  nn::NamedTensors<float> source;
  float next = 0;
  nn::each_parameter(block, [&](const std::string& name, const auto& parameter) {
    auto& data = memory["bert." + name];
    for (Index n = 0; n < parameter.size(); ++n) data.push_back(next += 1);
    source["bert." + name] = {data.data(), parameter.shape()};
  });
  REQUIRE(source.size() == 16);
  nn::LoadOptions options{.rename = [](const std::string& name) { return "bert." + name; }};
  nn::load(block, source, options);
  CHECK(nn::parameter_count(block) == static_cast<Index>(next));
  const Weights w = weights_of(block);
  CHECK(w.at("attention.query.weight")(0, 1) == 2);  // row-major in the source
  CHECK(w.at("attention.query.weight")(1, 0) == 5);
  CHECK(w.at("attention.query.bias")(3, 0) == 20);
  CHECK(w.at("norm2.bias")(3, 0) == next);

  SECTION("a missing tensor") {
    source.erase("bert.norm1.weight");
    CHECK(error_of([&] { nn::load(block, source, options); }) ==
          "heed::nn::load: nothing is named norm1.weight (bert.norm1.weight in the source), which "
          "must be [4]");
  }
  SECTION("a wrong shape, and nothing is written") {
    for (auto& [name, data] : memory) std::fill(data.begin(), data.end(), -1.0f);
    source["bert.norm2.bias"].shape = {1, 4};
    CHECK(error_of([&] { nn::load(block, source, options); }) ==
          "heed::nn::load: norm2.bias (bert.norm2.bias in the source) is [1,4] but the parameter "
          "is [4]");
    CHECK(weights_of(block) == w);
  }
  SECTION("no data") {
    source["bert.norm2.bias"].data = nullptr;
    CHECK_THROWS_AS(nn::load(block, source, options), heed::Error);
  }
  SECTION("a tensor left over") {
    source["bert.pooler.weight"] = source["bert.norm2.bias"];
    CHECK(error_of([&] { nn::load(block, source, options); }) ==
          "heed::nn::load: no parameter is loaded from bert.pooler.weight [4] (options.ignore says "
          "which names may be left over)");
    options.ignore = {"bert.pooler."};
    CHECK_NOTHROW(nn::load(block, source, options));
  }
}
