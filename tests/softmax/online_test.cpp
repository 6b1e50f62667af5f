// Numbers that are NaN or infinite are made and compared by their bits; what -ffast-math does not
// promise is left out under it.
#include "heed/softmax/online.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "heed/softmax/dense.hpp"
#include "support/catch.hpp"

namespace {

using heed::is_masked;
using heed::is_nan;
using heed::mask_if;
using heed::softmax::Row;
using heed::softmax::update;

float minus_inf() { return mask_if(true, 0.0f); }

// Weights of a row and its log-sum-exp, in the obvious way and in double.
struct Expected {
  std::vector<double> weights;
  double lse = 0;
  bool blind = true;
};

template <class R>
Expected expected(const std::vector<R>& scores) {
  Expected result;
  double max = 0;
  for (const R s : scores) {
    if (is_masked(s)) continue;
    max = result.blind ? double(s) : std::max(max, double(s));
    result.blind = false;
  }
  double sum = 0;
  for (const R s : scores) sum += is_masked(s) ? 0.0 : std::exp(double(s) - max);
  for (const R s : scores) {
    result.weights.push_back(is_masked(s) ? 0.0 : std::exp(double(s) - max) / sum);
  }
  result.lse = max + std::log(sum);
  return result;
}

// The weights as a tiled kernel gets them: pieces that end at `cuts`, each rescaled when a later
// one raises the maximum.
template <class R>
struct Online {
  std::vector<R> weights;
  Row<R> row;

  Online(const std::vector<R>& scores, const std::vector<std::size_t>& cuts) : weights(scores) {
    std::size_t begin = 0;
    for (const std::size_t end : cuts) {
      const R shrink = update(row, weights.data() + begin, static_cast<int>(end - begin));
      for (std::size_t n = 0; n < begin; ++n) weights[n] *= shrink;
      begin = end;
    }
    if (row.blind()) return;
    for (R& weight : weights) weight /= row.sum;
  }
};

// Every way to cut a row of `size` into pieces, as ascending ends.
std::vector<std::vector<std::size_t>> all_cuts(std::size_t size) {
  std::vector<std::vector<std::size_t>> result;
  for (unsigned bits = 0; bits < 1u << (size - 1); ++bits) {
    std::vector<std::size_t> cuts;
    for (std::size_t n = 1; n < size; ++n) {
      if ((bits >> (n - 1) & 1u) != 0) cuts.push_back(n);
    }
    cuts.push_back(size);
    result.push_back(cuts);
  }
  return result;
}

template <class R>
void check_weights(const std::vector<R>& scores, const Online<R>& online, const Expected& truth,
                   double tolerance) {
  for (std::size_t n = 0; n < scores.size(); ++n) {
    CAPTURE(n, scores[n]);
    if (is_masked(scores[n])) {
      REQUIRE(online.weights[n] == R(0));
    } else {
      REQUIRE(std::abs(double(online.weights[n]) - truth.weights[n]) <= tolerance);
    }
  }
}

template <class R>
void check_row(const std::vector<R>& scores, double tolerance) {
  const Expected truth = expected(scores);
  for (const auto& cuts : all_cuts(scores.size())) {
    const Online<R> online(scores, cuts);
    CAPTURE(cuts);
    REQUIRE(online.row.blind() == truth.blind);
    check_weights(scores, online, truth, tolerance);
    if (truth.blind) {
      REQUIRE(is_masked(online.row.lse()));
    } else {
      const double error = std::abs(double(online.row.lse()) - truth.lse);
      REQUIRE(error <= tolerance * (1 + std::abs(truth.lse)));
    }
  }
  std::vector<R> whole = scores;
  const R lse = heed::softmax::dense(whole.data(), static_cast<int>(whole.size()));
  const Online<R> once(scores, {scores.size()});
  CHECK(whole == once.weights);
  CHECK((truth.blind || lse == once.row.lse()));
}

template <class R>
std::vector<R> random_row(unsigned seed, double spread) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, spread);
  std::vector<R> scores(8);
  for (R& s : scores) s = mask_if(random() % 4 == 0, static_cast<R>(normal(random)));
  return scores;
}

}  // namespace

TEST_CASE("a row in pieces, however cut, is the softmax of the whole row") {
  for (const double spread : {0.1, 1.0, 30.0, 1e4}) {
    for (unsigned seed = 0; seed < 12; ++seed) {
      CAPTURE(spread, seed);
      check_row(random_row<float>(seed, spread), 1e-6);
      check_row(random_row<double>(seed, spread), 1e-14);
    }
  }
}

TEST_CASE("first pieces that are wholly masked leave no trace") {
  const float m = minus_inf();
  check_row<float>({m, m, m, 1, 2, m, 3}, 1e-6);
  check_row<float>({m, m, -1e30f, m}, 1e-6);
  check_row<float>({m, m, m, std::numeric_limits<float>::lowest()}, 1e-6);
  Row<float> row;
  std::vector<float> masked(5, m);
  CHECK(update(row, masked.data(), 5) == 1.0f);
  CHECK(masked == std::vector<float>(5, 0.0f));
  CHECK(row.blind());
  CHECK(update(row, masked.data(), 0) == 1.0f);
}

TEST_CASE("a row that sees no key is blind: weights 0, lse −inf") {
  check_row<float>(std::vector<float>(6, minus_inf()), 0);
  check_row<double>(std::vector<double>(6, mask_if(true, 0.0)), 0);
  const Row<float> row;
  CHECK(row.blind());
  CHECK(is_masked(row.lse()));
  std::vector<float> nothing;
  CHECK(is_masked(heed::softmax::dense(nothing.data(), 0)));
}

TEST_CASE("huge, tiny and equal scores") {
  constexpr float largest = std::numeric_limits<float>::max();
  check_row<float>({1e30f, -1e30f, 1e30f, 0}, 1e-6);
  check_row<float>({largest, 1, -largest, largest}, 1e-6);
  check_row<float>({-largest, -largest}, 1e-6);
  check_row<float>({1e-30f, -1e-30f, 0, 1e-38f}, 1e-6);
  check_row<float>({-1e4f, -1e4f, -1e4f}, 1e-6);
  check_row<float>({88, 89, 100, 1000}, 1e-6);
  check_row<float>({-88, -104, -1000, -100}, 1e-6);
  check_row<double>({1e300, -1e300, 1e300, 5}, 1e-14);
  check_row<double>({-745, -746, 0, 710}, 1e-14);
}

TEST_CASE("update returns the factor for what was summed before") {
  Row<double> row;
  std::vector<double> piece = {1.0, 3.0};
  update(row, piece.data(), 2);
  CHECK(row.max == 3.0);
  CHECK(row.sum == Approx(1 + std::exp(-2.0)));
  piece = {2.0, 3.0};
  CHECK(update(row, piece.data(), 2) == 1.0);
  piece = {5.0, 4.0};
  CHECK(update(row, piece.data(), 2) == Approx(std::exp(-2.0)));
  CHECK(row.max == 5.0);
  double sum = 0;
  for (const double s : {1.0, 3.0, 2.0, 3.0, 5.0, 4.0}) sum += std::exp(s);
  CHECK(row.lse() == Approx(std::log(sum)));
}

#if !defined(__FAST_MATH__)
TEST_CASE("a NaN score makes its row NaN, in whatever piece it comes") {
  for (const auto& cuts : all_cuts(4)) {
    for (std::size_t at = 0; at < 4; ++at) {
      std::vector<float> scores = {1, minus_inf(), 2, 3};
      scores[at] = std::bit_cast<float>(0x7fc00000u);
      const Online<float> online(scores, cuts);
      CAPTURE(cuts, at);
      CHECK_FALSE(online.row.blind());
      CHECK(is_nan(online.row.lse()));
      CHECK(is_nan(online.weights[0]));
      CHECK(is_nan(online.weights[3]));
    }
  }
}

TEST_CASE("a score of +inf makes its row NaN, as inf − inf is") {
  for (const auto& cuts : all_cuts(3)) {
    for (std::size_t at = 0; at < 3; ++at) {
      std::vector<float> scores = {1, 2, 3};
      scores[at] = std::bit_cast<float>(0x7f800000u);
      const Online<float> online(scores, cuts);
      CAPTURE(cuts, at);
      CHECK(is_nan(online.row.sum));
      CHECK(is_nan(online.row.lse()));
    }
  }
}
#endif
