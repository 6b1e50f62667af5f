#include "heed/mask/packed.hpp"

#include <array>
#include <vector>

#include "heed/mask/any.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/window.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::Coverage;
using heed::mask::cumulative;
using heed::mask::packed;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::Promise;
using heed::test::scores_shape;
using Ends = std::vector<int>;

template <class... Arguments>
concept Accepted = requires(Arguments&&... arguments) {
  packed(std::forward<Arguments>(arguments)...);
};
static_assert(Accepted<Ends&> && Accepted<Ends&, Ends&> && Accepted<Ends&, heed::mask::Causal>);
static_assert(Accepted<std::array<int, 2>&, Ends&, heed::mask::any>);
static_assert(!Accepted<Ends>, "a temporary would be gone before the mask is used");
static_assert(!Accepted<Ends, Ends&> && !Accepted<Ends&, Ends> &&
              !Accepted<Ends, heed::mask::None>);

// True where each sequence is `inside` for a call of its lengths, and nothing else
// is seen.
template <class Inside>
bool is_block_diagonal(const Ends& queries, const Ends& keys, const Inside& inside) {
  const auto shape = scores_shape(2, 2, queries.back(), keys.back());
  const auto mask = packed(queries, keys, inside);
  heed::mask::check(mask, shape);
  const auto bound = heed::mask::bind(mask, shape, 1, 1);
  for (std::size_t n = 0; n + 1 < queries.size(); ++n) {
    const auto own = scores_shape(2, 2, queries[n + 1] - queries[n], keys[n + 1] - keys[n]);
    const auto expected = heed::mask::bind(inside, own, 1, 1);
    for (int i = queries[n]; i < queries[n + 1]; ++i) {
      for (int j = 0; j < keys.back(); ++j) {
        const bool seen =
            j >= keys[n] && j < keys[n + 1] && expected.allows(i - queries[n], j - keys[n]);
        if (bound.allows(i, j) != seen) return false;
      }
    }
  }
  return law_of(mask, shape, 1, 1).check_all(Promise::exact).empty();
}

template <class Mask>
std::string complaint(const Mask& mask, Index Lq, Index Lk) {
  return error_of([&] { heed::mask::check(mask, scores_shape(Lq, Lk)); });
}

}  // namespace

TEST_CASE("each packed sequence is a call of its own") {
  const Ends queries = {0, 4, 4, 9, 10, 13};
  const Ends keys = {0, 2, 7, 15, 15, 18};
  CHECK(is_block_diagonal(queries, keys, heed::mask::None{}));
  CHECK(is_block_diagonal(queries, keys, heed::mask::causal()));
  CHECK(is_block_diagonal(queries, keys, heed::mask::causal(heed::mask::align::start)));
  CHECK(is_block_diagonal(queries, keys, heed::mask::causal() & heed::mask::window(1)));
  CHECK(is_block_diagonal(queries, keys, heed::mask::any(~heed::mask::causal())));
  CHECK(is_block_diagonal({0, 3}, {0, 5}, heed::mask::causal()));
  CHECK(is_block_diagonal({0, 0, 0, 1}, {0, 1, 1, 1}, heed::mask::None{}));
}

TEST_CASE("a mask inside sees the sequence's own places") {
  const Ends ends = {0, 3, 5};
  const auto first = [](int i, int j) { return i == 0 && j == 1; };
  const auto mask = packed(ends, first);
  const auto law = law_of(mask, scores_shape(5, 5));
  CHECK(law.allowed() == 2);
  CHECK(law.allowed({0, 1, 1, 2}) == 1);
  CHECK(law.allowed({3, 4, 4, 5}) == 1);
}

TEST_CASE("tiles that hold a whole sequence are not Full, tiles inside one are") {
  const Ends ends = {0, 100, 228, 300};
  const auto whole = packed(ends);
  const auto later = packed(ends, heed::mask::causal());
  const auto bound = heed::mask::bind(whole, scores_shape(300, 300), 0, 0);
  CHECK(bound.coverage({100, 228, 100, 228}) == Coverage::Full);
  CHECK(bound.coverage({99, 228, 100, 228}) == Coverage::Partial);
  CHECK(bound.coverage({228, 300, 0, 228}) == Coverage::Empty);
  const auto causal = heed::mask::bind(later, scores_shape(300, 300), 0, 0);
  CHECK(causal.coverage({164, 228, 100, 164}) == Coverage::Full);
  CHECK(causal.coverage({100, 164, 165, 228}) == Coverage::Empty);
}

TEST_CASE("cumulative lengths must begin with 0, ascend, and end where the call does") {
  const Ends good = {0, 3, 3, 8}, late = {1, 3, 8}, falling = {0, 5, 3, 8}, negative = {0, -2, 8};
  const Ends two = {0, 4, 8}, none = {}, zero = {0};
  CHECK(complaint(packed(good), 8, 8).empty());
  CHECK(complaint(packed(zero), 0, 0).empty());
  CHECK_THAT(complaint(packed(none), 8, 8), ContainsSubstring("heed::mask::packed"));
  CHECK_THAT(complaint(packed(none), 0, 0), ContainsSubstring("queries are empty"));
  CHECK_THAT(complaint(packed(late), 8, 8), ContainsSubstring("queries begin with 1, not 0"));
  CHECK_THAT(complaint(packed(good, falling), 8, 8),
             ContainsSubstring("keys fall from 5 to 3 at index 2"));
  CHECK_THAT(complaint(packed(negative), 8, 8), ContainsSubstring("fall from 0 to -2 at index 1"));
  CHECK_THAT(complaint(packed(good), 8, 9), ContainsSubstring("keys end with 8, but there are 9"));
  CHECK_THAT(complaint(packed(good), 7, 8),
             ContainsSubstring("queries end with 8, but there are 7"));
  CHECK_THAT(complaint(packed(zero), 3, 3), ContainsSubstring("end with 0, but there are 3"));
  CHECK_THAT(complaint(packed(good, two), 8, 8),
             ContainsSubstring("3 sequences of queries but 2 of keys"));
  const std::vector<int> lengths = {4};
  CHECK(complaint(packed(two, heed::mask::padding(lengths)), 8, 8).empty());
  const std::vector<int> long_lengths = {5};
  CHECK_THAT(complaint(packed(two, heed::mask::padding(long_lengths)), 8, 8),
             ContainsSubstring("length 5 is outside 0 … 4 keys"));
}

TEST_CASE("cumulative lengths of lengths") {
  CHECK(cumulative(Ends{3, 0, 5}) == Ends{0, 3, 3, 8});
  CHECK(cumulative(Ends{}) == Ends{0});
  CHECK_THAT(error_of([] {
               cumulative(Ends{3, -1});
             }),
             ContainsSubstring("heed::mask::cumulative: a length of -1 after 3 positions"));
  CHECK_THAT(error_of([] {
               cumulative(Ends{2147483647, 1});
             }),
             ContainsSubstring("a length of 1 after 2147483647 positions"));
}
