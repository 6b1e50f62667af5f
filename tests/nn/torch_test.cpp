// torch's own layers, weights and all, give the same numbers here.
#include "heed/mask/padding.hpp"
#include "heed/nn/decoder_block.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/nn/load.hpp"
#include "heed/nn/presets.hpp"
#include "heed/nn/simple_transformer.hpp"
#include "heed/nn/torch_names.hpp"
#include "nn/loops.hpp"
#include "nn/torch_fixtures.hpp"
#include "support/catch.hpp"

using namespace nn_test;
using heed::Tensor3;
namespace nn = heed::nn;
namespace mask = heed::mask;

namespace {

nn::NamedTensors<double> named(const TorchFixture& fixture) {
  nn::NamedTensors<double> source;
  for (const auto& [name, tensor] : fixture) source[name] = {tensor.data.data(), tensor.shape};
  for (const char* not_a_weight : {"x", "key", "value", "memory", "out", "weights", "ids"}) {
    source.erase(not_a_weight);
  }
  return source;
}

template <class T>
Tensor3<T> tensor(const TorchFixture& fixture, const std::string& name) {
  const auto& [shape, data] = fixture.at(name);
  Tensor3<T> result(shape[0], shape[1], shape[2]);
  for (std::size_t n = 0; n < data.size(); ++n) result.data()[n] = static_cast<T>(data[n]);
  return result;
}

// torch's names of an encoder layer.
std::string torch_name(std::string name) {
  const auto replace = [&](const std::string& from, const std::string& to) {
    if (name.starts_with(from)) name = to + name.substr(from.size());
  };
  replace("attention.qkv.", "self_attn.in_proj_");
  replace("attention.output.", "self_attn.out_proj.");
  replace("feed_forward.first.", "linear1.");
  replace("feed_forward.second.", "linear2.");
  return name;
}

}  // namespace

TEMPLATE_TEST_CASE("torch: TransformerEncoderLayer, norms after and before", "", float, double) {
  for (const auto place : {nn::NormPlace::post, nn::NormPlace::pre}) {
    const TorchFixture& fixture = place == nn::NormPlace::post ? torch_post_norm : torch_pre_norm;
    nn::EncoderBlock<TestType> block(
        6, {.attention = {.heads = 2, .projection = nn::Projection::fused},
            .hidden = 10,
            .norm = place});
    nn::load(block, named(fixture), {.rename = torch_name});
    const std::vector<int> lengths = {4, 3};
    const auto out = block.forward(tensor<TestType>(fixture, "x"), mask::padding(lengths));
    const auto expected = tensor<double>(fixture, "out");
    for (Index b = 0; b < 2; ++b) {
      CHECK(difference(out, b, rows_of(expected, b)) < (sizeof(TestType) == 4 ? 4e-6 : 1e-13));
    }
  }
}

TEMPLATE_TEST_CASE("torch: MultiheadAttention across two sequences, and its weights", "", float,
                   double) {
  const double tolerance = sizeof(TestType) == 4 ? 2e-6 : 1e-13;
  const TorchFixture& fixture = torch_cross_attention;
  auto source = named(fixture);
  const double* bias = source.at("in_proj_bias").data;
  source.erase("in_proj_bias");
  for (const char* part : {"q", "k", "v"}) {
    source[std::string(part) + "_proj_bias"] = {bias, {6}};
    bias += 6;
  }
  nn::MultiHeadAttention<TestType> part(6, {.heads = 2, .source_features = 4});
  nn::load(part, source, {.rename = [](const std::string& name) {
             if (name.starts_with("output.")) return "out_proj." + name.substr(7);
             return name.substr(0, 1) + "_proj_" + name.substr(name.find('.') + 1);
           }});
  const auto x = tensor<TestType>(fixture, "x");
  const auto key = tensor<TestType>(fixture, "key");
  const auto value = tensor<TestType>(fixture, "value");
  const Rows expected = rows_of(tensor<double>(fixture, "out"), 0);
  CHECK(difference(part.forward(x, key, value), 0, expected) < tolerance);
  const auto [out, weights] = part.forward_with_weights(x, key, value);
  CHECK(difference(out, 0, expected) < tolerance);
  const auto& torch_weights = fixture.at("weights").data;
  REQUIRE(weights.size() == static_cast<Index>(torch_weights.size()));
  for (std::size_t n = 0; n < torch_weights.size(); ++n) {
    CHECK(std::abs(static_cast<double>(weights.data()[n]) - torch_weights[n]) < tolerance);
  }
}

TEMPLATE_TEST_CASE("torch: TransformerEncoderLayer without biases, by load_torch", "", float,
                   double) {
  nn::EncoderBlock<TestType> block(6, nn::torch_block(2, 10, 0.1, nn::Bias::no));
  CHECK(nn::parameter_count(block) == 4 * 36 + 2 * 60 + 2 * 6);
  nn::load_torch(block, named(torch_no_bias));
  const std::vector<int> lengths = {4, 3};
  const auto out = block.forward(tensor<TestType>(torch_no_bias, "x"), mask::padding(lengths));
  const auto expected = tensor<double>(torch_no_bias, "out");
  for (Index b = 0; b < 2; ++b) {
    CHECK(difference(out, b, rows_of(expected, b)) < (sizeof(TestType) == 4 ? 4e-6 : 1e-13));
  }
}

TEMPLATE_TEST_CASE("torch: MultiheadAttention with kdim, vdim, add_bias_kv and add_zero_attn", "",
                   float, double) {
  const double tolerance = sizeof(TestType) == 4 ? 2e-6 : 1e-13;
  const TorchFixture& fixture = torch_extra_keys;
  nn::MultiHeadAttention<TestType> part(4, {.heads = 2,
                                            .source_features = 3,
                                            .value_features = 5,
                                            .add_bias_kv = true,
                                            .add_zero_attn = true});
  nn::load_torch(part, named(fixture));  // one in_proj_bias for three projections
  const auto x = tensor<TestType>(fixture, "x");
  const auto key = tensor<TestType>(fixture, "key");
  const auto value = tensor<TestType>(fixture, "value");
  const std::vector<int> lengths = {2};
  const Rows expected = rows_of(tensor<double>(fixture, "out"), 0);
  CHECK(difference(part.forward(x, key, value, mask::padding(lengths)), 0, expected) < tolerance);
  const auto [out, weights] = part.forward_with_weights(x, key, value, mask::padding(lengths));
  CHECK(difference(out, 0, expected) < tolerance);
  const auto& torch_weights = fixture.at("weights").data;
  REQUIRE(weights.dimension(3) == 5);
  REQUIRE(weights.size() == static_cast<Index>(torch_weights.size()));
  for (std::size_t n = 0; n < torch_weights.size(); ++n) {
    CHECK(std::abs(static_cast<double>(weights.data()[n]) - torch_weights[n]) < tolerance);
  }
}

TEST_CASE("torch: load_torch gives fused and separate projections the same bits") {
  const std::vector<int> lengths = {4, 3};
  const auto x = tensor<float>(torch_post_norm, "x");
  auto options = nn::torch_block(2, 10);
  nn::EncoderBlock<float> fused(6, options);
  options.attention.projection = nn::Projection::separate;
  nn::EncoderBlock<float> separate(6, options);
  nn::NamedTensors<double> nested;
  for (const auto& [name, value] : named(torch_post_norm)) nested["layers.3." + name] = value;
  nested["layers.30.linear1.weight"] = {nullptr, {1}};
  nn::load_torch(fused, nested, {.prefix = "layers.3."});
  nn::load_torch(separate, nested, {.prefix = "layers.3."});
  CHECK(same_bits(fused.forward(x, mask::padding(lengths)),
                  separate.forward(x, mask::padding(lengths))));
  nested["layers.3.self_attn.in_proj_bias"].shape = {19};
  const auto text = error_of([&] { nn::load_torch(separate, nested, {.prefix = "layers.3."}); });
  CHECK(text ==
        "heed::nn::load_torch: attention.qkv.bias is [19] but query, key and value have 18 rows");
  CHECK_THROWS_AS(nn::load_torch(fused, nested, {.prefix = "layers.3."}), heed::Error);
}

TEMPLATE_TEST_CASE("torch: TransformerDecoderLayer, norms after and before, by load_torch", "",
                   float, double) {
  for (const auto place : {nn::NormPlace::post, nn::NormPlace::pre}) {
    const TorchFixture& fixture =
        place == nn::NormPlace::post ? torch_post_norm_decoder : torch_pre_norm_decoder;
    nn::DecoderBlock<TestType, nn::Relu> block(
        6, nn::torch_decoder_block(2, 10, 0.1, nn::Bias::yes, place));
    nn::load_torch(block, named(fixture));
    const std::vector<int> lengths = {4, 3};
    const auto out =
        block.forward(tensor<TestType>(fixture, "x"), tensor<TestType>(fixture, "memory"),
                      mask::None{}, mask::padding(lengths));
    const auto expected = tensor<double>(fixture, "out");
    for (Index b = 0; b < 2; ++b) {
      CHECK(difference(out, b, rows_of(expected, b)) < (sizeof(TestType) == 4 ? 4e-6 : 1e-13));
    }
  }
}

TEMPLATE_TEST_CASE("torch: a classifier of token ids", "", float, double) {
  const TorchFixture& fixture = torch_classifier;
  nn::SimpleTransformer<TestType> model(
      {.vocabulary = 5, .features = 4, .heads = 2, .layers = 2, .classes = 2, .positions = 4});
  nn::load_torch(model, named(fixture));
  Eigen::MatrixXi ids(2, 3);
  for (int n = 0; n < 6; ++n) {
    ids(n / 3, n % 3) = static_cast<int>(fixture.at("ids").data[static_cast<std::size_t>(n)]);
  }
  const auto logits = model.forward(ids);
  REQUIRE(logits.rows() == 2);
  REQUIRE(logits.cols() == 2);
  for (int n = 0; n < 4; ++n) {
    const double expected = fixture.at("out").data[static_cast<std::size_t>(n)];
    CHECK(std::abs(static_cast<double>(logits(n / 2, n % 2)) - expected) <
          (sizeof(TestType) == 4 ? 4e-6 : 1e-13));
  }
}
