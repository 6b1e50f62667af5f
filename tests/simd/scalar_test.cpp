#include "heed/simd/scalar.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "support/catch.hpp"

namespace {

using heed::Index;
using heed::simd::lanes;

template <class R>
std::vector<R> random_values(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<R> values(static_cast<std::size_t>(count));
  for (R& value : values) value = static_cast<R>(uniform(random));
  return values;
}

template <class T>
T at(const std::vector<T>& values, Index n) {
  return values[static_cast<std::size_t>(n)];
}

// A sum in double, and how far a sum in R may be from it.
template <class R>
struct Sum {
  double value = 0, magnitude = 0;
  Index terms = 0;

  void add(double x) {
    value += x;
    magnitude += std::abs(x);
    ++terms;
  }
  // Each of n terms is rounded at most n times, the products once.
  bool agrees(R other) const {
    const auto epsilon = static_cast<double>(std::numeric_limits<R>::epsilon());
    return std::abs(static_cast<double>(other) - value) <=
           static_cast<double>(terms + 1) * epsilon * magnitude;
  }
};

template <class R>
void check_dots(int rows, Index D) {
  constexpr R untouched = 12345;
  const Index stride = lanes + 5;
  const auto q = random_values<R>(rows * D, 1);
  const auto kt = random_values<R>(D * lanes, 2);
  std::vector<R> s(static_cast<std::size_t>(rows * stride), untouched);
  heed::simd::dots(q.data(), kt.data(), s.data(), stride, rows, D);
  int wrong = 0;
  int overwritten = 0;
  for (int r = 0; r < rows; ++r) {
    for (Index c = lanes; c < stride; ++c) overwritten += at(s, r * stride + c) != untouched;
    for (Index c = 0; c < lanes; ++c) {
      Sum<R> sum;
      for (Index d = 0; d < D; ++d) {
        sum.add(double(at(q, r * D + d)) * double(at(kt, d * lanes + c)));
      }
      wrong += sum.agrees(at(s, r * stride + c)) ? 0 : 1;
    }
  }
  CAPTURE(rows, D);
  CHECK(wrong == 0);
  CHECK(overwritten == 0);
}

// accumulate, and accumulate_seen where every third key is hidden.
template <class R>
void check_accumulate(int rows, int keys, Index Dv, bool hide) {
  const Index stride = keys + 3;
  const auto p = random_values<R>(rows * stride, 3);
  const auto v = random_values<R>(keys * Dv, 4);
  const auto before = random_values<R>(rows * Dv, 5);
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(rows * stride));
  for (std::size_t n = 0; n < seen.size(); ++n) seen[n] = hide && n % 3 == 0 ? 0 : 1;
  auto acc = before;
  if (hide) {
    heed::simd::accumulate_seen(p.data(), seen.data(), stride, v.data(), acc.data(), rows, keys,
                                Dv);
  } else {
    heed::simd::accumulate(p.data(), stride, v.data(), acc.data(), rows, keys, Dv);
  }
  int wrong = 0;
  for (int r = 0; r < rows; ++r) {
    for (Index d = 0; d < Dv; ++d) {
      Sum<R> sum;
      sum.add(double(at(before, r * Dv + d)));
      for (int c = 0; c < keys; ++c) {
        if (at(seen, r * stride + c) == 0) continue;
        sum.add(double(at(p, r * stride + c)) * double(at(v, c * Dv + d)));
      }
      wrong += sum.agrees(at(acc, r * Dv + d)) ? 0 : 1;
    }
  }
  CAPTURE(rows, keys, Dv, hide);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("dots are the products of rows and packed columns") {
  for (const int rows : {0, 1, 2, 7, 64}) {
    for (const Index D : {1, 2, 3, 16, 59, 64, 80, 256}) {
      check_dots<float>(rows, D);
      check_dots<double>(rows, D);
    }
  }
}

TEST_CASE("accumulate adds weighted values") {
  for (const int rows : {0, 1, 3, 64}) {
    for (const int keys : {0, 1, 5, 63, 64}) {
      for (const Index Dv : {0, 1, 3, 32, 59, 64, 111}) {
        check_accumulate<float>(rows, keys, Dv, false);
        check_accumulate<float>(rows, keys, Dv, true);
      }
    }
  }
  check_accumulate<double>(5, 64, 59, false);
  check_accumulate<double>(5, 64, 59, true);
}

TEST_CASE("accumulate_seen takes nothing from a key it does not see, not even NaN or inf") {
  for (const std::uint32_t bits : {0x7fc00000u, 0x7f800000u, 0xff800000u}) {
    constexpr int keys = 4;
    const std::vector<float> p = {0.5f, 0, 0.25f, 0};
    const std::vector<std::uint8_t> seen = {1, 0, 255, 0};
    std::vector<float> v = {1, 2, 0, 0, 4, 8, 0, 0};
    for (const std::size_t n : {2u, 3u, 6u, 7u}) v[n] = std::bit_cast<float>(bits);
    std::vector<float> acc = {10, 20};
    heed::simd::accumulate_seen(p.data(), seen.data(), keys, v.data(), acc.data(), 1, keys, 2);
    CAPTURE(bits);
    CHECK(acc == std::vector<float>{11.5f, 23});
  }
}

#if !defined(__FAST_MATH__)
TEST_CASE("accumulate_seen hides no NaN that is seen, not even one of weight 0") {
  const std::vector<float> p = {0, 1};
  const std::vector<std::uint8_t> seen = {1, 1};
  const std::vector<float> v = {std::bit_cast<float>(0x7fc00000u), 3};
  float acc = 1;
  heed::simd::accumulate_seen(p.data(), seen.data(), 2, v.data(), &acc, 1, 2, 1);
  CHECK(heed::is_nan(acc));
}
#endif
