#include "heed/mask/any.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "heed/mask/causal.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/window.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::any;
using heed::mask::Coverage;
using heed::mask::Tile;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::scores_shape;

any by_name(const std::string& name) {
  any chosen;
  if (name == "causal") chosen = heed::mask::causal();
  if (name == "local") chosen = heed::mask::local(4);
  if (name == "both") chosen = heed::mask::causal() & heed::mask::local(4);
  if (name == "not") chosen = ~chosen;
  return chosen;
}

// Counts how often it is asked for a pair, a tile, or to fill one.
struct Counting {
  std::shared_ptr<int> pairs = std::make_shared<int>(0);
  std::shared_ptr<int> tiles = std::make_shared<int>(0);

  bool allows(int, int) const { return ++*pairs > 0; }
  Coverage coverage(Tile) const { return ++*tiles > 0 ? Coverage::Partial : Coverage::Full; }
  void fill(Tile tile, std::uint8_t* allowed, Index) const { *allowed = tile.k_end == 9 ? 1 : 0; }
};

}  // namespace

TEST_CASE("a mask chosen at run time is the mask chosen") {
  const auto shape = scores_shape(20, 20);
  CHECK(law_of(by_name("none"), shape).allowed() == 400);
  CHECK(law_of(by_name("not"), shape).allowed() == 0);
  CHECK(law_of(by_name("causal"), shape).allowed() == 210);
  CHECK(law_of(by_name("local"), shape).allowed() == 20 * 5 - 6);
  CHECK(law_of(by_name("both"), shape).allowed() == 20 * 3 - 3);
  CHECK(law_of(by_name("both") | by_name("causal"), shape).allowed() == 210);
}

TEST_CASE("until assigned, any sees every key") {
  CHECK(heed::mask::bind(any{}, scores_shape(3, 3), 0, 0).coverage({0, 3, 0, 3}) == Coverage::Full);
}

TEST_CASE("a copy keeps its mask when the original is assigned another") {
  const auto shape = scores_shape(4, 4);
  any one = heed::mask::causal();
  const any two = one;
  one = heed::mask::window(0);
  CHECK(law_of(two, shape).allowed() == 10);
  CHECK(law_of(one, shape).allowed() == 4);
}

TEST_CASE("any passes the batch, the head and the check on") {
  const std::vector<int> lengths = {1, 3};
  const any padding = heed::mask::padding(lengths);
  CHECK(law_of(padding, scores_shape(2, 1, 2, 4), 1, 0).allowed() == 6);
  CHECK_THAT(error_of([&] { padding.check(scores_shape(3, 1, 2, 4)); }),
             ContainsSubstring("2 lengths for a batch of 3"));
  const any place = [](int b, int h, int i, int j) { return b == 1 && h == 2 && i == j; };
  CHECK(law_of(place, scores_shape(2, 3, 4, 4), 1, 2).allowed() == 4);
  CHECK(law_of(place, scores_shape(2, 3, 4, 4), 1, 1).allowed() == 0);
}

TEST_CASE("any asks a mask for whole tiles, and uses its own way to fill one") {
  const Counting counting;
  const any erased = counting;
  const auto bound = heed::mask::bind(erased, scores_shape(9, 9), 0, 0);
  CHECK(bound.coverage({0, 9, 0, 9}) == Coverage::Partial);
  CHECK(*counting.tiles == 1);
  CHECK(*counting.pairs == 0);
  std::uint8_t allowed = 7;
  heed::mask::fill(bound, {0, 9, 0, 9}, &allowed, 9);
  CHECK(allowed == 1);
  CHECK(*counting.pairs == 0);
}

TEST_CASE("a lambda inside any keeps what it captured") {
  any erased;
  {
    const std::vector<int> keys = {0, 2};
    erased = [keys](int i, int j) { return keys[std::size_t(i % 2)] == j; };
  }
  const auto law = law_of(erased, scores_shape(2, 3));
  CHECK(law.allowed() == 2);
  CHECK(law.allowed({1, 2, 2, 3}) == 1);
}

TEST_CASE("what an any is moved from keeps its mask") {
  const auto shape = scores_shape(4, 4);
  any one = heed::mask::causal();
  any two = std::move(one);
  CHECK(law_of(one, shape).allowed() == 10);  // NOLINT(bugprone-use-after-move): what it is about
  CHECK(law_of(two, shape).allowed() == 10);
  one = std::move(two);
  CHECK(law_of(two & one, shape).allowed() == 10);  // NOLINT(bugprone-use-after-move)
}
