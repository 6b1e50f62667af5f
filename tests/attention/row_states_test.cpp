// States of rows: cleared, and merged on every instruction set, against double.
#include "heed/attention/flash/row_states.hpp"

#include <cmath>
#include <vector>

#include "heed/core/random.hpp"
#include "heed/simd/kernels.hpp"
#include "support/catch.hpp"

namespace heed {
namespace {

// States of `rows` rows, some of which have seen nothing.
template <class R>
struct Two {
  static constexpr Index rows = 13;
  Index columns;
  std::vector<std::byte> memory = std::vector<std::byte>(1 << 17);
  Carver carver{memory.data()};
  RowStates<R> states;

  Two(const simd::TileShape& shape, Index Dv)
      : columns(shape.columns(Dv)),
        states(carver, 3, shape.m_tiles(rows) * shape.mr, columns, shape) {
    for (Index n = 0; n < 3; ++n) clear(states[n], states.rows);
    for (std::uint32_t n = 0; n < 2; ++n) {
      for (std::uint32_t row = 0; row < rows; ++row) {
        if (sees(n, row)) fill(n, row);
      }
    }
  }
  // Row 0 sees nothing, row 1 the first part alone, row 2 the second alone.
  static bool sees(std::uint32_t part, std::uint32_t row) {
    return row > 2 || (row > 0 && row == part + 1);
  }
  static double number(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    return philox(8, {a, b, c, 1})[0] / 2147483648.0 - 1.0;
  }
  void fill(std::uint32_t part, std::uint32_t row) {
    const simd::RowState<R> state = states[part];
    state.max[row] = static_cast<R>(row == 3 ? 2 : 30 * number(part, row, 0));
    state.sum[row] = static_cast<R>(2 + number(part, row, 1));
    for (Index d = 0; d < columns; ++d) state.acc.at(row, d) = value(part, row, d);
  }
  static R value(std::uint32_t part, std::uint32_t row, Index d) {
    return d == 0 ? R(-0.0) : static_cast<R>(number(part, row, 2 + static_cast<std::uint32_t>(d)));
  }
  // Merges `from` into `into`.
  void merge(Isa isa, Index into, Index from) const {
    merge_states(isa, states[into], states[from], rows);
  }
};

template <class R>
void check_merge(Isa isa, const simd::TileShape& tile_shape, Index Dv) {
  CAPTURE(static_cast<int>(isa), tile_shape.mr, Dv);
  const Two<R> before(tile_shape, Dv), ab(tile_shape, Dv), ba(tile_shape, Dv);
  ab.merge(isa, 0, 1);
  ba.merge(isa, 1, 0);
  const simd::RowState<R> a = before.states[0], b = before.states[1];
  const simd::RowState<R> both = ab.states[0], turned = ba.states[1];
  for (std::uint32_t row = 0; row < before.states.rows; ++row) {
    CAPTURE(row);
    REQUIRE((both.max[row] == turned.max[row] && both.sum[row] == turned.sum[row]));
    const bool in_a = row < 13 && Two<R>::sees(0, row), in_b = row < 13 && Two<R>::sees(1, row);
    const double max = std::max(static_cast<double>(a.max[row]), static_cast<double>(b.max[row]));
    REQUIRE(static_cast<double>(both.max[row]) == max);
    const double of_a = in_a ? std::exp(static_cast<double>(a.max[row]) - max) : 0;
    const double of_b = in_b ? std::exp(static_cast<double>(b.max[row]) - max) : 0;
    const double tolerance = sizeof(R) == 4 ? 1e-6 : 1e-14;
    const auto mixed = [&](R x, R y) {
      return of_a * static_cast<double>(x) + of_b * static_cast<double>(y);
    };
    REQUIRE(std::abs(static_cast<double>(both.sum[row]) - mixed(a.sum[row], b.sum[row])) <
            4 * tolerance);
    for (Index d = 0; d < before.columns; ++d) {
      const R x = a.acc.at(row, d), y = b.acc.at(row, d), z = both.acc.at(row, d);
      REQUIRE(z == turned.acc.at(row, d));
      REQUIRE(std::abs(static_cast<double>(z) - mixed(x, y)) < tolerance);
      if (in_a != in_b) {
        REQUIRE(z == (in_a ? x : y));
        REQUIRE(std::signbit(z) == std::signbit(in_a ? x : y));
      }
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("row state: merged on every instruction set, and alone keeps its bits", "",
                   float, double) {
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (isa > machine_isa()) continue;
    for (const Index Dv : {1, 16, 40, 64}) {
      check_merge<TestType>(isa, simd::element_kernels<TestType>(isa).tile_shape, Dv);
      check_merge<TestType>(isa, {16, 32, 16, 2, 16, 3}, Dv);
    }
  }
}

TEST_CASE("row state: cleared rows have seen nothing, and the others are as they were") {
  const Two<float> two({8, 32, 16}, 20);
  const simd::RowState<float> state = two.states[0];
  const float kept = state.acc.at(7, 3);
  clear(state.from_row(8), 8);
  CHECK(state.acc.at(7, 3) == kept);
  for (Index row = 8; row < 16; ++row) {
    CHECK(softmax::Row<float>{state.max[row], state.sum[row]}.fully_masked());
    for (Index d = 0; d < two.columns; ++d) CHECK(state.acc.at(row, d) == 0);
  }
}

}  // namespace heed
