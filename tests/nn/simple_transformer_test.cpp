// Embedding, learned positions and the classifier built of them, against loops.
#include "heed/nn/simple_transformer.hpp"

#include "heed/nn/initialise.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
using heed::Tensor2;
using heed::Tensor3;
namespace nn = heed::nn;

namespace {

// Ids in [0, vocabulary) that depend on the seed alone.
Tensor2<std::int64_t> token_ids(Index B, Index L, int vocabulary, std::uint64_t seed) {
  Tensor2<std::int64_t> ids(B, L);
  for (Index n = 0; n < ids.size(); ++n) {
    const auto word = heed::philox(seed, {static_cast<std::uint32_t>(n), 0, 0, 0})[0];
    ids.data()[n] = word % static_cast<std::uint32_t>(vocabulary);
  }
  return ids;
}

}  // namespace

TEST_CASE("embedding: a row of the table for each id") {
  nn::Embedding<double> part(7, 3);
  scatter(part, 1, 3);
  const auto ids = token_ids(2, 5, 7, 1);
  const Tensor3<double> y = part.forward(ids);
  for (Index b = 0; b < 2; ++b) {
    for (Index i = 0; i < 5; ++i) {
      for (Index d = 0; d < 3; ++d)
        CHECK(y(b, i, d) == weights_of(part).at("weight")(ids(b, i), d));
    }
  }
  Eigen::Matrix<std::uint64_t, Eigen::Dynamic, Eigen::Dynamic> wrong(1, 2);
  wrong << 6, 7;
  CHECK(error_of([&] { part.forward(wrong); }) ==
        "heed::nn::Embedding::forward: id 7 at (0, 1) is outside [0, 7) (ids [1,2])");
  wrong(0, 1) = ~std::uint64_t{0};
  CHECK_THROWS_AS(part.forward(wrong), heed::Error);
  CHECK_THROWS_AS(part.forward(Eigen::MatrixXi::Constant(1, 1, -1).eval()), heed::Error);
  Tensor3<double> narrow(2, 5, 2);
  CHECK(error_of([&] { part.forward_into(narrow, ids); }) ==
        "heed::nn::Embedding::forward: out is not [B,L,features] (out [2,5,2], ids [2,5])");
  CHECK(part.forward(Eigen::MatrixXi(0, 4)).size() == 0);
  nn::Embedding<double> gradients(7, 3), few(3, 3);
  const auto x = tokens<double>(2, 5, 3, 1), logits = tokens<double>(2, 5, 7, 2);
  const auto d = heed::view_of(logits);
  part.output_backward(d, x, gradients, {});
  CHECK(error_of([&] { part.output_backward(d, x, few, {}); }) ==
        "heed::nn::Embedding::output_backward: the gradients are another module's (dy [2,5,7])");
  CHECK_THROWS_AS(few.output_backward(d, x, few, {}), heed::Error);
}

TEST_CASE("learned positions: token i of every sequence gets row first + i") {
  nn::LearnedPositions<float> part(3, 6);
  scatter(part, 1, 3);
  CHECK(nn::parameter_count(part) == 18);
  CHECK(nn::LearnedPositions<float>(4).positions() == 512);
  auto x = tokens<float>(2, 4, 3, 5);
  const auto y = part.forward(x, 2);
  const auto table = weights_of(part).at("table");
  for (Index b = 0; b < 2; ++b) {
    for (Index i = 0; i < 4; ++i) {
      for (Index d = 0; d < 3; ++d) {
        CHECK(y(b, i, d) == x(b, i, d) + static_cast<float>(table(i + 2, d)));
      }
    }
  }
  const auto before = x;
  part.forward_into(x, x, 2);
  CHECK(same_bits(x, y));
  // A position of token 0 for each sequence; where one is refused, nothing is written.
  auto each = before;
  part.forward_into(each, before, std::vector<Index>{0, 2});
  const auto from_0 = part.forward(before);
  CHECK(std::equal(&each(0, 0, 0), &each(1, 0, 0), &from_0(0, 0, 0)));
  CHECK(std::equal(&each(1, 0, 0), &each(1, 0, 0) + 12, &y(1, 0, 0)));
  each = before;
  CHECK_THROWS_AS(part.forward_into(each, each, std::vector<Index>{0, 3}), heed::Error);
  CHECK(same_bits(each, before));
  CHECK(
      error_of([&] {
        part.forward_into(each, each, std::vector<Index>{0, 1, 2});
      }) ==
      "heed::nn::LearnedPositions::forward_into: first has batch 3 but x has batch 2 (x [2,4,3])");
  CHECK(error_of([&] { part.forward(x, 3); }) ==
        "heed::position::learned: 4 positions from 3 are not in a table of 6 (table [6,3])");
  CHECK(error_of([&] { part.forward(Tensor3<float>(1, 2, 5)); }) ==
        "heed::nn::LearnedPositions::forward: x has 5 features but the module takes 3 (x [1,2,5])");
}

TEST_CASE("simple transformer: the documents' sizes give [8, 50] ids two logits each") {
  nn::SimpleTransformer<float> model;
  nn::initialise(model, nn::Init::torch_linear, 42);
  const Index block = 4 * (128 * 128 + 128) + 2 * (128 * 512) + 512 + 128 + 4 * 128;
  CHECK(nn::parameter_count(model) == 1000 * 128 + 512 * 128 + 2 * block + 2 * 128 + 2);
  const auto ids = token_ids(8, 50, 1000, 1);
  const Tensor2<float> logits = model.forward(ids);
  REQUIRE(logits.dimension(0) == 8);
  REQUIRE(logits.dimension(1) == 2);
  CHECK(same_bits(model.forward(ids, {.seed = 9, .threads = 1}), logits));

  const nn::Options train{.mode = nn::Mode::train, .seed = 9};
  const auto dropped = model.forward(ids, train);
  CHECK_FALSE(same_bits(dropped, logits));
  CHECK(same_bits(model.forward(ids, train), dropped));
  CHECK_FALSE(same_bits(model.forward(ids, {.mode = nn::Mode::train, .seed = 8}), dropped));
}

TEST_CASE("simple transformer: equals the loops, and padding changes nothing") {
  nn::SimpleTransformer<double> model({.vocabulary = 11,
                                       .features = 6,
                                       .heads = 2,
                                       .layers = 2,
                                       .classes = 3,
                                       .positions = 9,
                                       .hidden = 10});
  scatter(model, 0.4, 3);
  const Weights w = weights_of(model);
  const auto ids = token_ids(2, 7, 11, 1);
  const std::vector<int> lengths = {7, 4};
  const Tensor2<double> whole = model.forward(ids);
  const Tensor2<double> padded = model.forward(ids, lengths);
  for (Index b = 0; b < 2; ++b) {
    for (const bool pads : {false, true}) {
      Rows x;
      for (Index i = 0; i < (pads ? lengths[static_cast<std::size_t>(b)] : 7); ++i) {
        x.emplace_back();
        for (Index d = 0; d < 6; ++d) {
          x.back().push_back(w.at("embedding.weight")(ids(b, i), d) +
                             w.at("positions.table")(i, d));
        }
      }
      for (const std::string block : {"blocks.0.", "blocks.1."}) {
        const auto add = [](Rows a, const Rows& c) {
          for (std::size_t i = 0; i < a.size(); ++i) {
            for (std::size_t j = 0; j < a[i].size(); ++j) a[i][j] += c[i][j];
          }
          return a;
        };
        const auto all = [](std::size_t, std::size_t) { return true; };
        x = layer_norm(add(x, attention(x, x, x, w, block + "attention.", 2, 2, all)), w,
                       block + "norm1.", 1e-5);
        x = layer_norm(add(x, feed_forward(x, w, block + "feed_forward.")), w, block + "norm2.",
                       1e-5);
      }
      Rows mean(1, std::vector<double>(6, 0.0));
      for (const auto& row : x) {
        for (std::size_t d = 0; d < 6; ++d) mean[0][d] += row[d] / static_cast<double>(x.size());
      }
      const Rows expected = linear(mean, w, "classifier.");
      for (Index c = 0; c < 3; ++c) {
        CHECK((pads ? padded : whole)(b, c) ==
              Approx(expected[0][static_cast<std::size_t>(c)]).margin(1e-12));
      }
    }
  }
}

TEST_CASE("simple transformer: layers draw words of their own, and errors have their numbers") {
  const nn::SimpleTransformerOptions options{
      .vocabulary = 11, .features = 6, .heads = 2, .layers = 1, .positions = 9, .dropout = 0.5};
  nn::SimpleTransformer<float> model(options);
  scatter(model, 0.4, 3);
  const auto ids = token_ids(1, 5, 11, 1);
  const auto x = [&] {
    nn::Embedding<float> words(11, 6);
    nn::LearnedPositions<float> positions(6, 9);
    const Weights w = weights_of(model);
    nn::each_parameter(words, [&](const std::string&, auto& parameter) {
      parameter.value = w.at("embedding.weight").cast<float>();
    });
    nn::each_parameter(positions, [&](const std::string&, auto& parameter) {
      parameter.value = w.at("positions.table").cast<float>();
    });
    return positions.forward(words.forward(ids));
  }();
  const auto& block = model.blocks()[0];
  const nn::Options train{.mode = nn::Mode::train, .seed = 9};
  CHECK_FALSE(same_bits(block.forward(x, {}, {}, nn::layer_options(train, 0)),
                        block.forward(x, {}, {}, nn::layer_options(train, 1))));
  CHECK_THROWS_AS(model.forward(token_ids(1, 10, 11, 1)), heed::Error);  // 9 positions
  CHECK_THROWS_AS(model.forward(token_ids(1, 5, 12, 4).setConstant(11)), heed::Error);
  const std::vector<int> two = {5, 5}, longer = {6};
  CHECK_THROWS_AS(model.forward(ids, two), heed::Error);
  CHECK_THROWS_AS(model.forward(ids, longer), heed::Error);
  Tensor2<float> narrow(1, 1);
  CHECK(error_of([&] { model.forward_into(narrow, ids); }) ==
        "heed::nn::SimpleTransformer::forward: logits are not [B,classes] (logits [1,1], ids "
        "[1,5])");
  CHECK(model.forward(Tensor2<int>(0, 5)).size() == 0);
  const auto nothing = model.forward(Tensor2<int>(1, 0));
  CHECK(nothing(0, 1) == static_cast<float>(weights_of(model).at("classifier.bias")(1, 0)));
}
