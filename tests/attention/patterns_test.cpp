// Every sparse pattern and relative score, through the kernels, is what the textbook computes.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "support/problem.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::test::Inputs;
using heed::test::Layout;
namespace mask = heed::mask;
namespace score = heed::score;

struct Named {
  std::string name;
  mask::any any;
};

// A call on float tensors against the textbook in double and in float.
template <class M, class S>
void check_call(const Shape& shape, const M& mask, const S& score) {
  const Inputs<float> in(shape, Layout::packed, 5);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const auto out = heed::attention(q, k, v, mask, score);
  const auto naive = heed::reference::attention(q, k, v, mask, score);
  const auto truth = heed::reference::attention<double>(q, k, v, mask, score);
  heed::test::require_accurate<float>(out, naive, truth);
}

}  // namespace

TEST_CASE("sparse patterns through the kernels are the textbook's") {
  const Shape shape{2, 4, 2, 150, 150, 24, 16, 4};
  std::vector<int> ids, scattered;
  for (int n = 0; n < 300; ++n) ids.push_back(n % 150 / 40);
  for (int n = 0; n < 150; ++n) scattered.push_back(n * 7 % 5);
  const std::vector<int> ends = {0, 20, 20, 130, 150}, prompts = {7, 90};
  heed::Tensor3<bool> layout(4, 5, 5);
  for (Index n = 0; n < layout.size(); ++n) layout.data()[n] = n * n % 7 < 3;
  const std::vector<mask::any> heads = {mask::causal(), mask::window(3), mask::strided(7),
                                        mask::random(5, 2)};
  const std::vector<Named> masks = {
      {"document", mask::document(ids)},
      {"document, scattered", mask::document(scattered)},
      {"document, causal", mask::causal() & mask::document(ids)},
      {"packed", mask::packed(ends, mask::causal())},
      {"prefix", mask::prefix(30)},
      {"prefix of each batch", mask::prefix(prompts)},
      {"blocks", mask::blocks(layout, 32, mask::axes::heads)},
      {"dilated", mask::dilated(9, 4, 3)},
      {"longformer", mask::longformer(16, 2, 2)},
      {"sparse_strided", mask::sparse_strided(16)},
      {"sparse_fixed", mask::sparse_fixed(16, 2)},
      {"per head", mask::per_head(heads)},
      {"bigbird", mask::bigbird(8, 2, 3, 1)},
      {"not random", ~mask::random(20, 4)},
  };
  for (const Named& named : masks) {
    INFO(named.name);
    check_call(shape, named.any, score::None{});
  }
}

TEST_CASE("a mask's own type and the same mask chosen at run time give the same bits") {
  const Shape shape{1, 2, 2, 150, 150, 24, 16, 4};
  const Inputs<float> in(shape, Layout::packed, 6);
  const std::vector<int> ends = {0, 20, 20, 130, 150};
  const auto pattern = mask::packed(ends, mask::causal()) & ~mask::strided(5);
  const auto own = heed::attention(in.q.cview(), in.k.cview(), in.v.cview(), pattern);
  const auto any = heed::attention(in.q.cview(), in.k.cview(), in.v.cview(), mask::any(pattern));
  CHECK(heed::test::same_bits(own.out, any.out));
  CHECK(heed::test::same_bits(own.lse, any.lse));
}

// The mask is asked for 8192 keys at once.
TEST_CASE("patterns over more keys than the mask is asked for at once are the textbook's") {
  const Shape shape{1, 2, 1, 23, 20000, 8, 8, 4};
  std::vector<int> ids;
  for (int n = 0; n < 20000; ++n) ids.push_back(n / 7000);
  for (const mask::any& any :
       {mask::any(), mask::any(mask::causal()), mask::any(mask::window(9000, 0)),
        mask::any(mask::random(3, 1) & mask::causal()), mask::any(mask::document(ids)),
        mask::any(mask::window(3) | mask::global(5)), mask::any(mask::strided(9))}) {
    check_call(shape, any, score::None{});
  }
}

// strided(…) is a call over every n-th key: whatever says where a key stands must still be right.
TEST_CASE("a mask that steps over keys is the textbook's, whatever comes with it") {
  const std::vector<float> slopes = score::alibi_slopes(4);
  const auto late = [](float s, int, int j) { return s - 0.03F * static_cast<float>(j); };
  for (const Index Lq : {1, 2, 90, 150}) {
    for (const Index Lk : {1, 7, 64, 150, 700}) {
      for (const int step : {2, 7, 200}) {
        const Shape shape{2, 4, 2, Lq, Lk, 24, 16, 4};
        CAPTURE(Lq, Lk, step);
        check_call(shape, mask::strided(step), score::None{});
        check_call(shape, mask::causal() & mask::strided(step), score::alibi(slopes));
        check_call(shape, mask::any(mask::strided(step) | mask::strided(2 * step)), late);
      }
    }
  }
}

TEST_CASE("a mask that steps over keys: dropout counts all keys, workspace_bytes suffices") {
  const Shape shape{1, 2, 2, 70, 150, 24, 16, 4};
  const Inputs<float> in(shape, Layout::packed, 7);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const auto stepping = mask::strided(3);
  const auto asking = [](int, int j) { return j % 3 == 0; };
  heed::Options options{.dropout = 0.3, .seed = 9};
  const auto one = heed::attention(q, k, v, stepping, {}, options);
  const auto other = heed::attention(q, k, v, asking, {}, options);
  for (Index n = 0; n < one.out.size(); ++n) {  // a weight dropped by one of them alone is 0.02
    REQUIRE(one.out.data()[n] == Approx(other.out.data()[n]).epsilon(1e-5).margin(1e-6));
  }
  std::vector<std::byte> memory(heed::workspace_bytes(q, k, v, stepping, {}, options));
  CHECK(memory.size() < heed::workspace_bytes(q, k, v, asking, {}, options));
  auto result = heed::attention(q, k, v, stepping, {}, options);
  const auto expected = result.out;
  options.workspace = memory;
  heed::attention_into(result, q, k, v, stepping, {}, options);
  CHECK(heed::test::same_bits(result.out, expected));
}

TEST_CASE("relative scores through the kernels are the textbook's") {
  heed::Tensor2<float> table(4, 41), buckets(4, 32);
  for (Index n = 0; n < table.size(); ++n) {
    table.data()[n] = static_cast<float>(heed::test::uniform(1, n));
  }
  for (Index n = 0; n < buckets.size(); ++n) {
    buckets.data()[n] = static_cast<float>(heed::test::uniform(2, n));
  }
  const auto t5 = score::t5_table(buckets);
  for (const Index Lq : {1, 150}) {  // decoding and prefill
    const Shape shape{2, 4, 2, Lq, 170, 24, 16, 4};
    INFO(Lq << " queries");
    check_call(shape, mask::any(mask::causal()), score::relative(table));
    check_call(shape, mask::any(), score::relative(t5));
  }
}

TEST_CASE("a ragged batch gives each entry the bits of a call over its own keys") {
  const std::vector<std::int64_t> lengths = {150, 64, 97};
  const mask::any inside = mask::causal() & (mask::window(40, 0) | mask::sinks(3));
  for (const Index Lq : {1, 3, 20}) {  // decoding, and a piece of a prompt
    const Shape shape{3, 4, 2, Lq, 150, 24, 16, 4};
    const Inputs<float> in(shape, Layout::packed, 8);
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
    const auto all = heed::attention(q, k, v, mask::any(mask::ragged(lengths, inside)));
    const std::vector<Index> offsets = {150 - Lq, 64 - Lq, 97 - Lq};
    const auto by_offset =
        heed::attention(q, k, v, mask::any(mask::at(offsets, inside) & mask::padding(lengths)));
    CHECK(heed::test::same_bits(all.out, by_offset.out));
    for (Index b = 0; b < 3; ++b) {
      CAPTURE(Lq, b);
      auto own_q = q, own_k = k, own_v = v;
      for (auto* x : {&own_q, &own_k, &own_v}) {
        x->data += b * x->stride[0];
        x->extent[0] = 1;
      }
      own_k.extent[2] = own_v.extent[2] = lengths[std::size_t(b)];
      const auto own = heed::attention(own_q, own_k, own_v, inside);
      const float* part = all.out.data() + b * own.out.size();
      CHECK(std::equal(part, part + own.out.size(), own.out.data()));
    }
    for (const auto where : {mask::pad::back, mask::pad::front}) {
      const std::vector<int> queries = {static_cast<int>(Lq), 1, 0}, keys = {9, 100, 150};
      check_call(shape, mask::any(mask::ragged(queries, keys, inside, where)), score::None{});
    }
  }
}

TEST_CASE("a mask and a bias that lack keys mask them") {
  const Shape shape{2, 4, 2, 20, 150, 24, 16, 4};
  heed::Tensor2<float> tensor(20, 100);
  for (Index n = 0; n < tensor.size(); ++n) {
    tensor.data()[n] = n % 5 == 0 ? 0.0F : static_cast<float>(heed::test::uniform(3, n));
  }
  check_call(shape, mask::any(mask::dense(tensor, heed::axes::by_rank, heed::missing::masked)),
             score::None{});
  check_call(shape, mask::any(), score::bias(tensor, heed::axes::by_rank, heed::missing::masked));
  CHECK_THROWS_AS(check_call(shape, mask::any(), score::bias(tensor)), heed::Error);
}

// Keys of one number: zero strides, and not contiguous, so that no path for few queries is taken.
TEST_CASE("masks at the end of the longest sequence see the keys that exist") {
  constexpr Index longest = heed::max_length;
  const float half = 0.5F;
  const heed::View<const float, 4> q{&half, {1, 1, 17, 1}, {0, 0, 0, 0}};
  const heed::View<const float, 4> k{&half, {1, 1, longest, 1}, {0, 0, 0, 0}};
  const mask::any near = mask::window(3) & ~mask::strided(1000) & mask::dilated(2, 0, 1 << 30);
  const auto r = heed::attention(q, k, k, near | mask::window(1));
  for (Index i = 0; i < 17; ++i) {
    CAPTURE(i);
    CHECK(r.out(0, 0, i, 0) == Approx(0.5));
    CHECK(r.lse(0, 0, i) == Approx(0.25 + std::log(i == 16 ? 2.0 : 3.0)));
  }
}

TEST_CASE("a call without a row returns at once, however many heads and batches it has") {
  const float one = 1;
  constexpr Index many = heed::max_length;
  for (const Shape& s : {Shape{2, many, 1, 0, 3, 4, 4}, Shape{many, 0, 0, 2, 3, 4, 4}}) {
    const heed::View<const float, 4> q{&one, {s.B, s.Hq, s.Lq, 4}, {0, 0, 0, 0}};
    const heed::View<const float, 4> k{&one, {s.B, s.Hkv, s.Lk, 4}, {0, 0, 0, 0}};
    for (const auto backend :
         {heed::Backend::flash, heed::Backend::chunked, heed::Backend::reference}) {
      CHECK(heed::attention(q, k, k, mask::any(), {}, {.backend = backend}).out.size() == 0);
    }
    CHECK(heed::approx::low_rank(q, k, k, 2, mask::any()).out.size() == 0);
  }
}
