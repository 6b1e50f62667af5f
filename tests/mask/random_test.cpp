#include "heed/mask/random.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::Coverage;
using heed::mask::random;
using heed::mask::RowDraw;
using heed::mask::RowPermutation;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::scores_shape;

std::vector<int> keys_of(int count, std::uint64_t seed, int row, Index Lk) {
  const auto bound = heed::mask::bind(random(count, seed), scores_shape(row + 1, Lk), 0, 0);
  std::vector<int> keys;
  for (int j = 0; j < Lk; ++j) {
    if (bound.allows(row, j)) keys.push_back(j);
  }
  return keys;
}

}  // namespace

TEST_CASE("every row sees exactly min(count, Lk) keys") {
  for (const Index Lk : {0, 1, 2, 3, 4, 5, 7, 16, 17, 64, 100, 257}) {
    for (const int count : {0, 1, 2, 3, 16, 64, 1000}) {
      for (int row = 0; row < 20; ++row) {
        CAPTURE(Lk, count, row);
        const auto keys = static_cast<Index>(keys_of(count, 42, row, Lk).size());
        REQUIRE(keys == std::min<Index>(count, Lk));
      }
    }
  }
}

TEST_CASE("a row's permutation and its inverse undo each other") {
  for (const int keys : {1, 2, 3, 4, 5, 31, 64, 65, 1000}) {
    const RowPermutation permutation(5, 3, keys);
    std::set<int> ranks;
    for (int key = 0; key < keys; ++key) {
      const int rank = permutation.rank_of(key);
      CAPTURE(keys, key, rank);
      REQUIRE(rank >= 0);
      REQUIRE(rank < keys);
      REQUIRE(permutation.key_at(rank) == key);
      ranks.insert(rank);
    }
    CHECK(static_cast<int>(ranks.size()) == keys);
  }
}

TEST_CASE("the same seed gives the same keys, another seed, row or length others") {
  CHECK(keys_of(8, 1, 5, 200) == keys_of(8, 1, 5, 200));
  CHECK(keys_of(8, 1, 5, 200) != keys_of(8, 2, 5, 200));
  CHECK(keys_of(8, 1, 5, 200) != keys_of(8, std::uint64_t{1} << 32 | 1, 5, 200));
  CHECK(keys_of(8, 1, 5, 200) != keys_of(8, 1, 6, 200));
  std::set<std::vector<int>> rows;
  for (int row = 0; row < 50; ++row) rows.insert(keys_of(8, 1, row, 200));
  CHECK(rows.size() == 50);
}

TEST_CASE("batch and head do not matter") {
  const auto shape = scores_shape(2, 3, 4, 40);
  const auto one = heed::mask::bind(random(5, 3), shape, 0, 0);
  const auto other = heed::mask::bind(random(5, 3), shape, 1, 2);
  for (int j = 0; j < 40; ++j) CHECK(one.allows(2, j) == other.allows(2, j));
}

// Each key is seen by a row with probability count / Lk, so by n of N rows with a standard
// deviation of sqrt(N·p·(1 − p)); 5 of them are exceeded once in 1.7 million draws.
TEST_CASE("every key is seen about equally often, alone and beside another") {
  constexpr int rows = 20000;
  constexpr int count = 3;  // of 12 and more keys drawn, of fewer by permutation
  for (const int Lk : {5, 11, 12, 16, 37}) {
    std::vector<int> seen(static_cast<std::size_t>(Lk));
    int together = 0;  // rows that see keys 0 and 1
    for (int row = 0; row < rows; ++row) {
      const auto keys = keys_of(count, 77, row, Lk);
      for (const int key : keys) ++seen[static_cast<std::size_t>(key)];
      together += keys[0] == 0 && keys[1] == 1 ? 1 : 0;
    }
    const double p = double(count) / Lk;
    const double both = p * (count - 1) / (Lk - 1);
    CAPTURE(Lk);
    for (const int n : seen) CHECK(std::abs(n - rows * p) < 5 * std::sqrt(rows * p * (1 - p)));
    CHECK(std::abs(together - rows * both) < 5 * std::sqrt(rows * both * (1 - both)));
  }
}

TEST_CASE("random answers about the longest sequences") {
  using heed::test::longest;
  const auto bound = heed::mask::bind(random(3, 1), scores_shape(longest, longest), 0, 0);
  const RowDraw draw(1, longest - 1, 3, longest);
  for (int n = 0; n < 3; ++n) CHECK(bound.allows(longest - 1, draw.key_at(n)));
  const auto many = heed::mask::bind(random(17, 1), scores_shape(longest, longest), 0, 0);
  const RowPermutation permutation(1, longest - 1, longest);
  for (int n = 0; n < 17; ++n) CHECK(many.allows(longest - 1, permutation.key_at(n)));
  CHECK(bound.coverage({longest - 1, longest, 0, longest}) == Coverage::Partial);
  const auto all = heed::mask::bind(random(longest, 1), scores_shape(1, longest), 0, 0);
  CHECK(all.coverage({0, 1, 0, longest}) == Coverage::Full);
}

TEST_CASE("a negative count of random keys is refused, with its number") {
  CHECK_THAT(error_of([] { random(-5); }), ContainsSubstring("heed::mask::random: count -5"));
}
