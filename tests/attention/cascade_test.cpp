// A cascade over a prefix and a batch is the call over both together, up to a merge's rounding.
#include "heed/attention/cascade.hpp"

#include <vector>

#include "support/contract.hpp"

namespace heed {
namespace {

using test::random4;

// Caches of a prefix, of what each of three sequences has behind it, and of both together.
template <class T>
struct Caches {
  kv::Cache<T> prefix{{1, 2, 12, 7}}, own{{3, 2, 12, 7}}, whole{{3, 2, 12, 7}};

  Caches(Index shared, const std::vector<Index>& lengths) {
    const auto k = random4<float>(1, 2, shared, 12, 1), v = random4<float>(1, 2, shared, 7, 2);
    prefix.append(k, v);
    whole = prefix.fork({0, 0, 0});
    for (Index b = 0; b < 3; ++b) {
      const Index n = lengths[static_cast<std::size_t>(b)];
      const auto seed = static_cast<std::uint64_t>(b);
      const auto own_k = random4<float>(1, 2, n, 12, 10 + seed);
      const auto own_v = random4<float>(1, 2, n, 7, 20 + seed);
      own.append(b, own_k, own_v);
      whole.append(b, own_k, own_v);
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("cascade: the results of a call over all keys", "", float, BFloat16) {
  for (const Index shared : {0, 5, 200}) {
    for (const Index Lq : {1, 4}) {
      const Caches<TestType> caches(shared, {4, 90, 31});
      const auto q = random4<float>(3, 4, Lq, 12, 3);
      const std::vector<float> sinks{3, -2, 7, 0};
      Options options;
      if (Lq == 4) options.sinks = sinks;
      const auto together = attention(q, caches.whole, mask::causal(), {}, options);
      const auto apart = cascade(q, caches.prefix, caches.own, mask::causal(), options);
      CAPTURE(shared, Lq);
      CHECK(test::max_difference(apart.out, together.out) < 1e-6);
      CHECK(test::max_difference(apart.lse, together.lse) < 1e-5);
    }
  }
}

TEST_CASE("cascade: half types are rounded once, in q's layout") {
  const Caches<BFloat16> caches(100, {1, 2, 50});
  const auto q = random4<BFloat16>(3, 1, 4, 12, 3);  // [B, L, H, D]
  Tensor4<float> same_q(3, 1, 4, 12);
  copy(view_of(q), mutable_view_of(same_q));
  const auto single = cascade(blhd(same_q), caches.prefix, caches.own);
  const auto apart = cascade(blhd(q), caches.prefix, caches.own);
  REQUIRE(apart.out.dimension(1) == 1);
  for (Index n = 0; n < apart.out.size(); ++n) {
    CHECK(apart.out.data()[n] == static_cast<BFloat16>(single.out.data()[n]));
  }
}

TEST_CASE("cascade: a sequence without keys of its own has the prefix's") {
  const Caches<float> caches(9, {0, 1, 0});
  const auto q = random4<float>(3, 2, 1, 12, 3);
  const auto apart = cascade(q, caches.prefix, caches.own);
  const auto prefix = attention(q, caches.prefix.fork({0, 0, 0}));
  for (Index d = 0; d < 7; ++d) CHECK(apart.out(2, 1, 0, d) == prefix.out(2, 1, 0, d));
}

TEST_CASE("cascade: a prefix of another shape is refused") {
  const kv::Cache<float> own({3, 2, 12, 7});
  const auto q = random4<float>(3, 2, 1, 12);
  const auto refused = [&](const kv::Extents& of) {
    return test::error_of([&] { cascade(q, kv::Cache<float>(of), own); });
  };
  using test::ContainsSubstring;
  CHECK_THAT(refused({2, 2, 12, 7}),
             ContainsSubstring("must have batch 1") && ContainsSubstring("B 3, Hkv 2, D 12, Dv 7"));
  CHECK_THAT(refused({1, 1, 12, 7}),
             ContainsSubstring("the prefix has heads 1 but the batch has 2"));
  CHECK_THAT(refused({1, 2, 8, 7}), ContainsSubstring("dim 8"));
  CHECK_THAT(refused({1, 2, 12, 8}), ContainsSubstring("values of the prefix have dim 8"));
  CHECK_THROWS_AS(cascade(q, own.fork({0}), own, mask::causal(), {.dropout = 0.5F}), Error);
}

}  // namespace heed
