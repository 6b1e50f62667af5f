#include "heed/mask/mask.hpp"

#include <type_traits>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/mask/any.hpp"
#include "heed/mask/bigbird.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/strided.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::mask::Coverage;
using heed::mask::Tile;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::scores_shape;

// A user's mask, bound to the head: head h sees keys at distance h.
struct AtDistance {
  int distance;

  bool allows(int i, int j) const { return j - i == distance; }
  Coverage coverage(Tile) const { return Coverage::Partial; }
};
struct HeadsAtDistance {
  AtDistance bind(const Shape&, Index, Index h) const { return {static_cast<int>(h)}; }
  void check(const Shape& shape) const {
    if (shape.Hq > 4) throw heed::Error("user's mask: at most 4 heads");
  }
};

struct NoCoverage {
  bool allows(int, int) const { return true; }
};
struct WrongAnswer {
  int allows(int, int) const { return 1; }
  Coverage coverage(Tile) const { return Coverage::Partial; }
};

const auto pairs = [](int i, int j) { return i < j; };
bool earlier(int i, int j) { return i < j; }
const auto places = [](int b, int h, int i, int j) { return b + h + i == j; };

using heed::mask::BoundMask;
using heed::mask::Mask;
using heed::mask::MaskLike;
static_assert(BoundMask<heed::mask::None> && BoundMask<AtDistance>);
static_assert(Mask<HeadsAtDistance> && !BoundMask<HeadsAtDistance>);
static_assert(MaskLike<decltype(pairs)> && MaskLike<decltype(places)> && !Mask<decltype(pairs)>);
static_assert(!MaskLike<NoCoverage> && !MaskLike<WrongAnswer> && !MaskLike<int>);
static_assert(!MaskLike<decltype([](int) { return true; })>);

// A tensor can be called with (i, j), and is no function of them; nor is an expression of tensors.
using Zeros = decltype(Eigen::MatrixXf().transpose() * 2);
static_assert(!MaskLike<Eigen::MatrixXf> && !MaskLike<Eigen::ArrayXXi> && !MaskLike<Zeros>);
static_assert(!MaskLike<heed::Tensor2<bool>> && !MaskLike<heed::View<int, 2>>);
static_assert(!MaskLike<heed::Tensor4<float>> && !MaskLike<Eigen::Map<Eigen::MatrixXi>>);
static_assert(!MaskLike<decltype([](int, int) { return 0.5f; })>);
static_assert(MaskLike<bool(int, int)> && MaskLike<bool (*)(int, int) noexcept>);
static_assert(MaskLike<decltype([](int, int) { return std::vector<bool>(1)[0]; })>);
static_assert(MaskLike<decltype([](int i, int j) { return i & j; })>);

// Bound masks reach a kernel on another device as bytes.
template <class M>
using BoundType = decltype(heed::mask::bind(std::declval<const M&>(), Shape{}, 0, 0));
static_assert(std::is_trivially_copyable_v<BoundType<heed::mask::Causal>>);
static_assert(std::is_trivially_copyable_v<BoundType<heed::mask::Window>>);
static_assert(std::is_trivially_copyable_v<BoundType<heed::mask::Padding>>);
static_assert(std::is_trivially_copyable_v<BoundType<heed::mask::Strided>>);
static_assert(std::is_trivially_copyable_v<decltype(heed::mask::bigbird())>);

}  // namespace

// Found by argument where one operand is heed's; two of a user's own want this.
using heed::mask::operator&;
using heed::mask::operator|;
using heed::mask::operator~;

TEST_CASE("a user's mask may bind and check") {
  const auto shape = scores_shape(1, 3, 5, 5);
  CHECK(law_of(HeadsAtDistance{}, shape, 0, 0).allowed() == 5);
  CHECK(law_of(HeadsAtDistance{}, shape, 0, 2).allowed() == 3);
  CHECK(law_of(~(HeadsAtDistance{} | pairs), shape, 0, 2).allowed() == 15);
  heed::mask::check(HeadsAtDistance{}, shape);
  const auto many = scores_shape(1, 5, 5, 5);
  for (const auto& text : {error_of([&] { heed::mask::check(HeadsAtDistance{}, many); }),
                           error_of([&] { heed::mask::check(pairs & HeadsAtDistance{}, many); }),
                           error_of([&] { heed::mask::check(HeadsAtDistance{} | pairs, many); }),
                           error_of([&] { heed::mask::check(~HeadsAtDistance{}, many); })}) {
    CHECK_THAT(text, ContainsSubstring("at most 4 heads"));
  }
}

TEST_CASE("callables are masks, of a pair or of a place") {
  const auto shape = scores_shape(2, 3, 4, 6);
  const auto pair = heed::mask::as_mask(pairs);
  CHECK(law_of(pair, shape, 1, 2).allowed() == 5 + 4 + 3 + 2);
  const auto place = heed::mask::as_mask(places);
  CHECK(law_of(place, shape, 0, 0).allowed() == 4);
  CHECK(law_of(place, shape, 1, 2).allowed() == 3);
  CHECK(heed::mask::bind(pair, shape, 0, 0).coverage({0, 1, 1, 2}) == Coverage::Partial);
  CHECK(law_of(heed::mask::as_mask(earlier), shape, 1, 2).allowed() == 5 + 4 + 3 + 2);
  CHECK(law_of(heed::mask::any(earlier), shape, 1, 2).allowed() == 5 + 4 + 3 + 2);
  CHECK(law_of(earlier & heed::mask::None{}, shape, 1, 2).allowed() == 5 + 4 + 3 + 2);
}

TEST_CASE("a composition needs no more answers than decide it") {
  struct Forbidden {
    bool allows(int, int) const { throw std::logic_error("asked"); }
    Coverage coverage(Tile) const { throw std::logic_error("asked"); }
  };
  struct Nothing {
    bool allows(int, int) const { return false; }
    Coverage coverage(Tile) const { return Coverage::Empty; }
  };
  const auto both = heed::mask::And<Nothing, Forbidden>{};
  CHECK_FALSE(both.allows(0, 0));
  CHECK(both.coverage({0, 1, 0, 1}) == Coverage::Empty);
  const auto either = heed::mask::Or<heed::mask::None, Forbidden>{};
  CHECK(either.allows(0, 0));
  CHECK(either.coverage({0, 1, 0, 1}) == Coverage::Full);
}
