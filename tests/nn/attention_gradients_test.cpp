// Backward of the modules that attend.
#include "nn/gradients.hpp"

#include "heed/mask/any.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/padding.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/nn/presets.hpp"
#include "heed/nn/scaled_dot_product_attention.hpp"
#include "heed/score/alibi.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/soft_cap.hpp"
#include "heed/train/sgd.hpp"

using namespace nn_test;
namespace nn = heed::nn;
namespace mask = heed::mask;
namespace score = heed::score;

namespace {

const nn::Options training{.mode = nn::Mode::train, .seed = 11};

auto attention(const nn::MultiHeadAttentionOptions& options, Index features = 8) {
  return [=]<class T>() { return nn::MultiHeadAttention<T>(features, options); };
}

}  // namespace

TEST_CASE("gradients: multi-head attention, separate and fused, grouped, with dropout") {
  const mask::any none = mask::none();
  const score::None plain;
  check_gradients(attention({.heads = 2}), 2, 5, 8, {}, none, plain);
  check_gradients(attention({.heads = 4, .kv_heads = 2, .dropout = 0.3}), 2, 5, 8, training, none,
                  plain);
  check_gradients(
      attention({.heads = 2, .bias = nn::Bias::no, .projection = nn::Projection::fused}), 2, 5, 8,
      {}, none, plain);
  check_gradients(attention({.heads = 2, .head_dim = 3, .output_projection = false}), 2, 5, 8,
                  training, none, plain);
}

TEST_CASE("gradients: multi-head attention under masks and scores") {
  const std::vector<int> lengths{5, 2};
  const mask::any causal = mask::causal(), padding = mask::padding(lengths);
  const auto capped = score::soft_cap(2.0);
  check_gradients(attention({.heads = 2}), 2, 5, 8, {}, causal, capped);
  check_gradients(attention({.heads = 2}), 2, 5, 8, {}, padding, score::None{});
}

TEST_CASE("gradients: rotary position, QK norm and output gate") {
  const mask::any none = mask::none(), causal = mask::causal();
  const score::None plain;
  using heed::position::RopePairs;
  check_gradients(attention({.heads = 4,
                             .kv_heads = 2,
                             .dropout = 0.3,
                             .rope = nn::RotaryOptions{.positions = 5, .base = 10},
                             .qk_norm = nn::QkNorm::per_head,
                             .gate = nn::OutputGate::per_feature}),
                  2, 5, 8, training, causal, plain);
  check_gradients(attention({.heads = 2,
                             .bias = nn::Bias::no,
                             .projection = nn::Projection::fused,
                             .rope = nn::RotaryOptions{.base = 10,
                                                       .dim = 2,
                                                       .pairs = RopePairs::interleaved,
                                                       .scaling = heed::position::yarn(4, 2)},
                             .qk_norm = nn::QkNorm::all_heads,
                             .gate = nn::OutputGate::per_head}),
                  2, 5, 8, {}, none, plain);
  check_gradients(
      attention({.heads = 2, .output_projection = false, .gate = nn::OutputGate::per_head}), 2, 5,
      8, {}, none, plain);
}

TEST_CASE("gradients: those of a module with other norms or another gate are refused, unwritten") {
  using Module = nn::MultiHeadAttention<double>;
  Module module(8, {.heads = 2, .gate = nn::OutputGate::per_head});
  scatter(module, 0.7, 3);
  const mask::any none = mask::none();
  const auto x = tokens<double>(2, 5, 8, 5);
  const auto saved = module.forward_train(x, none).saved;
  for (const nn::MultiHeadAttentionOptions& options :
       {nn::MultiHeadAttentionOptions{.heads = 2},
        nn::MultiHeadAttentionOptions{.heads = 2, .gate = nn::OutputGate::per_feature},
        nn::MultiHeadAttentionOptions{
            .heads = 2, .qk_norm = nn::QkNorm::per_head, .gate = nn::OutputGate::per_head},
        nn::MultiHeadAttentionOptions{
            .heads = 2, .gate = nn::OutputGate::per_head, .sinks = true}}) {
    auto other = nn::gradients_of(Module(8, options));
    const auto zeros = other;
    CHECK(error_of([&] { module.backward(x, saved, other, none); }) ==
          "heed::nn::MultiHeadAttention::backward: the gradients are another module's (saved query "
          "[2,5,8])");
    CHECK(same_parameters(other, zeros));
  }
}

TEST_CASE("gradients: sinks, which a step of an optimizer changes") {
  const std::vector<int> lengths{5, 0};  // batch 1 sees the sinks alone
  const mask::any padding = mask::padding(lengths);
  const score::None plain;
  check_gradients(attention({.heads = 4, .kv_heads = 2, .dropout = 0.3, .sinks = true}), 2, 5, 8,
                  training, padding, plain);
  check_gradients(
      attention({.heads = 2, .add_bias_kv = true, .gate = nn::OutputGate::per_head, .sinks = true}),
      2, 5, 8, {}, padding, plain);
  nn::MultiHeadAttention<double> module(8, {.heads = 2, .sinks = true});
  scatter(module, 0.7, 3);
  const auto before = weights_of(module).at("sinks");
  const auto x = tokens<double>(2, 5, 8, 5);
  heed::train::Sgd optimizer(module, {.learning_rate = 0.1});
  const auto gradients = step(module, x, {}, mask::any(mask::causal()), plain).gradients;
  optimizer.step(module, gradients);
  const auto slope = weights_of(gradients).at("sinks");
  CHECK(slope.cwiseAbs().minCoeff() > 1e-3);
  CHECK((weights_of(module).at("sinks") - (before - 0.1 * slope)).norm() < 1e-15);
}

TEST_CASE("gradients: keys that the module adds") {
  const std::vector<int> lengths{5, 0};  // batch 1 sees the extra keys alone
  const mask::any padding = mask::padding(lengths);
  const score::None plain;
  check_gradients(attention({.heads = 4, .kv_heads = 2, .dropout = 0.3, .add_bias_kv = true}), 2, 5,
                  8, training, padding, plain);
  check_gradients(attention({.heads = 2,
                             .add_bias_kv = true,
                             .add_zero_attn = true,
                             .qk_norm = nn::QkNorm::per_head,
                             .gate = nn::OutputGate::per_feature}),
                  2, 5, 8, {}, padding, plain);
  check_gradients(attention({.heads = 2, .add_zero_attn = true}), 2, 5, 8, {}, padding, plain);
}

TEST_CASE("gradients: a checkpointed attention has the bits of one that keeps everything") {
  nn::MultiHeadAttentionOptions options{.heads = 4,
                                        .kv_heads = 2,
                                        .dropout = 0.3,
                                        .add_bias_kv = true,
                                        .rope = nn::RotaryOptions{},
                                        .qk_norm = nn::QkNorm::per_head,
                                        .gate = nn::OutputGate::per_feature,
                                        .sinks = true};
  const mask::any causal = mask::causal();
  const score::None plain;
  nn::MultiHeadAttention<float> storing(8, options);
  options.checkpoint = true;
  nn::MultiHeadAttention<float> checkpointed(8, options);
  scatter(storing, 0.7, 3);
  scatter(checkpointed, 0.7, 3);
  const auto x = tokens<float>(2, 5, 8, 5);
  const auto one = step(storing, x, training, causal, plain);
  const auto other = step(checkpointed, x, training, causal, plain);
  CHECK(same_bits(other.y, one.y));
  CHECK(same_bits(other.dx, one.dx));
  const auto a = weights_of(one.gradients), b = weights_of(other.gradients);
  for (const auto& [name, value] : a) CHECK(value == b.at(name));
  CHECK_FALSE(checkpointed.forward_train(x, causal, plain, training).saved.call.activations);
}

TEST_CASE("gradients: what a score in a module holds") {
  nn::MultiHeadAttention<double> module(8, {.heads = 2});
  scatter(module, 0.7, 3);
  const auto x = tokens<double>(2, 5, 8, 5), dy = tokens<double>(2, 5, 8, 6);
  heed::Tensor2<double> bias(5, 5), d_bias(5, 5);
  bias.setRandom();
  d_bias.setConstant(7);
  const auto learned = score::soft_cap(3) >> score::with_gradient(score::bias(bias), d_bias);
  const auto saved = module.forward_train(x, mask::causal(), learned).saved;
  auto gradients = nn::gradients_of(module);
  module.backward(dy, saved, gradients, mask::causal(), learned);
  const auto loss = [&] { return dot(module.forward(x, mask::causal(), learned), dy); };
  const auto check =
      heed::inspect::gradcheck(loss, {heed::inspect::gradcheck_input("bias", bias, d_bias)});
  CAPTURE(check);
  CHECK(check.ok(1e-6));
}

TEST_CASE("gradients: attention to elsewhere, plain and with all that a head can have") {
  const nn::MultiHeadAttentionOptions everything{
      .heads = 4,
      .kv_heads = 2,
      .head_dim = 2,
      .source_features = 5,
      .dropout = 0.3,
      .value_features = 3,
      .add_bias_kv = true,
      .add_zero_attn = true,
      .rope = nn::RotaryOptions{.positions = 7, .base = 10},
      .qk_norm = nn::QkNorm::per_head,
      .gate = nn::OutputGate::per_feature,
      .sinks = true};
  auto bare = everything;
  bare.bias = nn::Bias::no;
  bare.output_projection = false;
  bare.qk_norm = nn::QkNorm::all_heads;
  bare.gate = nn::OutputGate::per_head;
  const nn::MultiHeadAttentionOptions plain{.heads = 2, .source_features = 5, .value_features = 3};
  for (const auto& options : {plain, everything, bare}) {
    for (const Index queries : {3, 5}) {
      nn::MultiHeadAttention<double> module(6, options);
      scatter(module, 0.7, 3);
      auto query = tokens<double>(2, queries, 6, 5), key = tokens<double>(2, 4, 5, 6);
      auto value = tokens<double>(2, 4, 3, 7);
      const mask::None none;
      const score::None no_score;
      auto gradients = nn::gradients_of(module);
      const auto trained = module.forward_train(query, key, value, none, no_score, training);
      const auto dy = like(trained.out, 99);
      const auto d = module.backward(dy, trained.saved, gradients);
      auto inputs = heed::inspect::gradcheck_parameters(module, gradients);
      inputs.push_back(heed::inspect::gradcheck_input("query", query, d.d_query));
      inputs.push_back(heed::inspect::gradcheck_input("key", key, d.d_key));
      inputs.push_back(heed::inspect::gradcheck_input("value", value, d.d_value));
      const double least = least_gradient(gradients);
      for (const auto& input : inputs) {
        const auto check = heed::inspect::gradcheck(
            [&] { return dot(dy, module.forward(query, key, value, none, no_score, training)); },
            {input});
        INFO(check);
        CHECK((check.ok() || std::abs(check.gradient - check.difference) < 1e-6 * least));
      }
    }
  }
}

TEST_CASE("gradients: local and ALiBi attention, and attention without parameters") {
  const mask::None none;
  const score::None plain;
  check_gradients([]<class T>() { return nn::LocalAttention<T>(8, {.heads = 2}, 2); }, 1, 5, 8, {},
                  none, plain);
  check_gradients([]<class T>() { return nn::AlibiMultiHeadAttention<T>(8, 2); }, 1, 5, 8, training,
                  none, plain);
  const nn::ScaledDotProductAttention part({.dropout = 0.4});
  const mask::any causal = mask::causal();
  auto q = tokens<double>(2, 3, 4, 1), k = tokens<double>(2, 5, 4, 2),
       v = tokens<double>(2, 5, 6, 3);
  const auto trained = part.forward_train(q, k, v, causal, plain, training);
  CHECK(same_bits(trained.out, part.forward(q, k, v, causal, plain, training)));
  const auto dy = like(trained.out, 99);
  const auto d = part.backward(dy, q, k, v, trained.saved, causal);
  const auto check = heed::inspect::gradcheck(
      [&] { return dot(dy, part.forward(q, k, v, causal, plain, training)); },
      {heed::inspect::gradcheck_input("q", q, d.d_q), heed::inspect::gradcheck_input("k", k, d.d_k),
       heed::inspect::gradcheck_input("v", v, d.d_v)});
  INFO(check);
  CHECK(check.ok());
}

TEST_CASE("gradients: encoder blocks, norms before and after, every dropout") {
  const auto block = [](nn::NormPlace place, nn::Bias bias) {
    return [=]<class T>() {
      return nn::EncoderBlock<T>(6, {.attention = {.heads = 2, .dropout = 0.2, .sinks = true},
                                     .hidden = 10,
                                     .norm = place,
                                     .bias = bias,
                                     .dropout = 0.2,
                                     .attention_output_dropout = 0.3,
                                     .checkpoint = place == nn::NormPlace::pre});
    };
  };
  const mask::any none = mask::none(), causal = mask::causal();
  const score::None plain;
  check_gradients(block(nn::NormPlace::post, nn::Bias::yes), 2, 4, 6, training, none, plain);
  check_gradients(block(nn::NormPlace::pre, nn::Bias::no), 2, 4, 6, training, causal, plain);
}
