// States of rows whose keys are done become rows of out and lse, of the right heads and queries.
#include "heed/attention/flash/store_output.hpp"

#include <cmath>
#include <vector>

#include "attention/one_task.hpp"
#include "support/contract.hpp"

namespace heed {
namespace {

using test::number_of;

constexpr Index Lq = 7, Dv = 20;
constexpr int heads = 2, masked_row = 9;  // a row that sees nothing

// Row r has the maximum r, the sum 1 + r and weighted values that are known.
template <class T>
void fill(const test::OneTask<T>& of) {
  using R = Accum<T>;
  const simd::RowState<R>& state = of.scratch.state;
  for (int row = 0; row < of.plan.rows(); ++row) {
    const bool sees = row != masked_row;
    state.max[row] = sees ? R(row) : std::numeric_limits<R>::lowest();
    state.sum[row] = sees ? R(1 + row) : R(0);
    for (Index d = 0; d < Dv; ++d) {
      state.acc.at(row, d) = sees ? static_cast<R>(number_of(row, d)) : R(0);
    }
  }
}

// The sum of a row whose sink joins it, under its own maximum.
double sum_of(int row, double sink) { return 1 + row + std::exp(sink - row); }

template <class T>
void require_rows(const test::OneTask<T>& of, const std::vector<float>& sinks) {
  const double u = 4 * test::unit_roundoff<T>();
  for (int row = 0; row < heads * Lq; ++row) {
    const Index h = of.head_of(row), i = of.query_of(row);
    const double sink =
        sinks.empty() ? -INFINITY : static_cast<double>(sinks[static_cast<std::size_t>(h)]);
    const auto lse = static_cast<double>(of.problem.lse(0, h, i));
    CAPTURE(row, sink);
    if (row == masked_row) {
      REQUIRE(lse == sink);
    } else {
      REQUIRE(std::abs(lse - (row + std::log(sum_of(row, sink)))) < 1e-5);
    }
    for (Index d = 0; d < Dv; ++d) {
      const double x =
          row == masked_row ? 0 : static_cast<double>(number_of(row, d)) / sum_of(row, sink);
      REQUIRE(std::abs(static_cast<double>(of.problem.out(0, h, i, d)) - x) <= u * std::abs(x));
    }
  }
  REQUIRE(of.out.margins_intact());
}

}  // namespace

TEMPLATE_TEST_CASE("store output: mean and lse of each row, without sinks and with them", "", float,
                   double, BFloat16) {
  const std::vector<float> sinks{0.5F, 8};
  for (const bool has_sinks : {false, true}) {
    Options options;
    if (has_sinks) options.sinks = sinks;
    const test::OneTask<TestType> of({1, heads, 1, Lq, 9, 4, Dv}, heads, options);
    fill(of);
    REQUIRE(store_output(of.task()));
    require_rows(of, has_sinks ? sinks : std::vector<float>{});
  }
}

#if !defined(__FAST_MATH__)  // which promises nothing of infinities
TEST_CASE("store output: a row that overflows is told, and it alone is written again") {
  const test::OneTask<float> of({1, heads, 1, Lq, 9, 4, Dv}, heads);
  const auto task = of.task(test::no_mask, test::no_score, 0.25F);
  fill(of);
  const simd::Accumulator<float>& acc = of.scratch.state.acc;
  acc.at(3, 1) = test::inf;
  CHECK_FALSE(store_output(task));
  CHECK(of.problem.out(0, 0, 3, 1) == test::inf);
  fill(of);
  for (int row = 0; row < heads * Lq; ++row)
    acc.at(row, 1) = 0.5F;  // of weights a quarter as large
  rewrite_rows(task);
  CHECK(std::abs(of.problem.out(0, 0, 3, 1) - 0.5F / 4 / 0.25F) < 1e-6F);
  CHECK(std::abs(of.problem.out(0, 0, 4, 1) - number_of(4, 1) / 5) < 1e-6F);
  of.problem.out(0, 1, 0, 2) = test::nan;
  fill(of);
  acc.at(Lq, 2) = 3e38F, of.scratch.state.sum[Lq] = 0.25F;  // a mean beyond the largest number
  rewrite_rows(task);
  CHECK(of.problem.out(0, 1, 0, 2) == std::numeric_limits<float>::max());
}
#endif

TEST_CASE("store output: weights become smaller by a power of 2, those of live tiles alone") {
  for (const Index keys : {1, 2, 3, 1000, 4096}) {
    const auto shrink = shrink_of<float>(keys);
    CAPTURE(keys);
    CHECK(shrink * 4 * static_cast<float>(keys) <= 4);
    CHECK(shrink * 4 * static_cast<float>(keys) >= 1);
    int exponent = 0;
    CHECK(std::frexp(shrink, &exponent) == 0.5F);
  }
  const test::OneTask<float> of({1, 1, 1, Lq, 70, 4, 4});
  const auto p = of.scores(
      [](int, int panel) { return panel == 1 ? mask::Coverage::Empty : mask::Coverage::Partial; });
  std::fill_n(p.data, p.tiles() * p.tile_size(), 8.0F);
  shrink_weights(p, 0.25F);
  CHECK(p.at(Lq - 1, 0) == 2);
  CHECK(*p.tile(0, 1) == 8);
}

}  // namespace heed
