// A paged cache gives the bits of packed dense calls whatever its pages hold together, and stays as
// it was where an operation fails.
#include "heed/kv/paged_cache.hpp"

#include <vector>

#include "heed/kv/cache.hpp"
#include "kv/cut_text.hpp"
#include "kv/scattered_pages.hpp"
#include "kv/vector_model.hpp"
#include "support/allocations.hpp"
#include "support/sweep.hpp"

namespace heed {

namespace {

template <class T>
kv::PagedCache<T> make_cache(Index page, Index pages) {
  using Model = test::VectorModel<T>;
  return {{3, Model::Hkv, Model::D, Model::Dv}, {page, pages}};
}

template <class T>
Index free_pages(const kv::Cache<T>&) {
  return 0;
}
template <class T>
Index free_pages(const kv::PagedCache<T>& cache) {
  return cache.free_pages();
}

// Random operations, each of which fails at its first allocation, then at its second, until it
// succeeds. Returns the number of failures.
template <class T, class Cache>
int fail_each_allocation(Cache cache) {
  test::VectorModel<T> model(3);
  int failures = 0;
  for (std::uint64_t step = 0; step < 400; ++step) {
    const auto operation = test::Operation::draw_from(model, step);
    if (operation.is_too_long(model, 100)) continue;
    const Index free = free_pages(cache);
    for (int n = 0; !test::survives_failure_of(n, [&] { operation.run(cache); }); ++n) {
      ++failures;
      REQUIRE(free_pages(cache) == free);
      test::require_same_rows(model, cache, step);
    }
    operation.run(model, cache);
    test::require_same_rows(model, cache, step);
  }
  return failures;
}

void append(kv::PagedCache<float>& cache, Index b, Index tokens) {
  const Tensor4<float> k(1, 2, tokens, 5), v(1, 2, tokens, 3);
  cache.append(b, k, v);
}

// True where as many tokens as an operation has, appended one by one, find no room either, and then
// only at the last page. They are cut off again.
bool fills_pool(kv::PagedCache<float>& cache, const test::Operation& operation) {
  const Index lengths[] = {cache.length(0), cache.length(1), cache.length(2)};
  const Index first = operation.for_all() ? 0 : operation.b;
  const Index last = operation.for_all() ? 2 : operation.b;
  bool full = false;
  try {
    for (Index b = first; b <= last; ++b) {
      for (Index n = 0; n < operation.appended(); ++n) append(cache, b, 1);
    }
  } catch (const Error&) {
    full = cache.free_pages() == 0;
  }
  for (Index b = 0; b < 3; ++b) cache.truncate(b, lengths[b]);
  return full;
}

}  // namespace

TEMPLATE_TEST_CASE("paged cache: random operations give the bits of packed dense calls", "", float,
                   Half, BFloat16, kv::Latent<BFloat16>) {
  for (const Index page : {5, 32, 64}) {
    CAPTURE(page);
    const Index steps = page == 5 ? 10'000 : 800;
    test::compare_with_model<TestType>(make_cache<TestType>(page, 6 * (200 / page + 1)),
                                       steps / test::cases_per_run, 200,
                                       static_cast<std::uint64_t>(page) << 32);
  }
}

TEMPLATE_TEST_CASE("caches: a row has the same bits in prefill, cut anyhow, and in decoding", "",
                   float, Half, BFloat16) {
  using Paged = kv::PagedCache<TestType>;
  const test::CutText<TestType> text{2300, 64, 20};  // several KV blocks, and two KV splits
  text.compare(kv::Cache<TestType>({1, 1, 64, 20}), 700, 0);
  for (const Index page : {8, 16, 48, 64}) {
    const auto seed = static_cast<std::uint64_t>(page) << 32;
    text.compare(Paged({1, 1, 64, 20}, {page, 2300 / page + 1}), 700, seed);
    const test::ScatteredPages<TestType> scattered({1, 1, 64, 20}, page, 2300 / page + 1);
    text.compare(scattered.cache, 700, seed + 7);
  }
  test::compare_many_cuts<TestType>(8, 5, 7);
}

TEST_CASE("paged cache: random operations on a pool that is often full") {
  auto cache = make_cache<float>(7, 20);
  int full = 0;
  test::compare_with_model<float>(cache, 1500, 200, 9, [&](auto& used, const auto& operation) {
    REQUIRE(operation.appends());
    const bool of_fork = operation.kind == test::Operation::Kind::assign;
    if (!of_fork) REQUIRE(fills_pool(used, operation));
    ++full;
  });
  CHECK(full > 100);
  CHECK(cache.free_pages() == 20);
}

TEST_CASE("paged cache: the ring of a sliding window keeps the first page, in pages it has") {
  using Model = test::VectorModel<float>;
  constexpr Index page = 64, pages = 5, start = 30;
  kv::PagedCache<float> cache({2, Model::Hkv, Model::D, Model::Dv}, {page, 2 * pages});
  Model model(2);
  const auto append = [&](Index b, Index n) {
    const auto tokens = model.draw_tokens(1, n);
    const auto k = model.keys(tokens), v = model.values(tokens);
    const bool starts = model.length(b) == 0;
    const bool is_full = model.length(b) == pages * page;
    const int allocations = test::allocations_of([&] {
      if (is_full) cache.erase(b, page, page);
      cache.append(b, k, v);
    });
    REQUIRE((starts || allocations <= (is_full ? 0 : 1)));  // 1: the block table grows
    if (is_full) model.erase(b, page, page);
    model.append(b, tokens[0]);
  };
  append(1, start);
  const mask::any causal = mask::causal();
  std::vector<Index> all;  // tokens of sequence 0
  for (Index step = 0; step < 3000; ++step) {
    append(0, 1);
    append(1, 1);
    all.push_back(model[0].back());
    if (step % 3 != 0) continue;
    const auto q = model.queries(2, 1, static_cast<std::uint64_t>(step));
    const auto found = attention(q, cache, causal);
    CAPTURE(step);
    REQUIRE(cache.length(0) == model.length(0));
    REQUIRE(model.has_rows(found, q, step % 2, causal));
    // The whole text under a mask of the first page and the last tokens has these keys too.
    if (step % 99 != 0 || cache.length(0) <= page) continue;
    const mask::any window =
        mask::causal() & (mask::window(cache.length(0) - page - 1, 0) | mask::sinks(page));
    const auto whole = attention(q, model.keys({all, all}), model.values({all, all}), window);
    for (Index h = 0; h < Model::Hq; ++h) {
      for (Index d = 0; d < Model::Dv; ++d) {
        REQUIRE(std::abs(found.out(0, h, 0, d) - whole.out(0, h, 0, d)) < 2e-6F);
      }
    }
  }
  CHECK(cache.free_pages() == 0);
}

TEST_CASE("paged cache: pages that lie apart are a run each") {
  for (const Index page : {7, 16, 64}) {
    CAPTURE(page);
    test::ScatteredPages<float> scattered({1, 2, 5, 3}, page, 200 / page + 1);
    append(scattered.cache, 0, 200);
    CHECK(test::pieces_of(scattered.cache, 0) == 200 / page + 1);
  }
}

TEST_CASE("paged cache: pages that follow each other are one run, of any size") {
  for (const Index page : {1, 7, 16, 48, 64}) {
    kv::PagedCache<float> cache({1, 2, 5, 3}, {page, 200 / page + 1});
    append(cache, 0, 200);
    CAPTURE(page);
    int runs = 0;
    cache.bind({}, 0, 1).for_each_panel_run(3, 190, [&](Index first, const auto& k, const auto& v) {
      CHECK(first == 3);
      CHECK(k.count == 187);
      CHECK(v.extent[0] == 187);
      ++runs;
    });
    CHECK(runs == 1);
  }
}

TEST_CASE("paged cache: sequences that grow by turns have 256 tokens together, then any page") {
  for (const Index page : {16, 100, 256, 300}) {
    CAPTURE(page);
    const Index together = std::max<Index>(1, 256 / page), pages = 4 * together + 1;
    kv::PagedCache<float> cache({2, 2, 5, 3}, {page, pages});
    for (Index n = 0; n < 2 * together; ++n) append(cache, 0, page), append(cache, 1, page);
    for (const Index b : {0, 1}) {
      std::vector<Index> runs;
      const auto add = [&](Index, const auto& k, const auto&) { runs.push_back(k.count); };
      cache.bind({}, b, 0).for_each_panel_run(0, cache.length(b), add);
      CHECK(runs == std::vector<Index>{together * page, together * page});
    }
    append(cache, 1, page);
    cache.truncate(0, page);
    append(cache, 1, (2 * together - 1) * page);
    CHECK(cache.free_pages() == 0);
  }
}

TEST_CASE("paged cache: NaN in the page behind a sequence leaves no trace") {
  const auto k = test::random4<float>(1, 1, 24, 8, 1), v = test::random4<float>(1, 1, 24, 5, 2);
  Tensor4<float> bad_k(1, 1, 40, 8), bad_v(1, 1, 40, 5);
  bad_k.setConstant(test::nan), bad_v.setConstant(test::inf);
  kv::Cache<float> clean({1, 1, 8, 5});
  clean.append(k, v);
  kv::PagedCache<float> cache({2, 1, 8, 5}, {.page = 16, .pages = 9});
  cache.append(0, k, v);
  cache.append(1, bad_k, bad_v);
  for (const Index Lq : {1, 20}) {
    const auto q = test::random4<float>(1, 2, Lq, 8, 3);
    const mask::any mask = mask::causal();
    CHECK(test::same_bits(attention(q, cache.fork({0}), mask).out, attention(q, clean, mask).out));
  }
}

TEST_CASE("paged cache: forked sequences share pages until they write") {
  auto cache = make_cache<float>(4, 6);
  append(cache, 0, 10);
  CHECK(cache.free_pages() == 3);
  {
    auto beams = cache.fork({0, 0, 0});
    const auto copy = beams;
    CHECK(beams.free_pages() == 3);
    append(beams, 1, 2);
    CHECK(beams.free_pages() == 2);  // its last page is its own now
    append(beams, 1, 1);
    CHECK(beams.free_pages() == 1);
    beams.truncate(1, 12);
    CHECK(beams.free_pages() == 2);
    CHECK(copy.length(1) == 10);
  }
  CHECK(cache.free_pages() == 3);
  // Two of two holders write: the second keeps the page.
  cache = cache.fork({0, 0});
  const Tensor4<float> k(2, 2, 2, 5), v(2, 2, 2, 3);
  cache.append(k, v);
  CHECK(cache.free_pages() == 2);
  cache.truncate(0, 0);
  cache.truncate(1, 0);
  CHECK(cache.free_pages() == 6);
}

TEST_CASE("paged cache: without a free page nothing changes, and the message counts") {
  auto cache = make_cache<float>(4, 3);
  append(cache, 2, 6);
  using test::ContainsSubstring;
  CHECK_THROWS_WITH(append(cache, 2, 7),
                    ContainsSubstring("7 tokens take 2 pages, of which 1 of 3 are free"));
  auto beams = cache.fork({2, 2, 2});
  const Tensor4<float> k(3, 2, 1, 5), v(3, 2, 1, 3);
  CHECK_THROWS_WITH(beams.append(k, v),
                    ContainsSubstring("take 3 pages"));  // `cache` holds one too
  CHECK(beams.length(0) == 6);
  CHECK(beams.free_pages() == 1);
  append(beams, 0, 2);
  CHECK_THROWS_WITH(append(cache, 1, 1), ContainsSubstring("0 of 3 are free"));
  append(cache, 1, 0);
  CHECK_THROWS_AS(kv::PagedCache<float>({1, 1, 4, 4}, {.page = 0, .pages = 3}), Error);
  CHECK_THROWS_AS(kv::PagedCache<float>({Index{1} << 60, 1, 4, 4}, {}), Error);
  CHECK_THROWS_AS(cache.append(k, k), Error);
  CHECK_THROWS_AS(cache.truncate(0, 1), Error);
  CHECK_THROWS_WITH(cache.erase(2, 4, 4), ContainsSubstring("4 tokens from 4 on of sequence 2"));
  CHECK_THROWS_WITH(cache.erase(2, 0, 3), ContainsSubstring("not whole pages of 4"));
  CHECK_THROWS_WITH(cache.erase(2, 1, 4), ContainsSubstring("not whole pages of 4"));
  CHECK_THROWS_AS(cache.fork({3}), Error);
}

TEST_CASE("paged cache: a sequence has at most 2^31 - 1 tokens") {
  const Tensor4<float> k(1, 0, max_length, 4), one(1, 0, 1, 4);
  kv::PagedCache<float> cache({1, 0, 4, 4}, {.page = max_length, .pages = 2});
  cache.append(k, k);
  CHECK_THROWS_WITH(cache.append(one, one),
                    test::ContainsSubstring("sequence 0 would have 2147483648 tokens"));
  CHECK(cache.length(0) == max_length);
}

TEST_CASE("caches: a call with a workspace allocates nothing") {
  const auto k = test::random4<float>(1, 2, 700, 8, 1), v = test::random4<float>(1, 2, 700, 5, 2);
  const mask::any mask = mask::causal();
  const auto require_none = [&](auto cache) {
    cache.append(k, v);
    for (const Index Lq : {1, 30}) {
      const auto q = test::random4<float>(1, 4, Lq, 8, 3);
      std::vector<std::byte> workspace(workspace_bytes(q, cache, mask, {}, {.threads = 1}));
      Tensor4<float> out(1, 4, Lq, 5);
      CAPTURE(Lq);
      REQUIRE(test::allocations_of([&] {
                attention_into(out, q, cache, mask, score::None{},
                               {.threads = 1, .workspace = workspace});
              }) == 0);
    }
  };
  require_none(kv::Cache<BFloat16>({1, 2, 8, 5}));
  require_none(kv::Cache<kv::K8V8>({1, 2, 8, 5}));
  require_none(kv::PagedCache<BFloat16>({1, 2, 8, 5}, {.page = 20, .pages = 40}));
}

TEST_CASE("paged cache: an allocation that fails leaves it as it was") {
  CHECK(fail_each_allocation<float>(make_cache<float>(6, 60)) > 200);
  using Latent = kv::Latent<BFloat16>;
  CHECK(fail_each_allocation<Latent>(make_cache<Latent>(16, 60)) > 100);
}

TEST_CASE("cache: an allocation that fails leaves it as it was") {
  const auto check = [](auto type, const kv::CacheOptions& options) {
    using T = decltype(type);
    using Model = test::VectorModel<T>;
    const kv::Cache<T> cache({3, Model::Hkv, Model::D, Model::Dv}, options);
    CHECK(fail_each_allocation<T>(cache) > 100);
  };
  check(0.0F, {});
  check(Half(), {});
  check(BFloat16(), {});
  check(kv::Latent<float>(), {});
  check(kv::K8V8(), {.rotates = false});
  check(kv::K4V4(), {.rotates = false});
}

}  // namespace heed
