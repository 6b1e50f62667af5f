#include "heed/mask/per_head.hpp"

#include <array>
#include <type_traits>
#include <vector>

#include "heed/mask/causal.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/window.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::mask::any;
using heed::mask::per_head;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::scores_shape;

template <class Masks>
concept Accepted = requires(Masks&& masks) {
  per_head(std::forward<Masks>(masks));
};
static_assert(Accepted<std::vector<any>&> && Accepted<std::array<heed::mask::Window, 2>&>);
static_assert(Accepted<std::span<const any>>);
static_assert(!Accepted<std::vector<any>>, "a temporary would be gone before the mask is used");

}  // namespace

TEST_CASE("each query head has a mask of its own") {
  const std::vector<any> masks = {heed::mask::causal(), heed::mask::window(0), heed::mask::None{}};
  const auto shape = scores_shape(2, 3, 6, 6);
  const auto mask = per_head(masks);
  heed::mask::check(mask, shape);
  for (int b = 0; b < 2; ++b) {
    CHECK(law_of(mask, shape, b, 0).allowed() == 21);
    CHECK(law_of(mask, shape, b, 1).allowed() == 6);
    CHECK(law_of(mask, shape, b, 2).allowed() == 36);
    CHECK(law_of(mask & heed::mask::causal(), shape, b, 2).allowed() == 21);
  }
}

TEST_CASE("masks of one type keep it") {
  const std::array<heed::mask::Window, 2> windows = {heed::mask::window(0), heed::mask::window(2)};
  const auto bound = heed::mask::bind(per_head(windows), scores_shape(1, 2, 5, 5), 0, 1);
  static_assert(std::is_same_v<std::remove_const_t<decltype(bound)>, heed::mask::Band>);
  CHECK(bound.allows(4, 2));
  CHECK_FALSE(bound.allows(4, 1));
}

TEST_CASE("there is one mask per query head, and each fits the call") {
  const std::vector<int> lengths = {9};
  const std::vector<any> masks = {heed::mask::causal(), heed::mask::padding(lengths)};
  CHECK_THAT(error_of([&] { heed::mask::check(per_head(masks), scores_shape(1, 3, 4, 4)); }),
             ContainsSubstring("heed::mask::per_head: 2 masks for 3 query heads"));
  CHECK_THAT(error_of([&] { heed::mask::check(per_head(masks), scores_shape(1, 2, 4, 4)); }),
             ContainsSubstring("length 9 is outside 0 … 4 keys"));
  CHECK_THAT(error_of([] { per_head(std::span<const any>{}).check(scores_shape(1, 1, 4, 4)); }),
             ContainsSubstring("0 masks for 1 query heads"));
}
