// Rotary positions on a grid.
#include "heed/position/rope_2d.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/random.hpp"

using heed::Index;
using heed::Tensor4;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::random4;
namespace position = heed::position;
using position::RopePairs;

namespace {

// Of the first tokens of q and k.
double dot(const Tensor4<double>& q, const Tensor4<double>& k) {
  double sum = 0;
  for (Index d = 0; d < q.dimension(3); ++d) sum += q(0, 0, 0, d) * k(0, 0, 0, d);
  return sum;
}

}  // namespace

TEST_CASE("rope_2d: rows turn the first half of the features, columns the second") {
  const Index height = 5, width = 8, L = height * width;
  const auto x = random4<double>(2, 3, L, 14);
  const auto places = position::grid(height, width);
  for (const auto pairs : {RopePairs::half_split, RopePairs::interleaved}) {
    for (const Index dim : {4, 8, 12}) {
      const auto y = position::rope_2d(x, places, {.pairs = pairs, .dim = dim, .base = 100});
      const Index half = dim / 2;
      double gap = 0;
      for (Index b = 0; b < 2; ++b) {
        for (Index h = 0; h < 3; ++h) {
          for (Index i = 0; i < L; ++i) {
            for (Index d = 0; d < dim; ++d) {
              const auto place = static_cast<double>(d < half ? i / width : i % width);
              const Index first = d < half ? 0 : half;
              const Index at = d - first;
              const bool split = pairs == RopePairs::half_split;
              const Index n = split ? at % (half / 2) : at / 2;
              const bool second = split ? at >= half / 2 : at % 2 == 1;
              const Index other =
                  first + (split ? (second ? n : n + half / 2) : (second ? 2 * n : 2 * n + 1));
              const double angle =
                  place * std::pow(100.0, -2 * static_cast<double>(n) / static_cast<double>(half));
              const double expected = x(b, h, i, d) * std::cos(angle) +
                                      (second ? 1 : -1) * x(b, h, i, other) * std::sin(angle);
              gap = std::max(gap, std::abs(y(b, h, i, d) - expected));
            }
            for (Index d = dim; d < 14; ++d) {
              gap = std::max(gap, std::abs(y(b, h, i, d) - x(b, h, i, d)));
            }
          }
        }
      }
      CAPTURE(dim, static_cast<int>(pairs));
      CHECK(gap < 1e-13);
    }
  }
}

TEST_CASE("rope_2d: a dot product depends on both distances alone") {
  const auto q = random4<double>(1, 1, 1, 16, 1), k = random4<double>(1, 1, 1, 16, 2);
  const auto at = [&](Index row, Index column, Index down, Index right) {
    const auto here = position::rope_2d(k, {{row}, {column}});
    const auto there = position::rope_2d(q, {{row + down}, {column + right}});
    return dot(there, here);
  };
  for (const Index down : {-3, 0, 2}) {
    for (const Index right : {-1, 0, 5}) {
      CHECK(at(7, 11, down, right) == Approx(at(0, 0, down, right)).margin(1e-12));
    }
  }
  CHECK(std::abs(at(0, 0, 2, 0) - at(0, 0, 0, 2)) > 1e-3);
}

TEST_CASE("rope_2d: in place, and each batch with places of its own") {
  const auto x = random4<double>(2, 2, 6, 8);
  auto y = x;
  const auto places = position::grid(2, 3);
  position::rope_2d_into(y, y, places);
  const auto expected = position::rope_2d(x, places);
  position::GridPlaces both = places;
  for (std::size_t i = 0; i < 6; ++i) {
    both.row.push_back(places.column[i]);
    both.column.push_back(places.row[i]);
  }
  const auto own = position::rope_2d(x, both);
  const auto turned = position::rope_2d(x, {places.column, places.row});
  for (Index h = 0; h < 2; ++h) {
    for (Index i = 0; i < 6; ++i) {
      for (Index d = 0; d < 8; ++d) {
        CHECK(y(0, h, i, d) == expected(0, h, i, d));
        CHECK(own(0, h, i, d) == expected(0, h, i, d));
        CHECK(own(1, h, i, d) == turned(1, h, i, d));
      }
    }
  }
}

TEST_CASE("rope_2d: what does not fit is refused and nothing written") {
  auto x = random4<double>(1, 1, 6, 8);
  const auto before = x;
  const auto places = position::grid(2, 3);
  CHECK_THAT(error_of([&] { position::rope_2d(x, places, {.dim = 6}); }),
             ContainsSubstring("heed::position::rope_2d: the number of features to rotate is not a "
                               "multiple of 4 (dim 6, x [1,1,6,8])"));
  CHECK_THAT(error_of([&] {
               position::rope_2d_into(x, x, {places.row, {0, 1}});
             }),
             ContainsSubstring("2 ids for a length of 6"));
  CHECK_THAT(error_of([&] {
               position::rope_2d_into(x, x, {places.row, {}});
             }),
             ContainsSubstring("not as many rows as columns (6 and 0)"));
  CHECK_THAT(error_of([&] { position::rope_2d_into(x, x, {}); }), ContainsSubstring("no places"));
  CHECK_THAT(error_of([&] { position::rope_2d_into(x, x, places, {.ids = places.row}); }),
             ContainsSubstring("ids beside places (6 ids)"));
  CHECK_THAT(error_of([&] { position::rope_2d_into(x, x, places, {.base = -1}); }),
             ContainsSubstring("base -1"));
  const auto first = heed::view(x.data(), {5, 8});
  const auto shifted = heed::view(x.data() + 8, {5, 8});
  CHECK_THAT(error_of([&] { position::rope_2d_into(shifted, first, position::grid(1, 5)); }),
             ContainsSubstring("overlaps x"));
  for (Index n = 0; n < x.size(); ++n) CHECK(x.data()[n] == before.data()[n]);
  CHECK_THAT(error_of([] { position::grid(-1, 3); }),
             ContainsSubstring("heed::position::grid: -1 rows of 3"));
  CHECK_THAT(error_of([] { position::grid(2, 0); }), ContainsSubstring("2 rows of 0"));
  CHECK(position::rope_2d(Tensor4<double>(1, 1, 0, 8), position::grid(0, 3)).size() == 0);
}
