// The decoder block and the causal language model: gradients, causality, and what is refused.
#include "heed/kv/cache.hpp"
#include "heed/kv/paged_cache.hpp"
#include "heed/mask/any.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/dense.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/tree.hpp"
#include "heed/nn/causal_language_model.hpp"
#include "heed/nn/initialise.hpp"
#include "heed/nn/prepare.hpp"
#include "heed/nn/presets.hpp"
#include "nn/gradients.hpp"

using namespace nn_test;
using heed::Tensor2;
using heed::Tensor3;
using heed::Tensor4;
namespace nn = heed::nn;
namespace mask = heed::mask;
namespace score = heed::score;

namespace {

const nn::Options training{.mode = nn::Mode::train, .seed = 11};
const score::None plain;

nn::DecoderBlockOptions every_dropout(nn::NormPlace place, bool causal = true) {
  return {.attention = {.heads = 2, .dropout = 0.2},
          .hidden = 10,
          .norm = place,
          .dropout = 0.2,
          .hidden_dropout = 0.4,
          .attention_output_dropout = 0.3,
          .causal = causal};
}

nn::DecoderBlockOptions with_memory(nn::NormPlace place) {
  auto options = every_dropout(place);
  options.cross_attention = {.heads = 3, .source_features = 5, .dropout = 0.2};
  return options;
}

template <class T>
Tensor3<T> slice_tokens(const Tensor3<T>& x, Index first, Index count, Index features) {
  Tensor3<T> part(x.dimension(0), count, features);
  for (Index b = 0; b < x.dimension(0); ++b) {
    for (Index i = 0; i < count; ++i) {
      for (Index d = 0; d < features; ++d) part(b, i, d) = x(b, first + i, d);
    }
  }
  return part;
}

// A decoder block whose tokens [B, 3, 6] and memory [B, 4, 5] are both of one x [B, 7, 6].
template <class T>
struct BothInputs {
  nn::DecoderBlock<T> block;

  template <class M>
  auto forward(const Tensor3<T>& x, const M& memory_mask, const nn::Options& options) const {
    return block.forward(slice_tokens(x, 0, 3, 6), slice_tokens(x, 3, 4, 5), mask::None{},
                         memory_mask, plain, options);
  }
  template <class M>
  auto forward_train(const Tensor3<T>& x, const M& memory_mask, const nn::Options& options) const {
    return block.forward_train(slice_tokens(x, 0, 3, 6), slice_tokens(x, 3, 4, 5), mask::None{},
                               memory_mask, plain, options);
  }
  template <class M>
  auto backward(const Tensor3<T>& dy, const typename nn::DecoderBlock<T>::SavedWithMemory& saved,
                BothInputs& gradients, const M& memory_mask,
                const nn::Options& options = {}) const {
    const auto d =
        block.backward(dy, saved, gradients.block, mask::None{}, memory_mask, plain, options);
    Tensor3<T> dx(dy.dimension(0), 7, 6);
    dx.setZero();
    for (Index b = 0; b < dy.dimension(0); ++b) {
      for (Index i = 0; i < 7; ++i) {
        for (Index n = 0; n < (i < 3 ? 6 : 5); ++n) {
          dx(b, i, n) = i < 3 ? d.d_x(b, i, n) : d.d_memory(b, i - 3, n);
        }
      }
    }
    return dx;
  }
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.block, visit, prefix);
  }
};

Tensor2<int> token_ids(Index B, Index L, int vocabulary, std::uint64_t seed) {
  Tensor2<int> ids(B, L);
  for (Index n = 0; n < ids.size(); ++n) {
    const auto word = heed::philox(seed, {static_cast<std::uint32_t>(n), 0, 0, 0})[0];
    ids.data()[n] = static_cast<int>(word % static_cast<std::uint32_t>(vocabulary));
  }
  return ids;
}

// A small model with every dropout.
nn::CausalLanguageModelOptions small(bool tied, Index positions = 6) {
  return {.vocabulary = 7,
          .features = 6,
          .layers = 2,
          .positions = positions,
          .block = every_dropout(nn::NormPlace::pre),
          .tied = tied,
          .output_bias = nn::Bias::yes,
          .embedding_dropout = 0.2};
}

// Rows [0, rows) of every batch have the same bits.
template <class T>
bool same_rows(const Tensor3<T>& a, const Tensor3<T>& b, Index rows) {
  return same_bits(slice_tokens(a, 0, rows, a.dimension(2)),
                   slice_tokens(b, 0, rows, b.dimension(2)));
}

}  // namespace

TEST_CASE("gradients: decoder blocks, norms before and after, causal or not") {
  const std::vector<int> lengths{4, 2};
  const mask::any none = mask::none(), padding = mask::padding(lengths);
  const auto block = [](const nn::DecoderBlockOptions& options) {
    return [=]<class T>() { return nn::DecoderBlock<T>(6, options); };
  };
  check_gradients(block(every_dropout(nn::NormPlace::post)), 2, 4, 6, training, padding, plain);
  check_gradients(block(every_dropout(nn::NormPlace::pre)), 2, 4, 6, training, none, plain);
  check_gradients(block(every_dropout(nn::NormPlace::pre, false)), 2, 4, 6, training, none, plain);
}

TEST_CASE("gradients: decoder blocks with cross-attention, of x and of memory") {
  const std::vector<int> lengths{4, 2};
  const mask::any padding = mask::padding(lengths);
  for (const auto place : {nn::NormPlace::post, nn::NormPlace::pre}) {
    check_gradients(
        [&]<class T>() { return BothInputs<T>{nn::DecoderBlock<T>(6, with_memory(place))}; }, 2, 7,
        6, training, padding);
  }
  auto heads = with_memory(nn::NormPlace::pre);
  heads.attention = {.heads = 2,
                     .head_dim = 4,
                     .projection = nn::Projection::fused,
                     .rope = nn::RotaryOptions{.positions = 4},
                     .qk_norm = nn::QkNorm::per_head,
                     .gate = nn::OutputGate::per_head};
  heads.cross_attention->gate = nn::OutputGate::per_feature;
  check_gradients([&]<class T>() { return BothInputs<T>{nn::DecoderBlock<T>(6, heads)}; }, 2, 7, 6,
                  training, padding);
}

TEST_CASE("decoder block: a later token changes no bit of an earlier row") {
  for (const bool causal : {true, false}) {
    nn::DecoderBlock<float> block(6, every_dropout(nn::NormPlace::pre, causal));
    scatter(block, 0.7, 3);
    const auto x = tokens<float>(2, 40, 6, 5);
    auto changed = x;
    changed(0, 39, 2) += 1;
    changed(1, 39, 2) = std::nanf("");
    CHECK(same_rows(block.forward(x), block.forward(changed), 39) == causal);
    CHECK_FALSE(same_rows(block.forward(x), block.forward(changed), 40));
  }
}

TEST_CASE("decoder block: in place, in a workspace, and as tokens of rank 2") {
  nn::DecoderBlock<float> block(6, with_memory(nn::NormPlace::pre));
  scatter(block, 0.7, 3);
  auto x = tokens<float>(2, 9, 6, 5);
  const auto memory = tokens<float>(2, 4, 5, 6);
  const auto y = block.forward(x, memory);
  std::vector<std::byte> room(block.workspace_bytes(x, memory));
  const mask::None none;
  block.forward_into(x, x, memory, none, none, plain, {.workspace = room});
  CHECK(same_bits(x, y));
  for (const int threads : {1, 2}) {
    const auto again =
        block.forward(tokens<float>(2, 9, 6, 5), memory, none, none, plain, {.threads = threads});
    CHECK(same_bits(again, y));
  }
}

namespace {

const nn::MultiHeadAttentionOptions like_a_llama{.heads = 4,
                                                 .kv_heads = 2,
                                                 .head_dim = 8,
                                                 .rope = nn::RotaryOptions{.positions = 80},
                                                 .qk_norm = nn::QkNorm::per_head,
                                                 .gate = nn::OutputGate::per_feature,
                                                 .sinks = true};

// y of x [B, L, features], `cut` tokens a call.
template <class Module, class Cache, class... Args>
Tensor3<float> in_parts(const Module& module, const Tensor3<float>& x, Cache cache, Index cut,
                        const Args&... args) {
  const Index B = x.dimension(0), L = x.dimension(1), features = x.dimension(2);
  Tensor3<float> y(B, L, features);
  for (Index first = 0; first < L; first += cut) {
    const Index count = std::min(cut, L - first);
    const auto part = module.forward(slice_tokens(x, first, count, features), cache, args...);
    for (Index b = 0; b < B; ++b) {
      std::copy_n(&part(b, 0, 0), count * features, &y(b, first, 0));
    }
  }
  for (Index b = 0; b < B; ++b) REQUIRE(cache.length(b) == L);
  return y;
}

}  // namespace

TEST_CASE("decoder block: token by token over a cache, the bits of the prompt in one call") {
  const auto x = tokens<float>(2, 75, 24, 5);
  for (const nn::NormPlace place : {nn::NormPlace::pre, nn::NormPlace::post}) {
    nn::DecoderBlock<float> block(24, {.attention = like_a_llama, .hidden = 50, .norm = place});
    scatter(block, 0.5, 3);
    const heed::kv::Cache<float> none({.B = 2, .Hkv = 2, .D = 8, .Dv = 8});
    const auto y = in_parts(block, x, none, 75);
    for (const Index cut : {1, 3, 20}) CHECK(same_bits(in_parts(block, x, none, cut), y));
    CHECK(relative_difference(y, block.forward(x)) < 1e-6);
    // Each sequence goes on behind its own end.
    auto cache = none;
    block.forward(slice_tokens(x, 0, 40, 24), cache);
    cache.truncate(1, 30);
    auto more = slice_tokens(x, 40, 5, 24);
    for (Index i = 0; i < 5; ++i) std::copy_n(&x(1, 30 + i, 0), 24, &more(1, i, 0));
    const auto ragged = block.forward(more, cache);
    CHECK(std::equal(&ragged(0, 0, 0), &ragged(0, 0, 0) + 5 * 24, &y(0, 40, 0)));
    CHECK(std::equal(&ragged(1, 0, 0), &ragged(1, 0, 0) + 5 * 24, &y(1, 30, 0)));
  }
}

// An activation that throws when it is told to.
struct Thrower {
  const bool& throws;
  float operator()(float x) const {
    if (throws) throw std::runtime_error("the activation");
    return x > 0 ? x : 0;
  }
};

TEST_CASE("decoder block: behind attention a call fails too, and the cache has what it had") {
  bool throws = false;
  nn::DecoderBlockOptions options;
  options.attention.heads = 2;
  options.hidden = 8;
  const nn::DecoderBlock<float, Thrower> block(16, options, {throws});
  const auto x = tokens<float>(1, 3, 16, 5);
  heed::kv::Cache<float> cache({.B = 1, .Hkv = 2, .D = 8, .Dv = 8});
  block.forward(x, cache);
  throws = true;
  CHECK_THROWS_AS(block.forward(x, cache, mask::None{}, score::None{}, {.threads = 1}),
                  std::runtime_error);
  CHECK(cache.length(0) == 3);
}

TEST_CASE("multi-head attention: over pages of a cache, which stays as it was where a call fails") {
  nn::MultiHeadAttention<float> part(24, like_a_llama);
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(2, 75, 24, 5);
  heed::kv::PagedCache<float> cache({.B = 2, .Hkv = 2, .D = 8, .Dv = 8}, {.page = 16, .pages = 11});
  const mask::any causal = mask::causal();
  const auto y = in_parts(part, x, cache.fork({0, 1}), 75, causal);
  CHECK(same_bits(in_parts(part, x, cache.fork({0, 1}), 1, causal), y));
  CHECK(relative_difference(y, part.forward(x, causal)) < 1e-6);

  part.forward(slice_tokens(x, 0, 70, 24), cache, causal);
  const Tensor3<bool> few(2, 5, 70);
  const mask::any wrong = mask::dense(few);
  const auto next = slice_tokens(x, 70, 5, 24);
  const auto refused = [&](Index n, const mask::any& see) {
    const std::string why = error_of([&] { part.forward(slice_tokens(x, 0, n, 24), cache, see); });
    CHECK(cache.length(0) == 70);
    CHECK(cache.length(1) == 70);
    return why;
  };
  CHECK(refused(5, wrong).find("does not broadcast to the scores [2,4,5,75]") != std::string::npos);
  CHECK(refused(11, causal) ==
        "heed::position::rope: position 80 of token 10 is not among the table's 80 from 0 on");
  CHECK(same_bits(part.forward(next, cache, causal), slice_tokens(y, 70, 5, 24)));
  heed::kv::PagedCache<float> small({.B = 2, .Hkv = 2, .D = 8, .Dv = 8}, {.page = 16, .pages = 2});
  CHECK(error_of([&] { part.forward(x, small, causal); }).find("take 10 pages") !=
        std::string::npos);
  CHECK(small.length(0) == 0);
  auto alone = cache.fork({0});
  CHECK(error_of([&] { part.forward(x, alone, causal); }) ==
        "heed::nn::AttendCache: the cache has batch 1 but x has batch 2 (the cache's B 1, Hkv 2, D "
        "8, Dv 8)");
  const auto other = tokens<float>(2, 75, 24, 6);
  CHECK(error_of([&] {
          part.forward(x, other, x, causal, score::None{}, {}, nn::AttendCache{cache});
        }).find("tokens behind a cache attend to themselves") != std::string::npos);
  for (const bool zero : {true, false}) {
    const nn::MultiHeadAttention<float> extra(
        24, {.heads = 2, .head_dim = 8, .add_bias_kv = !zero, .add_zero_attn = zero});
    auto own = heed::kv::Cache<float>({.B = 2, .Hkv = 2, .D = 8, .Dv = 8});
    CHECK(error_of([&] { extra.forward(x, own, causal); }).find("extra keys (add_bias_kv") !=
          std::string::npos);
    CHECK(own.length(0) == 0);
  }
}

namespace {

Tensor2<int> slice_ids(const Tensor2<int>& ids, Index first, Index count) {
  return ids.slice(Eigen::array<Index, 2>{0, first},
                   Eigen::array<Index, 2>{ids.dimension(0), count});
}

// Two layers with grouped heads; positions learned, or turned.
nn::CausalLanguageModel<float> reader(bool learned, Index positions = 80) {
  nn::CausalLanguageModelOptions options{.vocabulary = 11,
                                         .features = 24,
                                         .layers = 2,
                                         .positions = learned ? positions : 0,
                                         .block = {.attention = like_a_llama, .hidden = 30}};
  options.block.attention.rope = {};
  if (!learned) options.block.attention.rope = nn::RotaryOptions{.positions = positions};
  nn::CausalLanguageModel<float> model(options);
  scatter(model, 0.5, 3);
  return model;
}

// Logits of ids [B, L], `cut` tokens a call.
template <class C>
Tensor3<float> read_in_parts(const nn::CausalLanguageModel<float>& model, const Tensor2<int>& ids,
                             nn::LayerCaches<C> caches, Index cut) {
  const Index B = ids.dimension(0), L = ids.dimension(1), size = model.vocabulary();
  Tensor3<float> logits(B, L, size);
  for (Index first = 0; first < L; first += cut) {
    const Index count = std::min(cut, L - first);
    const auto part = model.forward(slice_ids(ids, first, count), caches);
    for (Index b = 0; b < B; ++b) std::copy_n(&part(b, 0, 0), count * size, &logits(b, first, 0));
  }
  return logits;
}

}  // namespace

TEST_CASE("causal language model: token by token over caches, the bits of the text in one call") {
  const auto ids = token_ids(2, 75, 11, 1);
  for (const bool learned : {true, false}) {
    const auto model = reader(learned);
    const auto logits = read_in_parts(model, ids, model.make_caches(2), 75);
    CHECK(relative_difference(logits, model.forward(ids)) < 2e-6);
    for (const Index cut : {1, 3, 20}) {
      CHECK(same_bits(read_in_parts(model, ids, model.make_caches(2), cut), logits));
    }
    auto caches = model.make_caches(2);
    CHECK(same_bits(model.next_logits(slice_ids(ids, 0, 40), caches),
                    slice_tokens(logits, 39, 1, 11)));
    // Each sequence goes on behind its own end; a fork too.
    caches.truncate(1, 30);
    auto beams = caches.fork({1, 0, 1});
    Tensor2<int> more(2, 5), of_beams(3, 5);
    for (Index i = 0; i < 5; ++i) {
      more(0, i) = of_beams(1, i) = ids(0, 40 + i);
      more(1, i) = of_beams(0, i) = of_beams(2, i) = ids(1, 30 + i);
    }
    const auto ragged = model.forward(more, caches);
    CHECK(std::equal(&ragged(0, 0, 0), &ragged(1, 0, 0), &logits(0, 40, 0)));
    CHECK(std::equal(&ragged(1, 0, 0), &ragged(1, 0, 0) + 5 * 11, &logits(1, 30, 0)));
    const auto forked = model.forward(of_beams, beams);
    CHECK(std::equal(&forked(1, 0, 0), &forked(2, 0, 0), &ragged(0, 0, 0)));
    CHECK(std::equal(&forked(2, 0, 0), &forked(2, 0, 0) + 5 * 11, &ragged(1, 0, 0)));
  }
}

TEST_CASE(
    "causal language model: a ring of pages is the whole text under the mask of what it has") {
  constexpr Index page = 16, pages = 4, L = 1000;
  const auto model = reader(false, L);
  const auto ids = token_ids(1, L, 11, 1);
  Tensor2<bool> seen(L, L);  // the first page, and the pages behind those that were given up
  for (Index q = 0; q < L; ++q) {
    const Index given_up = q < pages * page ? 0 : 1 + (q - pages * page) / page;
    for (Index k = 0; k < L; ++k) seen(q, k) = k < page || k >= page * (1 + given_up);
  }
  const auto whole = model.forward(ids, mask::any(mask::dense(seen)));
  auto ring = model.make_caches<heed::kv::PagedCache<float>>(
      1, heed::kv::PageOptions{.page = page, .pages = 2 * pages});
  Tensor3<float> logits(1, L, 11);
  for (Index n = 0; n < L; ++n) {
    if (ring.length(0) == pages * page) ring.erase(0, page, page);
    REQUIRE(ring.position(0) == n);
    logits.chip(n, 1) = model.forward(slice_ids(ids, n, 1), ring).chip(0, 1);
  }
  CHECK(relative_difference(logits, whole) < 5e-6);
  CHECK(ring.erased(0) == L - ring.length(0));
}

TEST_CASE("decoder block: behind a gap a token stands where the text has it") {
  nn::DecoderBlock<float> block(24, {.attention = like_a_llama, .hidden = 50});
  scatter(block, 0.5, 3);
  const auto x = tokens<float>(2, 30, 24, 5);
  Tensor4<bool> seen(2, 1, 30, 30);
  seen.setConstant(true);
  for (Index k = 4; k < 12; ++k) seen.chip(0, 0).chip(k, 2).setConstant(false);
  const auto whole = block.forward(x, mask::any(mask::dense(seen)));
  heed::kv::Cache<float> cache({.B = 2, .Hkv = 2, .D = 8, .Dv = 8});
  block.forward(slice_tokens(x, 0, 20, 24), cache);
  cache.erase(0, 4, 8);
  const std::vector<Index> erased{8, 0};
  const auto y = block.forward(slice_tokens(x, 20, 10, 24), nn::AttendCache{cache, erased});
  for (Index b = 0; b < 2; ++b) {
    for (Index n = 0; n < 10 * 24; ++n) {
      CHECK(std::abs((&y(b, 0, 0))[n] - (&whole(b, 20, 0))[n]) < 5e-6F);
    }
  }
  const std::vector<Index> one{8};
  CHECK(error_of([&] {
          block.forward(x, nn::AttendCache{cache, one});
        }) ==
        "heed::nn::AttendCache: erased has batch 1 but x has batch 2 (the cache's B 2, Hkv 2, D 8, "
        "Dv 8)");
  CHECK(cache.length(0) == 22);
}

TEST_CASE("layer caches: a draft behind erased tokens is taken back by itself") {
  const auto model = reader(false);
  auto caches = model.make_caches(1);
  model.forward(token_ids(1, 16, 11, 1), caches);
  const auto draft = [&] {
    const Index length = caches.length(0), position = caches.position(0);
    const auto before = model.forward(token_ids(1, 4, 11, 3), caches);
    caches.truncate(0, length);
    CHECK(caches.position(0) == position);
    CHECK(same_bits(model.forward(token_ids(1, 4, 11, 3), caches), before));
    caches.truncate(0, length);
  };
  caches.erase(0, 4, 2);  // tokens stand behind it
  draft();
  caches.erase(0, 10, 4);  // the last ones
  draft();
  CHECK(caches.position(0) == 16);
  caches.erase(0, 4, 6);  // all between both gaps
  CHECK(caches.length(0) == 4);
  draft();
  CHECK(caches.position(0) == 16);
  model.forward(token_ids(1, 8, 11, 4), caches);
  caches.erase(0, 2, 4);  // around the gap: tokens stand behind it
  caches.truncate(0, 2);
  CHECK(caches.position(0) == 2);
}

TEST_CASE("language model: drafted tokens on several branches are refused, a chain is not") {
  const std::vector<int> branches{-1, 0, -1, 2}, chain{-1, 0, 1, 2};
  for (const bool learned : {false, true}) {
    const auto model = reader(learned);
    auto caches = model.make_caches(1), untouched = caches;
    const auto ids = token_ids(1, 4, 11, 1);
    CHECK_THROWS_WITH(model.forward(ids, caches, mask::tree(branches)),
                      heed::test::ContainsSubstring("several branches"));
    CHECK_THROWS_WITH(model.forward(ids, caches, mask::window(3) & mask::tree(branches)),
                      heed::test::ContainsSubstring("several branches"));
    CHECK(caches.length(0) == 0);
    CHECK(same_bits(model.forward(ids, caches, mask::tree(chain)), model.forward(ids, untouched)));
  }
}

TEST_CASE("layer caches: what was moved from has batch 0") {
  const auto model = reader(false);
  auto caches = model.make_caches(1);
  const auto moved = std::move(caches);
  CHECK(moved.extents().B == 1);
  CHECK(caches.extents().B == 0);  // NOLINT(bugprone-use-after-move)
  CHECK_THROWS_AS(caches.truncate(0, 0), heed::Error);
  CHECK_THROWS_AS(model.forward(token_ids(1, 1, 11, 1), caches), heed::Error);
}

TEST_CASE("layer caches: gaps add up, and truncate takes them back") {
  const auto model = reader(false);
  auto caches = model.make_caches(1);
  model.forward(token_ids(1, 40, 11, 1), caches);
  caches.erase(0, 10, 5);
  caches.erase(0, 20, 3);
  caches.erase(0, 8, 4);  // around the first gap
  CHECK(caches.length(0) == 28);
  CHECK(caches.position(0) == 40);
  CHECK(caches.fork({0, 0}).position(1) == 40);
  caches.truncate(0, 17);
  CHECK(caches.position(0) == 29);
  caches.truncate(0, 17);
  CHECK(caches.position(0) == 29);
  caches.truncate(0, 8);  // where the gap was
  CHECK(caches.position(0) == 8);
  caches.erase(0, 7, 1);
  caches.truncate(0, 7);  // nothing is cut off
  CHECK(caches.position(0) == 8);
  caches.truncate(0, 6);
  model.forward(token_ids(1, 1, 11, 2), caches);
  CHECK(caches.position(0) == 7);
  CHECK_THROWS_AS(caches.erase(0, 5, std::numeric_limits<Index>::max()), heed::Error);
  CHECK_THROWS_AS(caches.erase(1, 0, 0), heed::Error);
  CHECK_THROWS_AS(caches.truncate(0, 8), heed::Error);
  CHECK(caches.position(0) == 7);
  using Caches = std::vector<heed::kv::Cache<float>>;
  CHECK(error_of([] { nn::LayerCaches layers(Caches{}); }) == "heed::nn::LayerCaches: no layer");
  CHECK(error_of([] {
          nn::LayerCaches layers(
              Caches{heed::kv::Cache<float>({.B = 1, .Hkv = 2, .D = 8, .Dv = 8}),
                     heed::kv::Cache<float>({.B = 1, .Hkv = 2, .D = 8, .Dv = 4})});
        }).find("layers differ in extents (B 1, Hkv 2, D 8, Dv 8; B 1, Hkv 2, D 8, Dv 4)") !=
        std::string::npos);
}

TEST_CASE("causal language model: a call over caches that fails leaves each as it was") {
  const auto model = reader(true, 40);
  const auto ids = token_ids(2, 20, 11, 1);
  auto caches = model.make_caches(2);
  model.forward(ids, caches);
  const auto refused = [&](const auto& wrong, auto& of) {
    const std::string why = error_of([&] { model.forward(wrong, of); });
    for (Index layer = 0; layer < of.layers(); ++layer) {
      CHECK(of[layer].length(0) == of.length(0));
      CHECK(of[layer].length(1) == of.length(0));
    }
    return why;
  };
  CHECK(refused(Tensor2<int>(ids).setConstant(11), caches).find("id 11 at (0, 0) is outside") !=
        std::string::npos);
  CHECK(refused(token_ids(2, 21, 11, 1), caches) ==
        "heed::position::learned: 21 positions from 20 are not in a table of 40 (table [40,24])");
  CHECK(
      refused(token_ids(3, 5, 11, 1), caches) ==
      "heed::nn::CausalLanguageModel::forward: the caches are not the model's (2 of B 2, Hkv 2, D "
      "8, Dv 8; 2 of B 3, Hkv 2, D 8, Dv 8)");
  CHECK(caches.length(0) == 20);
  nn::LayerCaches three(std::vector<heed::kv::Cache<float>>(3, caches[0]));
  CHECK(refused(ids, three).find("not the model's (3 of B 2") != std::string::npos);
  nn::LayerCaches wide(std::vector<heed::kv::Cache<float>>(
      2, heed::kv::Cache<float>({.B = 2, .Hkv = 4, .D = 8, .Dv = 8})));
  CHECK(refused(ids, wide).find("not the model's (2 of B 2, Hkv 4") != std::string::npos);
  // Pages for the first layer alone.
  auto paged = model.make_caches<heed::kv::PagedCache<float>>(
      2, heed::kv::PageOptions{.page = 16, .pages = 5});
  CHECK(refused(ids, paged).find("take 4 pages, of which 1 of 5 are free") != std::string::npos);
  CHECK(paged.length(0) == 0);
  CHECK(paged[0].free_pages() == 5);
  CHECK(error_of([&] { model.next_logits(Tensor2<int>(2, 0), caches); }) ==
        "heed::nn::CausalLanguageModel::next_logits: ids have no token (ids [2,0])");
  const nn::CausalLanguageModel<float> empty({.vocabulary = 3, .features = 12, .layers = 0});
  CHECK(error_of([&] { empty.make_caches(1); }) ==
        "heed::nn::CausalLanguageModel: it has no layer to cache");
  CHECK(same_bits(model.forward(slice_ids(ids, 0, 1), caches),
                  slice_tokens(read_in_parts(
                                   model,
                                   [&] {
                                     Tensor2<int> all(2, 21);
                                     for (Index b = 0; b < 2; ++b) {
                                       std::copy_n(&ids(b, 0), 20, &all(b, 0));
                                       all(b, 20) = ids(b, 0);
                                     }
                                     return all;
                                   }(),
                                   model.make_caches(2), 21),
                               20, 1, 11)));
}

TEST_CASE("decoder block: what does not fit is refused, with the shapes") {
  const nn::DecoderBlock<float> block(6, with_memory(nn::NormPlace::pre));
  const nn::DecoderBlock<float> bare(6, every_dropout(nn::NormPlace::pre));
  const auto x = tokens<float>(2, 3, 6, 5), memory = tokens<float>(2, 4, 5, 6);
  CHECK(error_of([&] { block.forward(x); }) ==
        "heed::nn::DecoderBlock: a block with cross-attention needs memory, the encoder's output, "
        "after x");
  heed::kv::Cache<float> cache({.B = 2, .Hkv = 2, .D = 3, .Dv = 3});
  CHECK(error_of([&] { block.forward(x, cache); }).find("cross-attention needs memory") !=
        std::string::npos);
  CHECK(cache.length(0) == 0);
  CHECK(error_of([&] { bare.forward(x, memory); }) ==
        "heed::nn::DecoderBlock: memory is given to a block without cross_attention in its "
        "options");
  CHECK(error_of([&] { block.forward(x, tokens<float>(2, 4, 6, 6)); }) ==
        "heed::nn::DecoderBlock::forward: memory has 6 features but the module takes 5 (memory "
        "[2,4,6])");
  CHECK(error_of([&] { block.forward(x, tokens<float>(1, 4, 5, 6)); }) ==
        "heed::nn::DecoderBlock::forward: memory has batch 1 but x has batch 2 (memory [1,4,5], x "
        "[2,3,6])");
  CHECK(error_of([&] { bare.forward(tokens<float>(2, 3, 5, 6)); }) ==
        "heed::nn::DecoderBlock::forward: x has 5 features but the module takes 6 (x [2,3,5])");
  const auto saved = block.forward_train(x, memory).saved;
  auto other = nn::gradients_of(bare);
  CHECK(error_of([&] {
          block.backward(x, saved, other);
        }).find("the gradients are another module's") != std::string::npos);
  auto gradients = nn::gradients_of(block);
  CHECK(error_of([&] {
          block.backward(tokens<float>(2, 2, 6, 1), saved, gradients);
        }).find("dy is not of the saved call (dy [2,2,6], saved x [2,3,6])") != std::string::npos);
}

TEST_CASE("gradients: causal language models, tied and not, with and without positions") {
  for (const bool tied : {true, false}) {
    nn::CausalLanguageModel<double> model(small(tied, tied ? 6 : 0));
    scatter(model, 0.7, 3);
    const auto ids = token_ids(2, 5, 7, 1);
    const auto dy = tokens<double>(2, 5, 7, 6);
    const auto trained = model.forward_train(ids, training);
    CHECK(same_bits(trained.out, model.forward(ids, training)));
    auto gradients = nn::gradients_of(model);
    model.backward(dy, trained.saved, gradients);
    const double least = least_gradient(gradients);
    for (const auto& input : heed::inspect::gradcheck_parameters(model, gradients)) {
      const auto check =
          heed::inspect::gradcheck([&] { return dot(dy, model.forward(ids, training)); }, {input});
      INFO(check);
      const double off = std::abs(check.gradient - check.difference);
      CHECK((check.ok(1e-6) || off < 1e-6 * least));
    }
    for (const int threads : {1, 2}) {
      auto again = nn::gradients_of(model);
      model.backward(dy, model.forward_train(ids, {nn::Mode::train, 11, threads}).saved, again,
                     {.threads = threads});
      CHECK(same_parameters(again, gradients));
    }
  }
}

namespace {

// The parameters of a model after three steps of gradient descent.
Weights trained(const nn::CausalLanguageModelOptions& options, int threads) {
  nn::CausalLanguageModel<float> model(options);
  scatter(model, 0.7, 3);
  auto gradients = nn::gradients_of(model);
  for (std::uint64_t n = 0; n < 3; ++n) {
    const nn::Options call{.mode = nn::Mode::train, .seed = n, .threads = threads};
    const auto saved = model.forward_train(token_ids(2, 5, 7, n), call).saved;
    nn::zero(gradients);
    model.backward(tokens<float>(2, 5, 7, n), saved, gradients, {.threads = threads});
    nn::for_each_parameter(
        [](const std::string&, auto& p, const auto& g) { p.value -= 0.05F * g.value; }, model,
        gradients);
  }
  return weights_of(model);
}

}  // namespace

TEST_CASE("checkpointing: a trained model has the bits of one that keeps everything") {
  auto options = small(true);
  const auto expected = trained(options, 1);
  for (const bool attention : {true, false}) {
    options.block.attention.checkpoint = attention;
    options.block.checkpoint = !attention;
    CHECK(trained(options, 2) == expected);
  }
  nn::CausalLanguageModel<float> model(options);
  const auto saved = model.forward_train(token_ids(2, 5, 7, 1), training).saved;
  CHECK(saved.blocks[1].input.has_value());
  CHECK(saved.blocks[1].feed_forward.feed_forward.before.size() == 0);
}

TEST_CASE("checkpointing: a block with memory has the same gradients") {
  auto options = with_memory(nn::NormPlace::pre);
  nn::DecoderBlock<float> storing(6, options);
  options.checkpoint = true;
  nn::DecoderBlock<float> checkpointed(6, options);
  scatter(storing, 0.7, 3);
  scatter(checkpointed, 0.7, 3);
  const mask::any none = mask::none();
  BothInputs<float> a{storing}, b{checkpointed};
  const auto x = tokens<float>(2, 7, 6, 5);
  const auto one = step(a, x, training, none), other = step(b, x, training, none);
  CHECK(same_bits(other.y, one.y));
  CHECK(same_bits(other.dx, one.dx));
  CHECK(weights_of(other.gradients) == weights_of(one.gradients));
}

TEST_CASE("causal language model: a later id changes no bit of an earlier row") {
  nn::CausalLanguageModel<float> model(
      {.vocabulary = 11,
       .features = 24,
       .layers = 2,
       .positions = 40,
       .block = {.attention = {.heads = 3}, .norm = nn::NormPlace::pre}});
  nn::initialise(model, nn::Init::xavier_uniform, 42);
  const auto ids = token_ids(2, 40, 11, 1);
  const auto logits = model.forward(ids);
  CHECK(logits.dimension(2) == 11);
  auto changed = ids;
  changed(0, 30) = (changed(0, 30) + 1) % 11;
  CHECK(same_rows(model.forward(changed), logits, 30));
  CHECK_FALSE(same_rows(model.forward(changed), logits, 31));

  Tensor3<float> out(2, 40, 11);
  std::vector<std::byte> room(model.workspace_bytes(ids));
  model.forward_into(out, ids, mask::None{}, plain, {.workspace = room});
  CHECK(same_bits(out, logits));
  nn::prepare(model);
  CHECK(same_bits(model.forward(ids, {.threads = 1}), logits));
  nn::initialise(model, nn::Init::xavier_uniform, 43);  // and the table is packed no more
  const auto other = model.forward(ids);
  CHECK_FALSE(same_bits(other, logits));
  nn::initialise(model, nn::Init::xavier_uniform, 42);
  CHECK(same_bits(model.forward(ids), logits));
}

TEST_CASE("causal language model: starts near a uniform guess, tied or not") {
  for (const bool tied : {true, false}) {
    nn::CausalLanguageModel<float> model({.vocabulary = 65,
                                          .features = 64,
                                          .layers = 1,
                                          .positions = 16,
                                          .block = nn::gpt2_block(2),
                                          .tied = tied});
    nn::initialise(model, nn::Init::torch_linear, 1);
    CHECK(largest(model.forward(token_ids(2, 16, 65, 1))) < 3);
    CHECK(weights_of(model).contains("output.weight") != tied);
  }
}

TEST_CASE("decoder block: GPT-2's drops attention's weights and both results, nothing else") {
  auto options = nn::gpt2_block(2, 0.5);
  CHECK(options.attention.dropout == 0.5);
  CHECK(options.dropout == 0.5);
  CHECK(options.attention_output_dropout == 0.5);
  options.attention.dropout = options.dropout = options.attention_output_dropout = 0;
  nn::DecoderBlock<double> block(6, options);
  scatter(block, 0.5, 3);
  const auto x = tokens<double>(2, 5, 6, 1);
  CHECK(same_bits(block.forward(x, mask::None{}, plain, training), block.forward(x)));
}

TEST_CASE("causal language model: numbers out of their range are refused by name") {
  const auto refused = [](const char* why, const auto& spoil) {
    auto options = small(true);
    spoil(options);
    const std::string said = error_of([&] { nn::CausalLanguageModel<float> model(options); });
    INFO(said);
    CHECK(said.find(why) != std::string::npos);
  };
  refused("vocabulary -1", [](auto& options) { options.vocabulary = -1; });
  refused("features -8", [](auto& options) { options.features = -8; });
  refused("layers -1", [](auto& options) { options.layers = -1; });
  refused("positions -3", [](auto& options) { options.positions = -3; });
  refused("block.hidden -3", [](auto& options) { options.block.hidden = -3; });
  refused("deviation -1", [](auto& options) { options.deviation = -1; });
  refused("deviation inf", [](auto& options) { options.deviation = INFINITY; });
  CHECK(error_of([] { nn::DecoderBlock<double>(6, {.hidden = -3}); }).find("[-3,6]") !=
        std::string::npos);
}

TEST_CASE("causal language model: what does not fit is refused, with the shapes") {
  const nn::CausalLanguageModel<float> model(small(true));
  const auto ids = token_ids(2, 5, 7, 1);
  CHECK(error_of([&] { model.forward(token_ids(1, 7, 7, 1)); }) ==
        "heed::position::learned: 7 positions from 0 are not in a table of 6 (table [6,6])");
  CHECK_THROWS_AS(model.forward(token_ids(1, 5, 7, 1).setConstant(7)), heed::Error);
  Tensor3<float> narrow(2, 5, 6);
  CHECK(error_of([&] { model.forward_into(narrow, ids); }) ==
        "heed::nn::CausalLanguageModel::forward: logits are not [B,L,vocabulary] (logits [2,5,6], "
        "ids [2,5])");
  const auto trained = model.forward_train(ids);
  auto gradients = nn::gradients_of(nn::CausalLanguageModel<float>(small(false)));
  CHECK(error_of([&] { model.backward(trained.out, trained.saved, gradients); }) ==
        "heed::nn::CausalLanguageModel::backward: the gradients or saved are another module's "
        "(d_logits [2,5,7])");
  auto own = nn::gradients_of(model);
  CHECK(error_of([&] { model.backward(tokens<float>(2, 4, 7, 1), trained.saved, own); }) ==
        "heed::nn::CausalLanguageModel::backward: dy is not of the saved call (dy [2,4,7], saved x "
        "[2,5,6])");
  CHECK(error_of([] {
          nn::CausalLanguageModel<float>({.block = with_memory(nn::NormPlace::pre)});
        }) == "heed::nn::CausalLanguageModel: its blocks have no memory for cross_attention");
}
