// Products with keys and values where they lie: one run, several, and the slices of scattered pages
// against sums in double, and for pages bit for bit against one run.
#include "heed/attention/flash/unpacked_products.hpp"

#include <vector>

#include "attention/one_task.hpp"
#include "heed/kv/cache.hpp"
#include "kv/scattered_pages.hpp"

namespace heed {
namespace {

// Keys and values of one head in runs of `length` keys, but for the last one.
struct Runs {
  View<const float, 2> k, v;
  Index length;

  Runs bind(const Shape&, Index, Index) const { return *this; }
  template <class F>
  void for_each_run(Index begin, Index end, F&& f) const {
    for (Index at = begin, next = 0; at < end; at = next) {
      next = std::min(end, (at / length + 1) * length);
      f(at, slice(k, at, next - at), slice(v, at, next - at));
    }
  }
};

// Scores and weighted values of 5 queries and 90 of 100 keys.
struct Products {
  static constexpr int begin = 0, keys = 90;

  test::OneTask<float> of{{1, 1, 1, 5, 100, 7, 20}};
  std::vector<float> scores, sums;

  //   source(of)  keys and values of the task
  template <class F>
  explicit Products(const F& source) {
    of.plan.unpacked = true;
    of.plan.block = 128;
    const auto task = of.task();
    for (int i = 0; i < 5; ++i) {
      for (Index d = 0; d < 7; ++d) of.scratch.q.row(i)[d] = of.in.q.cview()(0, 0, i, d);
    }
    std::fill_n(of.scratch.coverage, 64, static_cast<std::uint8_t>(mask::Coverage::Partial));
    KvBlock<float> block;
    block.last = 100;
    block.of_panels = &simd::panel_kernels<float>(isa());
    const auto held = source(of);
    load_kv(task, held.bind(of.shape, 0, 0), begin, keys, true, block);
    const auto tiles = make_tile_args(of.scratch, of.scratch.state, 0, 5, keys);
    multiply_unpacked_keys(task, tiles, block);
    for (int i = 0; i < 5; ++i) {
      for (int j = 0; j < keys; ++j) scores.push_back(tiles.scores.at(i, j));
    }
    std::fill_n(tiles.state.acc.data, tiles.state.acc.size(of.plan.tile_shape, 5, 32), 0.0F);
    multiply_unpacked_values(task, tiles, block);
    for (int i = 0; i < 5; ++i) {
      for (Index d = 0; d < 20; ++d) sums.push_back(tiles.state.acc.at(i, d));
    }
  }

  void require_sums() const {
    const auto q = of.in.q.cview(), k = of.in.k.cview(), v = of.in.v.cview();
    for (int i = 0; i < 5; ++i) {
      for (int j = 0; j < keys; ++j) {
        double sum = 0;
        for (Index d = 0; d < 7; ++d) sum += double{q(0, 0, i, d)} * double{k(0, 0, j, d)};
        REQUIRE(std::abs(double{score(i, j)} - sum) < 1e-5);
      }
      for (Index d = 0; d < 20; ++d) {
        double sum = 0;
        for (int j = 0; j < keys; ++j) sum += double{score(i, j)} * double{v(0, 0, j, d)};
        REQUIRE(std::abs(double{sums[static_cast<std::size_t>(20 * i + d)]} - sum) < 1e-3);
      }
    }
  }
  float score(int i, int j) const { return scores[static_cast<std::size_t>(keys * i + j)]; }
};

kv::PagedCache<float> scattered(const test::OneTask<float>& of, Index page) {
  test::ScatteredPages<float> pages({1, 1, 7, 20}, page, (100 + page - 1) / page);
  pages.cache.append(of.in.k.cview(), of.in.v.cview());
  REQUIRE(test::pieces_of(pages.cache, 0) > 1);
  return pages.cache;
}

}  // namespace

TEST_CASE("unpacked products: dense keys in one run and in several") {
  const auto attend = [](Index length) {
    return Products([&](const auto& of) {
      return Runs{of.in.k.cview().matrix(0, 0), of.in.v.cview().matrix(0, 0), length};
    });
  };
  const Products one = attend(100), several = attend(32);
  one.require_sums();
  CHECK(several.scores == one.scores);
  CHECK(several.sums == one.sums);
}

TEST_CASE("unpacked products: pages that lie apart have the bits of a cache in one piece") {
  const Products one([](const auto& of) {
    kv::Cache<float> cache({1, 1, 7, 20});
    cache.append(of.in.k.cview(), of.in.v.cview());
    return cache;
  });
  one.require_sums();
  for (const Index page : {simd::element_kernels<float>(isa()).tile_shape.vl, 32}) {
    CAPTURE(page);
    const Products pages([&](const auto& of) { return scattered(of, page); });
    CHECK(pages.scores == one.scores);
    CHECK(pages.sums == one.sums);
  }
}

}  // namespace heed
