#include "heed/core/overlap.hpp"

#include <cstddef>
#include <random>
#include <set>
#include <vector>

#include "support/catch.hpp"

namespace {

using heed::Index;
using heed::may_overlap;
using heed::View;

// Memory to point into; nothing is read or written.
std::vector<float>& memory() {
  static std::vector<float> floats(100000);
  return floats;
}
float* middle() { return memory().data() + 50000; }

template <class T, int Rank>
std::set<const std::byte*> bytes_of(const View<T, Rank>& x) {
  std::set<const std::byte*> bytes;
  Index count = 1;
  for (int d = 0; d < Rank; ++d) count *= x.extent[d];
  for (Index n = 0; n < count; ++n) {
    Index rest = n;
    Index offset = 0;
    for (int d = 0; d < Rank; ++d) {
      offset += rest % x.extent[d] * x.stride[d];
      rest /= x.extent[d];
    }
    const auto* at = reinterpret_cast<const std::byte*>(x.data + offset);
    for (std::size_t byte = 0; byte < sizeof(T); ++byte) bytes.insert(at + byte);
  }
  return bytes;
}

template <class A, class B>
bool share(const std::set<A>& a, const std::set<B>& b) {
  for (const auto& x : a) {
    if (b.count(x) != 0) return true;
  }
  return false;
}

template <class T>
View<T, 3> random_view(std::mt19937& random, Index most_extent, Index most_stride) {
  const auto below = [&](Index n) {
    return static_cast<Index>(random() % static_cast<unsigned>(n));
  };
  const Index at = below(4 * most_stride) - 2 * most_stride;
  View<T, 3> view{reinterpret_cast<T*>(middle()) + at, {}, {}};
  for (int d = 0; d < 3; ++d) {
    view.extent[d] = below(most_extent + 1);
    view.stride[d] = below(2 * most_stride + 1) - most_stride;
  }
  return view;
}

struct Tally {
  int sharing = 0, missed = 0, disjoint = 0, suspected = 0;
};

template <class A, class B>
Tally tally(unsigned seed, int pairs, Index most_extent, Index most_stride) {
  std::mt19937 random(seed);
  Tally result;
  for (int n = 0; n < pairs; ++n) {
    const auto a = random_view<A>(random, most_extent, most_stride);
    const auto b = random_view<B>(random, most_extent, most_stride);
    const bool truth = share(bytes_of(a), bytes_of(b));
    const bool claim = may_overlap(a, b);
    (truth ? result.sharing : result.disjoint) += 1;
    result.missed += truth && !claim ? 1 : 0;
    result.suspected += !truth && claim ? 1 : 0;
  }
  return result;
}

}  // namespace

TEST_CASE("views that share an element are never said to be disjoint") {
  for (const unsigned seed : {1u, 2u, 3u}) {
    for (const Index stride : {3, 8, 40}) {
      const Tally same = tally<float, const float>(seed, 3000, 3, stride);
      CAPTURE(seed, stride, same.sharing, same.disjoint);
      CHECK(same.sharing > 100);
      CHECK(same.disjoint > 100);
      CHECK(same.missed == 0);
      CHECK(tally<float, const double>(seed, 1000, 3, stride).missed == 0);
      CHECK(tally<double, const float>(seed, 1000, 3, stride).missed == 0);
      CHECK(tally<char, const char>(seed, 3000, 3, stride).missed == 0);
    }
  }
}

TEST_CASE("of random disjoint views most are seen to be disjoint") {
  const Tally wide = tally<float, const float>(5, 5000, 3, 40);
  CAPTURE(wide.suspected, wide.disjoint);
  CHECK(wide.suspected * 2 < wide.disjoint);
}

TEST_CASE("disjoint ranges, identical views and one shared element") {
  const auto x = heed::view(middle(), {4, 8});
  CHECK(may_overlap(x, x));
  CHECK_FALSE(may_overlap(x, heed::view(middle() + 32, {4, 8})));
  CHECK_FALSE(may_overlap(x, heed::view(middle() - 32, {4, 8})));
  CHECK(may_overlap(x, heed::view(middle() + 31, {4, 8})));
  CHECK(may_overlap(x, heed::view(middle() - 31, {4, 8})));
  CHECK(may_overlap(x, heed::view(middle() + 31, {1})));
  CHECK_FALSE(may_overlap(x, heed::view(middle() + 32, {1})));
  CHECK_FALSE(may_overlap(x, heed::view(middle(), {0, 8})));
  CHECK_FALSE(may_overlap(heed::view(middle(), {4, 0}), x));
}

TEST_CASE("slices of one fused projection are disjoint, as [B, L, 3, H, D] or [B, L, H, 3, D]") {
  constexpr Index B = 2, L = 5, H = 4, D = 8;
  for (const bool heads_inside : {true, false}) {
    for (int a = 0; a < 3; ++a) {
      for (int b = 0; b < 3; ++b) {
        CAPTURE(heads_inside, a, b);
        const Index part = heads_inside ? H * D : D;
        const Index head = heads_inside ? D : 3 * D;
        const auto slice = [&](int n) {
          return heed::view(middle() + n * part, {B, H, L, D}, {L * 3 * H * D, head, 3 * H * D, 1});
        };
        CHECK(may_overlap(slice(a), slice(b)) == (a == b));
        // One element further, a slice's last head reaches into the next.
        const auto late =
            heed::view(middle() + b * part + 1, {B, H, L, D}, {L * 3 * H * D, head, 3 * H * D, 1});
        const bool touches = b == a || b + 1 == a || (b == 2 && a == 0);
        CHECK(may_overlap(slice(a), late) == touches);
      }
    }
  }
}

TEST_CASE("a slice is disjoint from another whose strides alone show it") {
  // One row of the first part against all rows of the second.
  const auto row = heed::view(middle(), {1, 8});
  const auto rows = heed::view(middle() + 8 - 3 * 16, {7, 8}, {16, 1});
  CHECK_FALSE(share(bytes_of(row), bytes_of(rows)));
  CHECK_FALSE(may_overlap(row, rows));
  CHECK_FALSE(may_overlap(rows, row));
}

TEST_CASE("columns of one matrix are disjoint, reversed ones too") {
  const auto even = heed::view(middle(), {10, 4}, {8, 2});
  const auto odd = heed::view(middle() + 1, {10, 4}, {8, 2});
  CHECK_FALSE(may_overlap(even, odd));
  const auto reversed = heed::view(middle() + 9 * 8 + 7, {10, 4}, {-8, -2});
  CHECK_FALSE(may_overlap(even, reversed));
  CHECK(may_overlap(odd, reversed));
}

TEST_CASE("a stride that no index uses does not matter, however large") {
  constexpr Index huge = Index{1} << 62;
  const auto one = heed::view(middle(), {1, 1, 4, 8}, {huge, -huge / 2, 8, 1});
  CHECK(may_overlap(one, heed::view(middle() + 31, {1})));
  CHECK_FALSE(may_overlap(one, heed::view(middle() + 32, {1})));
  CHECK_FALSE(heed::repeats_elements(one));
}

TEST_CASE("a view in which two indices name one element is never said to repeat none") {
  std::mt19937 random(7);
  int repeating = 0, distinct = 0;
  for (int n = 0; n < 20000; ++n) {
    const auto x = random_view<float>(random, 3, n % 2 == 0 ? 4 : 12);
    std::size_t count = 1;
    for (int d = 0; d < 3; ++d) count *= static_cast<std::size_t>(x.extent[d]);
    const bool truth = bytes_of(x).size() != count * sizeof(float);
    repeating += truth ? 1 : 0;
    distinct += truth || heed::repeats_elements(x) ? 0 : 1;
    REQUIRE((!truth || heed::repeats_elements(x)));
  }
  CHECK(repeating > 2000);
  CHECK(distinct > 2000);
}

TEST_CASE("rows that share memory repeat elements; slices of packed memory do not") {
  using heed::repeats_elements;
  CHECK(repeats_elements(heed::view(middle(), {1, 2, 4, 4}, {0, 3, 1, 1})));
  CHECK(repeats_elements(heed::view(middle(), {1, 1, 4, 4}, {0, 0, 3, 1})));
  CHECK(repeats_elements(heed::view(middle(), {2, 4}, {-3, 1})));
  CHECK_FALSE(repeats_elements(heed::view(middle(), {2, 4}, {-4, 1})));
  CHECK_FALSE(repeats_elements(heed::view(middle(), {3, 5, 2, 4}, {1, 12, 240, 3})));
  CHECK_FALSE(repeats_elements(heed::view(middle(), {2, 3, 4}, {-120, 40, 2})));
}

TEST_CASE("a stride of 0 repeats elements, unless there is one") {
  CHECK(heed::repeats_elements(heed::view(middle(), {2, 4}, {0, 1})));
  CHECK_FALSE(heed::repeats_elements(heed::view(middle(), {1, 4}, {0, 1})));
  CHECK_FALSE(heed::repeats_elements(heed::view(middle(), {2, 4})));
  CHECK(may_overlap(heed::view(middle(), {100, 4}, {0, 1}), heed::view(middle() + 3, {1})));
  CHECK_FALSE(may_overlap(heed::view(middle(), {100, 4}, {0, 1}), heed::view(middle() + 4, {1})));
}
