// A cache gives each sequence the results of a call over its own keys, whatever was appended, cut
// off or forked before.
#include "heed/kv/cache.hpp"

#include <vector>

#include "heed/approx/top_k/over_source.hpp"
#include "heed/kv/dense.hpp"
#include "heed/kv/paged_cache.hpp"
#include "heed/kv/row_runs.hpp"
#include "kv/vector_model.hpp"
#include "support/sweep.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;
using test::part;
using test::same;

template <class X>
View<const typename X::Scalar, 4> entry(const X& x, Index b) {
  return part(view_of(x), b, 1, 0, x.dimension(2));
}

}  // namespace

TEMPLATE_TEST_CASE("cache: random operations give the bits of packed dense calls", "", float, Half,
                   BFloat16, kv::Latent<float>) {
  using Model = test::VectorModel<TestType>;
  const kv::Extents extents{3, Model::Hkv, Model::D, Model::Dv};
  test::compare_with_model<TestType>(kv::Cache<TestType>(extents), 10'000 / test::cases_per_run,
                                     200, 1);
  int full = 0;
  test::compare_with_model<TestType>(
      kv::Cache<TestType>(extents, {.capacity = 70, .grows = false}), 1000, 200, 1'000'000,
      [&](const auto& cache, const auto& operation) {
        REQUIRE(operation.appends());
        REQUIRE(std::max({cache.length(0), cache.length(1), cache.length(2)}) +
                    operation.appended() >
                70);
        ++full;
      });
  REQUIRE(full > 50);
}

TEMPLATE_TEST_CASE("cache: a ragged batch has the rows of each sequence alone", "", float, double,
                   BFloat16) {
  using T = TestType;
  const Index lengths[] = {300, 77, 2100};
  const std::vector<float> slopes = {0.1F, 0.02F, 0, 1, 0.5F, 0.3F};
  const auto score = score::alibi(slopes);
  for (const Index Lq : {1, 3, 40}) {
    const Shape shape{3, 6, 2, Lq, 2100, 24, 20};
    const Inputs<T> in(shape, Layout::blhd, 5, 2);
    kv::Cache<T> cache({3, 2, 24, 20});
    for (Index b = 0; b < 3; ++b) {
      cache.append(b, part(in.k.cview(), b, 1, 0, lengths[b]),
                   part(in.v.cview(), b, 1, 0, lengths[b]));
    }
    const mask::any mask = mask::causal() & mask::window(50);
    const auto ragged = attention(in.q.cview(), cache, mask, score);
    for (Index b = 0; b < 3; ++b) {
      CAPTURE(Lq, b);
      const auto alone = attention(part(in.q.cview(), b, 1, 0, Lq), cache.fork({b}), mask, score);
      const auto dense =
          attention(part(in.q.cview(), b, 1, 0, Lq), part(in.k.cview(), b, 1, 0, lengths[b]),
                    part(in.v.cview(), b, 1, 0, lengths[b]), mask, score);
      CHECK(same(entry(ragged.out, b), view_of(alone.out)));
      const auto decoded =
          attention(part(in.q.cview(), b, 1, Lq - 1, 1), cache.fork({b}), mask, score);
      CHECK(same(part(view_of(ragged.out), b, 1, Lq - 1, 1), view_of(decoded.out)));
      CHECK(test::max_difference(alone.out, dense.out) < 1e-6 + 2 * test::unit_roundoff<T>());
      CHECK(test::max_difference(alone.lse, dense.lse) < 1e-5);
    }
  }
}

TEMPLATE_TEST_CASE("latent cache: a token is kept once, with the bits of a cache that has it twice",
                   "", float, double, Half, BFloat16) {
  using T = TestType;
  constexpr Index D = 75, Dv = 67, L = 2100;
  for (const Index Hq : {1, 17}) {
    const Inputs<T> in({2, Hq, 1, 20, L, D, Dv}, Layout::gaps, 5, 2);
    const auto k = in.k.cview();
    kv::Cache<T> twice({2, 1, D, Dv});
    kv::LatentCache<T> once({2, 1, D, Dv}, {.capacity = L});
    for (Index b = 0; b < 2; ++b) {
      const auto keys = part(k, b, 1, 0, b == 0 ? L : 77);
      twice.append(b, keys, kv::first_features(keys, Dv));
      once.append(b, part(keys, 0, 1, 0, 70));
      once.append(b, part(keys, 0, 1, 70, keys.extent[2] - 70));
    }
    for (const Index Lq : {1, 20}) {
      CAPTURE(Hq, Lq);
      const auto q = part(in.q.cview(), 0, 2, 0, Lq);
      const mask::any mask = mask::causal();
      const auto expected = attention(q, twice, mask);
      const auto found = attention(q, once, mask);
      CHECK(same(view_of(found.out), view_of(expected.out)));
      CHECK(test::same_bits(found.lse, expected.lse));
      CHECK(same(view_of(approx::top_k(q, once, 40, mask).out),
                 view_of(approx::top_k(q, twice, 40, mask).out)));
    }
    CHECK(once.memory_bytes() <= (L + 32) * 2 * D * sizeof(T));
  }
}

TEST_CASE("latent cache: keys that are not finite, and wrong calls") {
  using test::ContainsSubstring;
  const Inputs<float> in({1, 2, 1, 9, 70, 20, 18}, Layout::packed, 7);
  in.k.view()(0, 0, 65, 17) = test::nan;
  in.k.view()(0, 0, 66, 3) = test::inf;
  const auto k = in.k.cview();
  kv::Cache<float> twice({1, 1, 20, 18});
  kv::LatentCache<float> once({1, 1, 20, 18});
  twice.append(k, kv::first_features(k, 18));
  once.append(k);
  for (const Index Lq : {1, 9}) {
    const auto q = part(in.q.cview(), 0, 1, 0, Lq);
    const mask::any mask = mask::causal() & mask::window(4);
    const auto found = attention(q, once, mask), expected = attention(q, twice, mask);
    CHECK(test::same_bits(found.out, expected.out));
  }
  CHECK_THROWS_WITH(
      once.append(in.v.cview()),
      ContainsSubstring("k has dim 18 but the cache has 20 (k [1,1,70,18], the cache's"));
  CHECK_THROWS_WITH(kv::LatentCache<float>({1, 1, 5, 6}),
                    ContainsSubstring("Dv of a latent cache must be D at most"));
  CHECK_THROWS_AS(kv::PagedCache<kv::Latent<float>>({1, 1, 5, 6}, {}), Error);
}

TEST_CASE("rows of a source are those that were appended, whatever keeps them") {
  const Inputs<float> in({1, 2, 2, 1, 130, 20, 18}, Layout::gaps, 7);
  const auto k = in.k.cview(), v = in.v.cview();
  const auto require_rows = [&](const auto& source, const auto& values, double bound) {
    std::vector<float> room(10'000);
    const kv::RowSizes sizes{20, 18, kv::panel_width<float>(), room.data()};
    REQUIRE(kv::row_room(sizes) <= std::ssize(room));
    Index next = 3;
    const auto check = [&](Index first, const auto& keys, const auto& rows) {
      REQUIRE(first == next);
      next += keys.extent[0];
      for (Index j = first; j < next; ++j) {
        for (Index d = 0; d < 20; ++d) {
          REQUIRE(std::abs(keys(j - first, d) - k(0, 1, j, d)) <= bound);
        }
        for (Index d = 0; d < 18; ++d) {
          REQUIRE(std::abs(rows(j - first, d) - values(0, 1, j, d)) <= bound);
        }
      }
    };
    kv::for_each_row_run<float>(source.bind({}, 0, 1), sizes, 3, 125, check);
    REQUIRE(next == 125);
  };
  const kv::Extents extents{1, 2, 20, 18};
  const auto filled = [&](auto cache) {
    cache.append(part(k, 0, 1, 0, 60), part(v, 0, 1, 0, 60));
    cache.append(part(k, 0, 1, 60, 70), part(v, 0, 1, 60, 70));
    return cache;
  };
  require_rows(kv::Dense<float>{k, v}, v, 0);
  require_rows(filled(kv::Cache<float>(extents)), v, 0);
  require_rows(filled(kv::PagedCache<float>(extents, {.page = 7, .pages = 40})), v, 0);
  require_rows(filled(kv::Cache<kv::K8V8>(extents)), v, 0.01);
  require_rows(filled(kv::Cache<kv::K4V4>(extents, {.rotates = false})), v, 0.125);
  kv::LatentCache<float> latent(extents);
  latent.append(k);
  require_rows(latent, kv::first_features(k, 18), 0);
}

TEMPLATE_TEST_CASE("cache: top-k has the bits of dense keys, in each sequence", "", float,
                   BFloat16) {
  using T = TestType;
  const Index lengths[] = {2100, 77};
  for (const Index Lq : {1, 40}) {
    const Shape shape{2, 4, 2, Lq, 2100, 24, 20};
    const Inputs<T> in(shape, Layout::gaps, 5, 2);
    kv::Cache<T> cache({2, 2, 24, 20});
    for (Index b = 0; b < 2; ++b) {
      cache.append(b, part(in.k.cview(), b, 1, 0, lengths[b]),
                   part(in.v.cview(), b, 1, 0, lengths[b]));
    }
    const mask::any mask = mask::causal() & mask::window(900);
    for (const Index keep : {0, 1, 33, 76, 400}) {
      const auto ragged = approx::top_k(in.q.cview(), cache, keep, mask);
      for (Index b = 0; b < 2; ++b) {
        CAPTURE(Lq, keep, b);
        if (keep >= lengths[b]) continue;  // dense top-k then is attention, whose sums have splits
        const auto dense =
            approx::top_k(part(in.q.cview(), b, 1, 0, Lq), part(in.k.cview(), b, 1, 0, lengths[b]),
                          part(in.v.cview(), b, 1, 0, lengths[b]), keep, mask);
        CHECK(same(entry(ragged.out, b), view_of(dense.out)));
        for (Index h = 0; h < 4; ++h) CHECK(ragged.lse(b, h, Lq - 1) == dense.lse(0, h, Lq - 1));
      }
    }
    const auto all = approx::top_k(in.q.cview(), cache, 2100, mask);
    CHECK(test::same_bits(all.out, attention(in.q.cview(), cache, mask).out));
  }
}

TEST_CASE("cache: top-k of float queries over keys of bfloat16, and wrong calls") {
  const Inputs<float> in({1, 2, 1, 3, 300, 8, 5}, Layout::packed, 5);
  kv::Cache<BFloat16> cache({1, 1, 8, 5});
  cache.append(in.k.cview(), in.v.cview());
  Buffer<float> k(1, 1, 300, 8, Layout::packed), v(1, 1, 300, 5, Layout::packed);
  const auto rounded = [](const auto& from, auto& to) {
    for (Index j = 0; j < 300; ++j) {
      for (Index d = 0; d < to.view().extent[3]; ++d) {
        to.view()(0, 0, j, d) = static_cast<float>(BFloat16(from(0, 0, j, d)));
      }
    }
  };
  rounded(in.k.cview(), k);
  rounded(in.v.cview(), v);
  const auto cached = approx::top_k(in.q.cview(), cache, 9, mask::any(mask::causal()));
  const auto dense =
      approx::top_k(in.q.cview(), k.cview(), v.cview(), 9, mask::any(mask::causal()));
  CHECK(test::same_bits(cached.out, dense.out));
  CHECK(test::same_bits(cached.lse, dense.lse));
  using Catch::Contains;
  CHECK_THROWS_WITH(approx::top_k(in.q.cview(), cache, -2), Contains("top_k: keep -2"));
  CHECK_THROWS_WITH(approx::top_k(in.v.cview(), cache, 2), Contains("top_k: the source has dim 8"));
}

TEST_CASE("cache: dropout drops what it drops of dense keys, whose numbers count batch entries") {
  const Options options{.dropout = 0.4, .seed = 9};
  for (const Index Lq : {1, 20}) {  // unpacked, packed
    const Inputs<float> in({2, 4, 2, Lq, 300, 24, 20}, Layout::blhd, 5, 2);
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
    kv::Cache<float> cache({2, 2, 24, 20});
    kv::PagedCache<float> pages({2, 2, 24, 20}, {.page = 64, .pages = 10});
    cache.append(k, v), pages.append(k, v);
    const mask::any mask = mask::causal();
    const auto found = attention(q, cache, mask, {}, options);
    CAPTURE(Lq);
    CHECK(test::max_difference(found.out, attention(q, k, v, mask, {}, options).out) < 2e-6);
    CHECK(test::same_bits(found.out, attention(q, pages, mask, {}, options).out));
    const auto alone = attention(part(q, 1, 1, 0, Lq), cache.fork({1}), mask, {}, options);
    CHECK_FALSE(same(entry(found.out, 1), view_of(alone.out)));
  }
}

TEST_CASE("cache: queries before the first token of a short sequence see nothing") {
  const Inputs<float> in({2, 1, 1, 5, 9, 8, 8}, Layout::packed, 5);
  kv::Cache<float> cache({2, 1, 8, 8});
  cache.append(0, part(in.k.cview(), 0, 1, 0, 9), part(in.v.cview(), 0, 1, 0, 9));
  cache.append(1, part(in.k.cview(), 1, 1, 0, 2), part(in.v.cview(), 1, 1, 0, 2));
  const auto result = attention(in.q.cview(), cache, mask::any(mask::causal()));
  for (Index i = 0; i < 5; ++i) CHECK((result.lse(1, 0, i) == -test::inf) == (i < 3));
  CHECK(result.out(1, 0, 2, 0) == 0);
  CHECK(result.out(1, 0, 3, 7) == in.v.cview()(1, 0, 0, 7));
}

TEST_CASE("cache: truncated and forked sequences go on as copies do") {
  const Shape shape{2, 2, 1, 3, 90, 8, 5};
  const Inputs<float> in(shape, Layout::gaps, 7);
  const auto k = in.k.cview(), v = in.v.cview();
  kv::Cache<float> cache({2, 1, 8, 5}, {.capacity = 70});
  cache.append(part(k, 0, 2, 0, 70), part(v, 0, 2, 0, 70));
  cache.truncate(1, 66);
  kv::Cache<float> beams = cache.fork({1, 0, 1});
  CHECK(beams.length(0) == 66);
  CHECK(beams.length(1) == 70);
  beams.append(2, part(k, 0, 1, 70, 20), part(v, 0, 1, 70, 20));
  CHECK(beams.length(2) == 86);
  CHECK(cache.length(1) == 66);
  cache.append(1, part(k, 1, 1, 66, 24), part(v, 1, 1, 66, 24));
  kv::Cache<float> all({1, 1, 8, 5});
  all.append(part(k, 1, 1, 0, 90), part(v, 1, 1, 0, 90));
  const auto expected = attention(part(in.q.cview(), 1, 1, 0, 3), all, mask::any(mask::causal()));
  cache.truncate(0, 0);
  const auto cached = attention(in.q.cview(), cache, mask::any(mask::causal()));
  CHECK(same(entry(cached.out, 1), view_of(expected.out)));
  CHECK(cached.lse(0, 1, 2) == -test::inf);
}

TEST_CASE("cache: masks that count keys count those of each sequence") {
  const Inputs<float> in({2, 2, 1, 4, 300, 8, 5}, Layout::packed, 5);
  const auto k = in.k.cview(), v = in.v.cview();
  kv::Cache<float> cache({2, 1, 8, 5});
  cache.append(0, part(k, 0, 1, 0, 300), part(v, 0, 1, 0, 300));
  cache.append(1, part(k, 1, 1, 0, 90), part(v, 1, 1, 0, 90));
  const std::vector<int> parents = {-1, 0, 0};
  for (const mask::any& mask :
       {mask::any(mask::random(20, 5)), mask::any(mask::random(70, 5)),
        mask::any(mask::at(30, mask::random(20, 5))), mask::any(mask::tree(parents)),
        mask::any(mask::prefix(7)), mask::any(mask::strided(5))}) {
    const auto ragged = attention(in.q.cview(), cache, mask);
    for (Index b = 0; b < 2; ++b) {
      CAPTURE(b);
      const auto alone = attention(part(in.q.cview(), b, 1, 0, 4), cache.fork({b}), mask);
      CHECK(same(entry(ragged.out, b), view_of(alone.out)));
    }
  }
}

TEST_CASE("cache: a forked sequence takes a token without another copy") {
  const Tensor4<float> k(1, 2, 64, 8), v(1, 2, 64, 5), next_k(2, 2, 1, 8), next_v(2, 2, 1, 5);
  kv::Cache<float> cache({1, 2, 8, 5});
  cache.append(k, v);
  kv::Cache<float> beams = cache.fork({0, 0});
  const Index room = beams.capacity();
  beams.append(next_k, next_v);
  CHECK(beams.capacity() == room);
  CHECK(kv::Cache<float>({1, 2, 8, 5}, {.capacity = 70, .grows = false}).fork({0}).capacity() ==
        70);
}

TEST_CASE("cache: one that was moved from has no sequences") {
  kv::Cache<float> cache({2, 1, 8, 5}, {.capacity = 3});
  const kv::Cache<float> moved = std::move(cache);
  CHECK(moved.extents().B == 2);
  CHECK(moved.capacity() == 3);
  CHECK(cache.extents().B == 0);  // NOLINT(bugprone-use-after-move): what it is about
  CHECK(cache.capacity() == 0);
  const Tensor4<float> k(0, 1, 4, 8), v(0, 1, 4, 5);
  cache.append(k, v);
  CHECK_THROWS_AS(cache.truncate(0, 0), Error);
  cache = moved;
  CHECK(cache.length(1) == 0);
}

TEST_CASE("cache: NaN among tokens that were cut off leaves no trace") {
  const Inputs<float> in({1, 2, 1, 20, 75, 8, 5}, Layout::packed, 7);
  kv::Cache<float> clean({1, 1, 8, 5}), cut({1, 1, 8, 5});
  const auto k = part(in.k.cview(), 0, 1, 0, 70), v = part(in.v.cview(), 0, 1, 0, 70);
  clean.append(k, v);
  cut.append(k, v);
  Tensor4<float> bad_k(1, 1, 5, 8), bad_v(1, 1, 5, 5);
  bad_k.setConstant(test::nan), bad_v.setConstant(test::inf);
  cut.append(bad_k, bad_v);
  cut.truncate(0, 70);
  for (const Index Lq : {1, 20}) {
    const auto q = part(in.q.cview(), 0, 1, 0, Lq);
    const mask::any mask = mask::causal();
    CHECK(same(view_of(attention(q, cut, mask).out), view_of(attention(q, clean, mask).out)));
  }
}

TEST_CASE("cache: what does not fit is refused, and changes nothing") {
  const Tensor4<float> k(2, 2, 3, 8), v(2, 2, 3, 5), one(1, 2, 3, 8), narrow(2, 2, 3, 7);
  using test::ContainsSubstring;
  kv::Cache<float> cache({2, 2, 8, 5}, {.capacity = 4, .grows = false});
  CHECK_THROWS_WITH(cache.append(narrow, v), ContainsSubstring("k has dim 7 but the cache has 8") &&
                                                 ContainsSubstring("[2,2,3,7]") &&
                                                 ContainsSubstring("Dv 5"));
  CHECK_THROWS_WITH(cache.append(one, v), ContainsSubstring("k has batch 1"));
  CHECK_THROWS_WITH(cache.append(k, k), ContainsSubstring("v has dim 8"));
  CHECK_THROWS_WITH(cache.append(2, k, v), ContainsSubstring("sequence 2 of a cache of 2"));
  cache.append(k, v);
  CHECK_THROWS_WITH(cache.append(k, v),
                    ContainsSubstring("no room for 6 tokens") && ContainsSubstring("4"));
  CHECK(cache.length(1) == 3);
  CHECK_THROWS_WITH(cache.truncate(1, 4), ContainsSubstring("4 tokens of sequence 1, which has 3"));
  CHECK_THROWS_WITH(cache.erase(1, 2, 2),
                    ContainsSubstring("2 tokens from 2 on of sequence 1, which has 3"));
  CHECK_THROWS_AS(cache.erase(1, -1, 1), Error);
  CHECK_THROWS_AS(cache.erase(1, 0, -1), Error);
  CHECK_THROWS_WITH(cache.fork({0, -1}), ContainsSubstring("sequence -1"));
  CHECK_THROWS_AS(kv::Cache<float>({2, 2, 0, 5}), Error);
  const Tensor4<float> q(2, 4, 1, 8);
  const std::vector<int> ids(9);
  CHECK_THROWS_WITH(attention(q, cache, mask::any(mask::document(ids))),
                    ContainsSubstring("9 ids"));
  cache.truncate(1, 1);
  const std::vector<int> parents = {-1, 0};
  CHECK_THROWS_WITH(attention(q, cache, mask::any(mask::tree(parents))),
                    ContainsSubstring("2 drafted tokens among 1 keys"));
}

}  // namespace heed
