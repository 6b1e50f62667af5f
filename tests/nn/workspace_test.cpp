// With a workspace of workspace_bytes a forward call allocates nothing; without, one block besides
// its result. The memory's address and what it held before change no bit.
#include "heed/nn/workspace.hpp"

#include <cstring>

#include "heed/mask/any.hpp"
#include "heed/mask/padding.hpp"
#include "heed/nn/causal_language_model.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/nn/prepare.hpp"
#include "heed/nn/presets.hpp"
#include "heed/nn/simple_transformer.hpp"
#include "nn/loops.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"

using namespace nn_test;
using heed::Tensor3;
using heed::test::allocations_of;
namespace nn = heed::nn;
namespace mask = heed::mask;

namespace {

// forward(options) gives what forward_into(out, options) writes into poisoned memory, twice, with
// no allocation; too small a workspace is refused.
template <class Result, class Forward, class ForwardInto>
void check_workspace(std::size_t bytes, nn::Options options, Result out, const Forward& forward,
                     const ForwardInto& forward_into) {
  const Result expected = forward(options);
  CHECK(allocations_of([&] { forward(options); }) == 1);  // the result's malloc is Eigen's own
  std::vector<std::byte> memory(bytes + 7, std::byte{0xFF});
  for (const std::size_t offset : {std::size_t{0}, std::size_t{3}}) {
    std::memset(static_cast<void*>(out.data()), 0xFF,
                static_cast<std::size_t>(out.size()) * sizeof(*out.data()));
    options.workspace = std::span(memory).subspan(offset, bytes);
    CHECK(allocations_of([&] { forward_into(out, options); }) == 0);
    bool same = true;
    for (Index n = 0; n < out.size(); ++n) same = same && out.data()[n] == expected.data()[n];
    CHECK(same);
  }
  options.workspace = std::span(memory).first(bytes - 64);
  CHECK_THROWS_AS(forward_into(out, options), heed::Error);
}

const std::vector<int> lengths = {31, 12};
const mask::any padded = mask::padding(lengths);
const std::vector<nn::Options> ways = {{.threads = 1},
                                       {.mode = nn::Mode::train, .seed = 5, .threads = 2}};

}  // namespace

TEST_CASE("workspace: linear, layer norm and feed-forward allocate nothing") {
  nn::Linear<float> linear(20, 33);
  nn::LayerNorm<float> norm(20);
  nn::FeedForward<float> part(20, 50, {.dropout = 0.2});
  const auto x = tokens<float>(2, 31, 20, 5);
  for (const bool prepared : {false, true}) {
    for (const auto& options : ways) {
      const auto check = [&](auto& module, Index out) {
        scatter(module, 0.5, 3);
        if (prepared) nn::prepare(module);
        check_workspace(
            module.workspace_bytes(x, options), options, Tensor3<float>(2, 31, out),
            [&](const nn::Options& how) { return module.forward(x, how); },
            [&](auto& to, const nn::Options& how) { module.forward_into(to, x, how); });
      };
      check(linear, 33);
      check(norm, 20);
      check(part, 20);
    }
  }
}

TEST_CASE("workspace: attention and encoder blocks allocate nothing, extra keys included") {
  const auto x = tokens<float>(2, 31, 20, 5);
  const auto check = [&](auto&& module, bool prepared) {
    scatter(module, 0.5, 3);
    if (prepared) nn::prepare(module);
    for (const auto& options : ways) {
      check_workspace(
          module.workspace_bytes(x, padded, {}, options), options, Tensor3<float>(2, 31, 20),
          [&](const nn::Options& how) { return module.forward(x, padded, {}, how); },
          [&](auto& to, const nn::Options& how) { module.forward_into(to, x, padded, {}, how); });
    }
  };
  using Attention = nn::MultiHeadAttention<float>;
  using Block = nn::EncoderBlock<float>;
  check(Attention(20, {.heads = 4, .kv_heads = 2, .dropout = 0.2}), false);
  check(Attention(20, {.heads = 4, .projection = nn::Projection::fused}), true);
  check(Attention(20, {.heads = 2, .output_projection = false}), true);
  check(Attention(20, {.heads = 2, .add_bias_kv = true, .add_zero_attn = true}), false);
  check(Attention(20, {.heads = 2,
                       .rope = nn::RotaryOptions{.positions = 31},
                       .qk_norm = nn::QkNorm::per_head,
                       .gate = nn::OutputGate::per_feature,
                       .sinks = true}),
        true);
  check(Block(20, {.attention = {.heads = 2}, .norm = nn::NormPlace::pre}), false);
  check(Block(20, {.attention = {.heads = 2}, .dropout = 0.1}), true);
  check(nn::DecoderBlock<float>(20, {.attention = {.heads = 2}, .dropout = 0.1}), true);
}

TEST_CASE("workspace: a causal language model allocates nothing") {
  heed::Tensor2<int> ids(2, 31);
  for (Index n = 0; n < ids.size(); ++n) ids.data()[n] = static_cast<int>(n % 9);
  for (const bool tied : {true, false}) {
    nn::CausalLanguageModel<float> model({.vocabulary = 9,
                                          .features = 8,
                                          .layers = 2,
                                          .positions = 40,
                                          .block = nn::gpt2_block(2),
                                          .tied = tied});
    scatter(model, 0.5, 3);
    if (tied) nn::prepare(model);
    for (const auto& options : ways) {
      check_workspace(
          model.workspace_bytes(ids, padded, {}, options), options, Tensor3<float>(2, 31, 9),
          [&](const nn::Options& how) { return model.forward(ids, padded, {}, how); },
          [&](auto& to, const nn::Options& how) { model.forward_into(to, ids, padded, {}, how); });
    }
  }
}

TEST_CASE("workspace: a classifier of token ids allocates nothing") {
  nn::SimpleTransformer<float> model({.vocabulary = 9, .features = 8, .heads = 2, .positions = 40});
  scatter(model, 0.5, 3);
  heed::Tensor2<int> ids(2, 31);
  for (Index n = 0; n < ids.size(); ++n) ids.data()[n] = static_cast<int>(n % 9);
  for (const auto& options : ways) {
    check_workspace(
        model.workspace_bytes(ids, options), options, heed::Tensor2<float>(2, 2),
        [&](const nn::Options& how) { return model.forward(ids, lengths, how); },
        [&](auto& to, const nn::Options& how) { model.forward_into(to, ids, lengths, how); });
  }
}

TEST_CASE("workspace: out may be the input, and nothing else that overlaps it") {
  nn::EncoderBlock<float> block(20, {.attention = {.heads = 2}});
  scatter(block, 0.5, 3);
  auto x = tokens<float>(2, 31, 20, 5);
  const auto expected = block.forward(x, padded);
  const auto attended = block.attention().forward(x, padded);
  auto y = x;
  block.attention().forward_into(y, y, padded);
  CHECK(same_bits(y, attended));
  block.forward_into(x, x, padded);
  CHECK(same_bits(x, expected));

  std::vector<float> memory(2 * 31 * 20 + 20);
  const auto from = heed::view(memory.data(), {2, 31, 20}).as_const();
  const auto shifted = heed::view(memory.data() + 20, {2, 31, 20});
  CHECK(error_of([&] { block.forward_into(shifted, from, padded); }) ==
        "heed::nn::EncoderBlock::forward_into: out overlaps an input (out [2,31,20], x "
        "[2,31,20])");
  Tensor3<float> out(2, 31, 20), narrow(2, 31, 19);
  CHECK(error_of([&] { block.forward_into(narrow, x, padded); }) ==
        "heed::nn::EncoderBlock::forward_into: out is not [2,31,20] (out [2,31,19], x [2,31,20])");
  const nn::Options overlapping{.workspace = std::as_writable_bytes(std::span(memory))};
  CHECK(error_of([&] { block.forward_into(out, from, padded, {}, overlapping); }) ==
        "heed::nn::EncoderBlock::forward_into: the workspace overlaps an input (out [2,31,20], x "
        "[2,31,20])");
  const nn::Linear<float> linear(20, 20);
  CHECK_THROWS_AS(linear.forward_into(x, x), heed::Error);  // it writes while it reads
}
