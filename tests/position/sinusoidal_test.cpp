// Sinusoidal positions against the formula in long double.
#include "heed/position/sinusoidal.hpp"

#include <cmath>

#include "support/catch.hpp"
#include "support/error.hpp"

using heed::Index;
namespace position = heed::position;

namespace {

long double expected(Index at, Index d, Index D, long double base) {
  const Index even = d - d % 2;
  const long double exponent = static_cast<long double>(even) / static_cast<long double>(D);
  const long double angle = static_cast<long double>(at) / std::pow(base, exponent);
  return d % 2 == 0 ? std::sin(angle) : std::cos(angle);
}

template <class Table>
double worst(const Table& table, Index L, Index D, Index offset, long double base) {
  double gap = 0;
  for (Index i = 0; i < L; ++i) {
    for (Index d = 0; d < D; ++d) {
      const long double difference =
          static_cast<long double>(table(i, d)) - expected(offset + i, d, D, base);
      gap = std::max(gap, static_cast<double>(std::abs(difference)));
    }
  }
  return gap;
}

}  // namespace

TEST_CASE("sinusoidal: the formula, for even and odd sizes and far positions") {
  for (const Index D : {1, 2, 3, 8, 63, 64}) {
    for (const Index offset : {-7, 0, 1, 5000, 1'000'000}) {
      for (const double base : {10'000.0, 500.0}) {
        const position::SinusoidalOptions options{.offset = offset, .base = base};
        CHECK(worst(position::sinusoidal<double>(20, D, options), 20, D, offset, base) < 1e-9);
        CHECK(worst(position::sinusoidal<float>(20, D, options), 20, D, offset, base) < 1e-7);
      }
    }
  }
}

TEST_CASE("sinusoidal: position 0 is 0, 1, 0, 1 … and an offset shifts the rows") {
  const auto table = position::sinusoidal(30, 6);
  const auto shifted = position::sinusoidal(10, 6, {.offset = 20});
  for (Index d = 0; d < 6; ++d) {
    CHECK(table(0, d) == (d % 2 == 0 ? 0 : 1));
    for (Index i = 0; i < 10; ++i) CHECK(shifted(i, d) == table(20 + i, d));
  }
}

TEST_CASE("sinusoidal: into a matrix, a strided view and half precision") {
  Eigen::MatrixXd matrix(20, 9);
  position::sinusoidal_into(matrix);
  CHECK(worst(matrix, 20, 9, 0, 10'000) < 1e-12);
  std::vector<float> memory(20 * 9 * 2, -7.0f);
  const auto view = heed::view(memory.data(), {20, 9}, {18, 2});
  position::sinusoidal_into(view);
  CHECK(worst(view, 20, 9, 0, 10'000) < 1e-7);
  for (std::size_t n = 1; n < memory.size(); n += 2) CHECK(memory[n] == -7.0f);
  CHECK(worst(position::sinusoidal<heed::Half>(20, 9), 20, 9, 0, 10'000) < 5e-4);
  CHECK(worst(position::sinusoidal<heed::BFloat16>(20, 9), 20, 9, 0, 10'000) < 4e-3);
}

TEST_CASE("sinusoidal: empty tables, negative sizes and bad bases") {
  CHECK(position::sinusoidal(0, 4).size() == 0);
  CHECK(position::sinusoidal(4, 0).size() == 0);
  CHECK(heed::test::error_of([] { position::sinusoidal(-1, 4); }) ==
        "heed::position::sinusoidal: a table of -1 positions by 4 features");
  for (const double base : {0.0, -2.0, std::nan(""), double(INFINITY)}) {
    CHECK_THROWS_AS(position::sinusoidal(2, 4, {.base = base}), heed::Error);
  }
}
