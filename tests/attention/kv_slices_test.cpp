// Slices of a block: the keys of scattered pages where they lie, and those of the panel behind
// them.
#include "heed/attention/flash/kv_slices.hpp"

#include <vector>

#include "heed/simd/kernels.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

// Keys in pages that lie apart, in descending order, each in panels of `width` columns.
struct Pages {
  static constexpr Index D = 3, Dv = 2;

  Index page, width, keys;
  Index size = (page + width - 1) / width * width * (D + Dv);
  std::vector<float> memory = std::vector<float>(static_cast<std::size_t>(keys / page * size));

  const float* page_of(Index key) const {
    return memory.data() + (keys / page - 1 - key / page) * size;
  }
  const float* key(Index j) const {
    const Index column = j % page;
    return page_of(j) + column / width * D * width + column % width;
  }
  const float* value(Index j) const { return page_of(j) + (size - page * Dv) + j % page * Dv; }

  template <class F>
  void for_each_panel_run(Index begin, Index end, F&& f) const {
    for (Index at = begin, next = 0; at < end; at = next) {
      next = std::min(end, (at / page + 1) * page);
      const Index column = at % page;
      const kv::PanelKeys<float> k{page_of(at) + column / width * D * width, column % width,
                                   next - at, width};
      f(at, k, View<const float, 2>{value(at), {next - at, Dv}, {Dv, 1}});
    }
  }
};

const simd::TileShape& tile_shape() { return simd::element_kernels<float>(isa()).tile_shape; }

KvSlices<float> slices_of(const Pages& pages, Index begin, Index keys, Index last) {
  KvSlices<float> slices;
  find_slices(pages, Shape{1, 1, 1, 1, pages.keys, Pages::D, Pages::Dv}, tile_shape(), begin, keys,
              last, slices);
  return slices;
}

}  // namespace

TEST_CASE("KV slices: pages that lie apart, and the panel behind a block") {
  const Index vl = tile_shape().vl, nr = tile_shape().nr;
  for (const Index page : {vl, 2 * nr}) {
    const Pages pages{page, page == vl ? vl : nr, 8 * nr};
    CAPTURE(page);
    const auto slices = slices_of(pages, 2 * nr, 4 * nr, pages.keys);
    REQUIRE(slices.used);
    CHECK(slices.width == pages.width);
    for (Index n = 0; n < 5 * nr / vl; ++n) {
      REQUIRE(slices.list[n].k == pages.key(2 * nr + n * vl));
      REQUIRE(slices.list[n].v == pages.value(2 * nr + n * vl));
    }
  }
}

TEST_CASE("KV slices: behind the last key its own slice is asked for again") {
  const Index vl = tile_shape().vl, nr = tile_shape().nr;
  const Pages pages{vl, vl, 8 * nr};
  const Index keys = 3 * nr + 1;  // of the second panel's end a slice is half empty
  const auto slices = slices_of(pages, 0, keys, keys);
  REQUIRE(slices.used);
  const Index found = keys / vl + 1, listed = (4 + 1) * nr / vl;
  for (Index n = found - 1; n < listed; ++n) REQUIRE(slices.list[n].k == pages.key(keys - 1));
  Index rows = 0;
  for_each_slice_of_values(slices, vl, keys, Pages::Dv, [&](Index first, const auto& v) {
    CHECK((first == rows && v.data == pages.value(first)));
    rows += v.extent[0];
  });
  CHECK(rows == keys);
}

TEST_CASE("KV slices: none of one run, of pages that cut registers, and of too many keys") {
  const Index vl = tile_shape().vl, nr = tile_shape().nr;
  CHECK_FALSE(slices_of({8 * nr, nr, 8 * nr}, nr, 3 * nr, 8 * nr).used);
  CHECK_FALSE(slices_of({vl + 1, vl + 1, 8 * (vl + 1)}, 0, 2 * vl, 8 * vl).used);
  CHECK_FALSE(slices_of({vl, vl, 8 * nr}, 1, 2 * nr, 8 * nr).used);
  CHECK_FALSE(slices_of({vl / 2, vl, 8 * vl}, 0, 2 * nr, 4 * nr).used);
  const Index many = KvSlices<float>::room * vl;
  CHECK_FALSE(slices_of({vl, vl, 2 * many}, 0, many, 2 * many).used);
}

}  // namespace heed
