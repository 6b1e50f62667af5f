#include "heed/mask/padding.hpp"

#include <array>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::mask::Coverage;
using heed::mask::padding;
using heed::mask::Prefix;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::scores_shape;

template <class Lengths>
concept Paddable = requires(Lengths&& lengths) {
  padding(std::forward<Lengths>(lengths));
};
static_assert(Paddable<std::vector<int>&>);
static_assert(!Paddable<std::vector<int>>, "a temporary would be gone before the mask is used");

std::string complaint(const std::vector<int>& lengths) {
  return error_of([&] { heed::mask::check(padding(lengths), scores_shape(2, 4, 3, 10)); });
}

}  // namespace

TEST_CASE("keys from a sequence's length on are seen by nobody") {
  const std::array<int, 3> lengths = {0, 4, 10};
  const auto shape = scores_shape(3, 2, 5, 10);
  const auto mask = padding(lengths);
  heed::mask::check(mask, shape);
  for (int b = 0; b < 3; ++b) {
    for (int h = 0; h < 2; ++h) {
      const auto bound = heed::mask::bind(mask, shape, b, h);
      for (int j = 0; j < 10; ++j) {
        CAPTURE(b, h, j);
        CHECK(bound.allows(h, j) == (j < lengths[static_cast<std::size_t>(b)]));
      }
    }
  }
}

TEST_CASE("a prefix covers tiles up to its end") {
  const Prefix prefix{64};
  CHECK(prefix.coverage({0, 9, 0, 64}) == Coverage::Full);
  CHECK(prefix.coverage({0, 9, 0, 65}) == Coverage::Partial);
  CHECK(prefix.coverage({0, 9, 63, 65}) == Coverage::Partial);
  CHECK(prefix.coverage({0, 9, 64, 128}) == Coverage::Empty);
  CHECK(prefix.coverage({0, 9, 2147483583, 2147483647}) == Coverage::Empty);
}

TEST_CASE("padding refuses the wrong number of lengths, and lengths outside the keys") {
  CHECK(complaint({0, 10}).empty());
  CHECK_THAT(complaint({1, 2, 3}), ContainsSubstring("3 lengths for a batch of 2"));
  CHECK_THAT(complaint({}), ContainsSubstring("0 lengths for a batch of 2"));
  CHECK_THAT(complaint({1, 11}), ContainsSubstring("length 11 is outside 0 … 10 keys"));
  CHECK_THAT(complaint({-1, 1}), ContainsSubstring("length -1 is outside 0 … 10 keys"));
}
