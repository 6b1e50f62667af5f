// The exponential of every table, seen through the softmax of rows whose maximum is 0: there a
// weight is e^score. At most 2 ulp off, exact where masks and single keys need it.
#include <numbers>
#include <string>

#include "heed/simd/isa.hpp"
#include "simd/tables.hpp"
#include "simd/tile_problem.hpp"
#include "support/catch.hpp"

namespace heed::test {
namespace {

template <class R>
constexpr double smallest_exponent = sizeof(R) == 4 ? -87.25 : -708.25;  // of a normal number
template <class R>
constexpr R zero_from = sizeof(R) == 4 ? R(-88) : R(-709);

// Ulps that the factor log2 e adds for each unit of x: it is rounded, and where a table does not
// multiply and add in one step so is its product.
template <class R>
double ulps_per_unit(const std::string& table) {
  const bool fused = table == name_of(Isa::avx2) || table == name_of(Isa::avx512);
  return (sizeof(R) == 4 ? 1.3e-8 : 1.5e-17) / roundoff<R> + (fused ? 0 : 1);
}

// e^x by a table's kernel, for x ≤ 0.
template <class R>
std::vector<R> exp_by(const simd::PackedKernels<R>& kernels, const std::vector<R>& x) {
  const int rows = kernels.tile_shape.mr;
  const auto count = static_cast<int>(x.size());
  const int keys = 1 + (count + rows - 1) / rows;  // a 0 leads each row, so that it is the maximum
  TileProblem<R> problem(kernels.tile_shape, {1, keys}, Side::behind);
  std::fill(problem.scores.begin(), problem.scores.end(), R(0));
  std::fill(problem.max.begin(), problem.max.end(), R(0));
  std::fill(problem.sum.begin(), problem.sum.end(), R(0));
  const auto slot = [&](int n) -> R& { return problem.score(n % rows, 1 + n / rows); };
  for (int n = 0; n < count; ++n) slot(n) = x[static_cast<std::size_t>(n)];
  kernels.softmax(problem.tiles(), problem.state());
  std::vector<R> y;
  for (int n = 0; n < count; ++n) y.push_back(slot(n));
  return y;
}

template <class R>
R from_bits(BitsOf<R> bits) {
  return std::bit_cast<R>(bits);
}

// From −0 down to the smallest exponent in even steps of the bits, so that every binade counts the
// same, and every number near a half of ln 2, where the polynomial's interval ends.
template <class R>
std::vector<R> sweep() {
  std::vector<R> x;
  const auto end = std::bit_cast<BitsOf<R>>(static_cast<R>(smallest_exponent<R>));
  const BitsOf<R> begin = std::bit_cast<BitsOf<R>>(R(-0.0));
  const BitsOf<R> step = (end - begin) / 100000;
  for (BitsOf<R> bits = begin; bits <= end; bits += step) x.push_back(from_bits<R>(bits));
  for (double halves = 0; halves >= 3 * smallest_exponent<R>; halves -= 1) {
    R near = static_cast<R>(halves / 2 * std::numbers::ln2);
    for (int n = 0; n < 8; ++n) near = std::nextafter(near, R(0));
    for (int n = 0; n < 16; ++n, near = std::nextafter(near, R(-2000))) {
      if (near >= smallest_exponent<R>) x.push_back(near);
    }
  }
  // Most scores lie here.
  for (int n = 0; n <= 100000; ++n) x.push_back(static_cast<R>(-20.0 * n / 100000));
  return x;
}

// Distance in ulps of the exact value.
template <class R>
double ulps(R found, long double exact) {
  if (!is_finite(found)) return 1e300;
  const int exponent = std::max(std::ilogb(exact), std::numeric_limits<R>::min_exponent - 1);
  const long double ulp = std::ldexp(1.0L, exponent + 1 - std::numeric_limits<R>::digits);
  return static_cast<double>(std::abs(static_cast<long double>(found) - exact) / ulp);
}

}  // namespace

TEMPLATE_TEST_CASE("exp: at most 2 ulp off, besides the rounding of log2 e", "", float, double) {
  const std::vector<TestType> x = sweep<TestType>();
  std::vector<long double> exact;
  for (const TestType at : x) exact.push_back(std::exp(static_cast<long double>(at)));
  for (const Table<TestType>& table : tables<TestType>()) {
    const std::vector<TestType> y = exp_by(*table.kernels, x);
    const double per_unit = ulps_per_unit<TestType>(table.name);
    double worst = 0;
    TestType worst_at = 0;
    for (std::size_t n = 0; n < x.size(); ++n) {
      const double off = ulps(y[n], exact[n]) + double{x[n]} * per_unit;
      if (off <= worst) continue;
      worst = off;
      worst_at = x[n];
    }
    CAPTURE(table.name, worst_at);
    REQUIRE(worst <= 2);
  }
}

TEMPLATE_TEST_CASE("exp: 1 at 0, 0 from the lowest down", "", float, double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  std::vector<TestType> x = {TestType(0), TestType(-0.0)};
  const std::size_t zeros = x.size();
  for (const double times : {1.0, 1.0000001, 1.5, 2.0, 3.7, 1e3, 1e6, 1e10, 1e30}) {
    x.push_back(zero_from<TestType> * static_cast<TestType>(times));
  }
  x.push_back(std::numeric_limits<TestType>::lowest());
  x.push_back(-infinity);
  for (const Table<TestType>& table : tables<TestType>()) {
    const std::vector<TestType> y = exp_by(*table.kernels, x);
    for (std::size_t n = 0; n < x.size(); ++n) {
      CAPTURE(table.name, x[n]);
      REQUIRE(same_bits(y[n], n < zeros ? TestType(1) : TestType(0)));
    }
  }
}

TEMPLATE_TEST_CASE("exp: a smaller number never gives more than 1 ulp more", "", float, double) {
  // On both sides of the halves, where one polynomial's interval meets the next, and elsewhere.
  std::vector<TestType> x;
  for (const double from : {-0.25, -0.5, -0.9, -1.5, -7.3, -29.5, -100.5, -125.5}) {
    TestType near = static_cast<TestType>(from * std::numbers::ln2);
    for (int n = 0; n < 10000; ++n) near = std::nextafter(near, TestType(0));
    for (int n = 0; n < 20000; ++n, near = std::nextafter(near, TestType(-2000))) {
      x.push_back(near);
    }
  }
  for (const Table<TestType>& table : tables<TestType>()) {
    const std::vector<TestType> y = exp_by(*table.kernels, x);
    for (std::size_t n = 1; n < x.size(); ++n) {
      if (x[n] > x[n - 1]) continue;
      const TestType limit = std::nextafter(y[n - 1], TestType(2));
      if (y[n] > limit) FAIL(table.name << ": rises below " << x[n - 1]);
    }
  }
}

#if !defined(__FAST_MATH__)  // which promises no NaN
TEMPLATE_TEST_CASE("exp: every NaN stays NaN and touches no other", "", float, double) {
  using Bits = BitsOf<TestType>;
  constexpr int mantissa = Exp2<TestType>::mantissa;
  const Bits exponent = std::bit_cast<Bits>(std::numeric_limits<TestType>::infinity());
  std::vector<TestType> x;
  for (int bit = 0; bit < mantissa; ++bit) {
    for (const Bits payload : {Bits{1} << bit, (Bits{2} << bit) - 1}) {
      for (const Bits sign : {Bits{0}, Bits{1} << (8 * sizeof(Bits) - 1)}) {
        x.push_back(from_bits<TestType>(sign | exponent | payload));
        x.push_back(TestType(-1));
      }
    }
  }
  for (const Table<TestType>& table : tables<TestType>()) {
    CAPTURE(table.name);
    const std::vector<TestType> y = exp_by(*table.kernels, x);
    for (std::size_t n = 0; n < x.size(); n += 2) {
      REQUIRE(is_nan(y[n]));
      REQUIRE(y[n + 1] == Approx(std::exp(-1.0)).epsilon(4 * roundoff<TestType>));
    }
  }
}
#endif

}  // namespace heed::test
