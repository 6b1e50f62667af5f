// Keys and values that lie in pages of a pool: two texts share the pages of their common beginning.
// A source tells a call where they are; nothing is copied to one place.
#include <algorithm>
#include <cstdlib>
#include <heed/heed.hpp>
#include <iostream>
#include <vector>

namespace {

constexpr heed::Index page = 32, D = 64;  // keys of a page; pages of 32 keys are read in place

// The pages of each text, by their numbers in the pool.
struct Pages {
  const heed::Tensor3<float>& k;  // [pages, page, D]
  const heed::Tensor3<float>& v;
  std::vector<std::vector<heed::Index>> tables;
  std::vector<heed::Index> lengths;

  struct OfText {
    const Pages& pages;
    const std::vector<heed::Index>& table;

    template <class F>
    void for_each_run(heed::Index begin, heed::Index end, F&& f) const {
      for (heed::Index first = begin, last = 0; first < end; first = last) {
        last = std::min(end, (first / page + 1) * page);
        const heed::Index row = table[static_cast<std::size_t>(first / page)] * page + first % page;
        const auto rows = [&](const heed::Tensor3<float>& x) {
          return heed::View<const float, 2>{x.data() + row * D, {last - first, D}, {D, 1}};
        };
        f(first, rows(pages.k), rows(pages.v));
      }
    }
  };

  heed::kv::Extents extents() const { return {static_cast<heed::Index>(lengths.size()), 1, D, D}; }
  heed::Index length(heed::Index b) const { return lengths[static_cast<std::size_t>(b)]; }
  OfText bind(const heed::Shape&, heed::Index b, heed::Index) const {
    return {*this, tables[static_cast<std::size_t>(b)]};
  }
};

}  // namespace

int main() {
  heed::Tensor3<float> k(6, page, D), v(6, page, D);
  k.setRandom(), v.setRandom();
  const Pages pages{k, v, {{0, 1, 2, 4}, {0, 1, 5}}, {120, 70}};  // pages 0 and 1 are shared

  heed::Tensor4<float> query(2, 8, 1, D);  // the newest token of each text, 8 heads
  query.setRandom();
  const auto paged = heed::attention(query, pages);

  // The second text alone, its keys copied together.
  heed::Tensor4<float> one_k(1, 1, 70, D), one_v(1, 1, 70, D);
  for (heed::Index j = 0; j < 70; ++j) {
    for (heed::Index d = 0; d < D; ++d) {
      const heed::Index n = pages.tables[1][static_cast<std::size_t>(j / page)];
      one_k(0, 0, j, d) = k(n, j % page, d);
      one_v(0, 0, j, d) = v(n, j % page, d);
    }
  }
  const heed::Tensor4<float> of_second = query.slice(Eigen::array<heed::Index, 4>{1, 0, 0, 0},
                                                     Eigen::array<heed::Index, 4>{1, 8, 1, D});
  const auto copied = heed::attention(of_second, one_k, one_v);
  const bool same =
      std::equal(copied.out.data(), copied.out.data() + 8 * D, paged.out.data() + 8 * D);
  std::cout << "6 pages hold " << 120 + 70 << " keys of two texts, 64 of them shared\n"
            << "the second text: " << (same ? "the same bits" : "OTHER BITS")
            << " as its keys copied together\n";
  return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
