// A source whose keys lie in pages gives the bits of dense tensors with the same keys: packed and
// unpacked, for pages of any size.
#include "heed/kv/source.hpp"

#include <vector>

#include "heed/approx/top_k/over_source.hpp"
#include "support/contract.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;

// The keys and values of dense tensors, cut into pages that lie in a pool in another order.
template <class T>
class Pages {
 public:
  using Scalar = T;

  Pages(const Inputs<T>& in, const Shape& shape, Index page, std::vector<Index> lengths)
      : page_(page),
        a_head_((shape.Lk + page - 1) / page),
        Hkv_(shape.Hkv),
        lengths_(std::move(lengths)),
        k_(1, 1, shape.B * shape.Hkv * a_head_ * page, shape.D, Layout::gaps),
        v_(1, 1, shape.B * shape.Hkv * a_head_ * page, shape.Dv, Layout::gaps) {
    for (Index b = 0; b < shape.B; ++b) {
      for (Index h = 0; h < shape.Hkv; ++h) {
        for (Index j = 0; j < shape.Lk; ++j) {
          const Index row = row_of(b * Hkv_ + h, j);
          for (Index d = 0; d < shape.D; ++d) k_.view()(0, 0, row, d) = in.k.cview()(b, h, j, d);
          for (Index d = 0; d < shape.Dv; ++d) v_.view()(0, 0, row, d) = in.v.cview()(b, h, j, d);
        }
      }
    }
  }

  struct Head {
    const Pages& pages;
    Index head;

    template <class F>
    void for_each_run(Index begin, Index end, F&& f) const {
      for (Index first = begin, last = 0; first < end; first = last) {
        last = std::min(end, (first / pages.page_ + 1) * pages.page_);
        const Index row = pages.row_of(head, first);
        f(first, slice(pages.k_.cview().matrix(0, 0), row, last - first),
          slice(pages.v_.cview().matrix(0, 0), row, last - first));
      }
    }
  };
  kv::Extents extents() const {
    return {static_cast<Index>(lengths_.size()), Hkv_, k_.cview().extent[3], v_.cview().extent[3]};
  }
  Index length(Index b) const { return lengths_[static_cast<std::size_t>(b)]; }
  Head bind(const Shape&, Index b, Index kv_head) const { return {*this, b * Hkv_ + kv_head}; }

 private:
  // Pages fill the pool from its end, so that no two of them follow each other.
  Index row_of(Index head, Index j) const {
    const Index pages = static_cast<Index>(lengths_.size()) * Hkv_ * a_head_;
    return (pages - 1 - head * a_head_ - j / page_) * page_ + j % page_;
  }

  Index page_, a_head_, Hkv_;
  std::vector<Index> lengths_;
  Buffer<T> k_, v_;
};
static_assert(kv::Source<Pages<float>, float> && kv::HasExtents<Pages<float>>);

template <class T>
auto attend_dense(const Inputs<T>& in, const mask::any& mask) {
  return attention(in.q.cview(), in.k.cview(), in.v.cview(), mask);
}

}  // namespace

TEMPLATE_TEST_CASE("source: keys in pages have the bits of dense keys", "", float, double, Half,
                   BFloat16) {
  for (const Index Lq : {3, 40}) {  // unpacked, packed
    const Shape shape{2, 6, 2, Lq, 2300, 48, 20};
    const Inputs<TestType> in(shape, Layout::blhd, 5, 2);
    for (const mask::any& mask : {mask::any(), mask::any(mask::causal() & mask::window(300))}) {
      const auto expected = attend_dense(in, mask);
      for (const Index page : {5, 16, 32, 128}) {
        CAPTURE(Lq, page);
        const auto paged =
            attention(in.q.cview(), Pages<TestType>(in, shape, page, {2300, 2300}), mask);
        REQUIRE(test::same_bits(paged.out, expected.out));
        REQUIRE(test::same_bits(paged.lse, expected.lse));
      }
    }
  }
}

TEMPLATE_TEST_CASE("source: keys of half types beside queries of float have the bits of float keys",
                   "", Half, BFloat16) {
  for (const Index Lq : {2, 20}) {  // unpacked, packed
    const Shape shape{1, 4, 2, Lq, 700, 24, 20};
    Inputs<TestType> in(shape, Layout::blhd, 5, 2);
    in.v.view()(0, 1, 3, 2) = static_cast<TestType>(test::inf);  // hidden by the mask
    const Tensor4<float> q = test::random4<float>(1, 4, Lq, 24);
    Tensor4<float> k(1, 2, 700, 24), v(1, 2, 700, 20);
    copy(in.k.cview(), mutable_view_of(k));
    copy(in.v.cview(), mutable_view_of(v));
    const mask::any mask = mask::causal() & mask::window(300);
    const auto expected = attention(q, k, v, mask);
    const auto require_same = [&](const auto& source) {
      const auto found = attention(q, source, mask);
      CAPTURE(Lq);
      REQUIRE(test::same_bits(found.out, expected.out));
      REQUIRE(test::same_bits(found.lse, expected.lse));
    };
    require_same(kv::Dense<float>{view_of(k), view_of(v)});
    require_same(kv::Dense<TestType>{in.k.cview(), in.v.cview()});
    require_same(Pages<TestType>(in, shape, 16, {700}));
    require_same(Pages<TestType>(in, shape, 5, {700}));
  }
}

TEST_CASE("source: a shorter length of a batch entry hides the keys behind it") {
  for (const Index Lq : {2, 20}) {
    const Shape shape{2, 2, 1, Lq, 2300, 16, 16};
    const Inputs<float> in(shape, Layout::packed, 5, 2);
    const std::vector<Index> lengths = {2100, 77};
    const auto expected = attend_dense(in, mask::padding(lengths));
    const auto paged = attention(in.q.cview(), Pages<float>(in, shape, 32, lengths), mask::any());
    CHECK(test::max_difference(paged.out, expected.out) < 1e-6);
    CHECK(test::max_difference(paged.lse, expected.lse) < 1e-6);
  }
}

TEST_CASE("source: NaN and infinity behind a mask change no bit of keys in pages") {
  for (const Index Lq : {2, 20}) {
    const Shape shape{1, 2, 1, Lq, 2300, 16, 16};
    const Inputs<float> clean(shape, Layout::packed, 5, 2);
    const mask::any mask = [](int, int j) { return j % 1000 != 7; };
    const auto expected = attend_dense(clean, mask);
    for (const float poison : {test::nan, test::inf}) {
      Inputs<float> dirty = clean;
      for (const Index j : {7, 1007}) {
        dirty.k.view()(0, 0, j, 2) = poison;
        dirty.v.view()(0, 0, j, 1) = poison;
      }
      const auto hidden = attention(dirty.q.cview(), Pages<float>(dirty, shape, 32, {2300}), mask);
      CHECK(test::same_bits(hidden.out, expected.out));
      CHECK(test::same_bits(hidden.lse, expected.lse));
    }
  }
}

TEST_CASE("source: sums of values that overflow are computed again from the pages") {
  for (const Index Lq : {1, 20}) {
    const Shape shape{1, 1, 1, Lq, 2300, 16, 8};
    Inputs<float> in(shape, Layout::packed, 3, 2);
    for (Index j = 0; j < shape.Lk; ++j) in.v.view()(0, 0, j, 1) = 3e38F;
    const auto expected = attend_dense(in, mask::any());
    const auto paged = attention(in.q.cview(), Pages<float>(in, shape, 16, {2300}), mask::any());
    CHECK(std::abs(paged.out(0, 0, 0, 1) / 3e38F - 1) < 1e-4F);
    CHECK(test::same_bits(paged.out, expected.out));
  }
}

TEST_CASE("source: results in the caller's memory, of any rank") {
  const Shape shape{1, 1, 1, 9, 300, 16, 8};
  const Inputs<float> in(shape, Layout::packed, 5);
  const Pages<float> pages(in, shape, 7, {300});
  const auto expected = attend_dense(in, mask::causal());
  const View<const float, 2> q = in.q.cview().matrix(0, 0);
  auto result = attention(q, pages, mask::causal());
  const auto same = [&] {
    return test::same_bits(result.out, expected.out) && test::same_bits(result.lse, expected.lse);
  };
  CHECK(same());
  std::vector<std::byte> workspace(workspace_bytes(q, pages, mask::causal()));
  CallReport report;
  std::fill_n(result.out.data(), 9 * 8, 0.0F);
  std::fill_n(result.lse.data(), 9, 0.0F);
  attention_into(result, q, pages, mask::causal(), {},
                 {.threads = 1, .workspace = workspace, .report = &report});
  CHECK(report.scratch_bytes <= workspace.size());
  CHECK(same());
}

TEST_CASE("source: top-k over pages has the bits of dense keys") {
  const Shape shape{2, 2, 1, 9, 300, 16, 8};
  const Inputs<float> in(shape, Layout::packed, 5);
  const mask::any causal = mask::causal();
  const auto dense = approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), 33, causal);
  for (const Index page : {7, 64}) {
    const auto paged =
        approx::top_k(in.q.cview(), Pages<float>(in, shape, page, {300, 300}), 33, causal);
    CHECK(test::same_bits(paged.out, dense.out));
    CHECK(test::same_bits(paged.lse, dense.lse));
  }
}

TEST_CASE("source: what does not fit is refused, with both shapes") {
  const Shape shape{2, 4, 2, 9, 300, 16, 8};
  const Inputs<float> in(shape, Layout::packed, 5);
  const Pages<float> pages(in, shape, 32, {300, 20});
  const Tensor4<float> three(3, 4, 9, 16), narrow(2, 4, 9, 15), odd(2, 3, 9, 16);
  using Catch::Contains;
  CHECK_THROWS_WITH(attention(three, pages), Contains("the source has batch 2 but q has batch 3"));
  CHECK_THROWS_WITH(attention(narrow, pages), Contains("dim 16") && Contains("[2,4,9,15]"));
  CHECK_THROWS_WITH(attention(odd, pages), Contains("not a multiple"));
  const Pages<float> negative(in, shape, 32, {300, -1});
  CHECK_THROWS_WITH(attention(in.q.cview(), negative), Contains("length -1 in batch entry 1"));
  CHECK_THROWS_WITH(attention(in.q.cview(), pages, {}, {}, {.backend = Backend::reference}),
                    Contains("reads dense keys only"));
  const Tensor4<float> values(2, 2, 290, 8);
  const kv::Dense<float> unequal{in.k.cview(), view_of(values)};
  CHECK_THROWS_WITH(attention(in.q.cview(), unequal), Contains("v has length 290"));
  const Tensor4<BFloat16> half_k(2, 2, 300, 16), half_v(2, 2, 290, 8), heads(2, 1, 300, 8);
  const auto half = [&](const View<const BFloat16, 4>& k, const View<const BFloat16, 4>& v) {
    attention(in.q.cview(), kv::Dense<BFloat16>{k, v});
  };
  CHECK_THROWS_WITH(half(view_of(half_k), view_of(half_v)),
                    Contains("v has length 290 but k has length 300"));
  CHECK_THROWS_WITH(half(view_of(half_k), view_of(heads)), Contains("v has heads 1"));
  CHECK_THROWS_WITH(half({nullptr, {2, 2, 300, 16}, {9600, 4800, 16, 1}}, view_of(half_v)),
                    Contains("k has no data"));
  Tensor4<float> small(2, 4, 9, 7);
  CHECK_THROWS_WITH(attention_into(small, in.q.cview(), pages), Contains("out must be"));
}

TEST_CASE("source: a batch entry without keys, and none at all") {
  const Shape shape{2, 2, 1, 5, 40, 16, 8};
  const Inputs<float> in(shape, Layout::packed, 5);
  const auto one = attention(in.q.cview(), Pages<float>(in, shape, 16, {40, 0}));
  CHECK(one.lse(0, 0, 0) > -10);
  CHECK(one.lse(1, 1, 4) == -test::inf);
  CHECK(one.out(1, 1, 4, 7) == 0);
  const auto none = attention(in.q.cview(), Pages<float>(in, shape, 16, {0, 0}));
  CHECK(none.lse(0, 0, 0) == -test::inf);
  CHECK(none.out(0, 0, 0, 0) == 0);
}

}  // namespace heed
