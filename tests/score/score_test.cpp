#include "heed/score/score.hpp"

#include <type_traits>

#include "heed/core/eigen.hpp"
#include "heed/score/alibi.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/soft_cap.hpp"
#include "support/catch.hpp"
#include "support/derivative.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::test::scores_shape;

// A user's score, bound to the head, with a derivative.
struct Scaled {
  double factor;

  template <class R>
  R value(R s, int, int) const {
    return static_cast<R>(factor) * s;
  }
  template <class R>
  R derivative(R, int, int) const {
    return static_cast<R>(factor);
  }
};
struct ScaledByHead {
  Scaled bind(const Shape&, Index, Index h) const { return {1.0 + static_cast<double>(h)}; }
};

const auto relative = [](float s, int i, int j) { return s + static_cast<float>(j - i); };
const auto generic = [](auto s, int, int) { return s / 3; };
const auto placed = [](float s, int b, int h, int, int) { return s + static_cast<float>(b - h); };

using heed::score::BoundScore;
using heed::score::DifferentiableScore;
using heed::score::Score;
using heed::score::ScoreLike;
static_assert(BoundScore<heed::score::None> && DifferentiableScore<heed::score::None>);
static_assert(DifferentiableScore<Scaled> && Score<ScaledByHead> && !BoundScore<ScaledByHead>);
static_assert(ScoreLike<decltype(relative)> && ScoreLike<decltype(placed)>);
static_assert(!Score<decltype(relative)> && !ScoreLike<int>);
static_assert(!ScoreLike<decltype([](float s, int) { return s; })>);

// A tensor can be called with (s, i, j), and is no function of them; a mask is no score.
static_assert(!ScoreLike<heed::Tensor3<float>> && !ScoreLike<heed::View<float, 3>>);
static_assert(!ScoreLike<decltype([](int b, int i, int j) { return b + i < j; })>);
static_assert(ScoreLike<float(float, int, int)> && ScoreLike<double (*)(double, int, int)>);
static_assert(std::is_trivially_copyable_v<heed::score::BoundAlibi>);
static_assert(std::is_trivially_copyable_v<heed::score::BoundBias<float>>);
static_assert(std::is_trivially_copyable_v<heed::score::SoftCap>);

}  // namespace

TEST_CASE("no score leaves a score as it is") {
  CHECK(heed::score::None{}.value(-3.5f, 1, 2) == -3.5f);
  CHECK(heed::test::derivative_error(heed::score::None{}, 2.0, 1, 2) < 1e-9);
}

TEST_CASE("a user's score may bind") {
  const auto bound = heed::score::bind(ScaledByHead{}, scores_shape(1, 3, 2, 2), 0, 2);
  CHECK(bound.value(2.0, 0, 1) == 6.0);
  CHECK(heed::test::derivative_error(bound, 2.0, 0, 1) < 1e-9);
}

TEST_CASE("callables are scores, of a pair or of a place") {
  const auto shape = scores_shape(2, 3, 4, 6);
  const auto pair = heed::score::as_score(relative);
  CHECK(heed::score::bind(pair, shape, 1, 2).value(0.5f, 3, 1) == -1.5f);
  const auto place = heed::score::as_score(placed);
  CHECK(heed::score::bind(place, shape, 1, 2).value(0.5f, 3, 1) == -0.5f);
}

TEST_CASE("a generic callable computes double scores in double") {
  const auto score = heed::score::as_score(generic);
  const auto bound = heed::score::bind(score, scores_shape(1, 1), 0, 0);
  CHECK(bound.value(1.0, 0, 0) == 1.0 / 3);
  CHECK(bound.value(1.0f, 0, 0) == 1.0f / 3);
}
