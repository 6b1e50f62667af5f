// Splits of a row's keys, combined, against one pass over all of them in double.
#include "heed/attention/flash/combine_splits.hpp"

#include <cmath>
#include <vector>

#include "heed/core/random.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

constexpr simd::TileShape tile_shape{4, 8, 4};

double number(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  return philox(5, {a, b, c, 1})[0] / 2147483648.0 - 1.0;
}

// Row r sees key j of split s, whose score and value are known numbers.
double score_of(int r, int s, int j) {
  return 40 * number(static_cast<std::uint32_t>(r), static_cast<std::uint32_t>(s),
                     static_cast<std::uint32_t>(j));
}
double value_of(int s, int j, Index d) {
  return number(static_cast<std::uint32_t>(100 + s), static_cast<std::uint32_t>(j),
                static_cast<std::uint32_t>(d));
}
// Row 0 sees all, row 1 nothing, row 2 the last split alone, row 3 all but the first.
bool sees(int r, int s, int splits) {
  return r == 0 || (r == 2 && s == splits - 1) || (r == 3 && s > 0);
}

}  // namespace

TEMPLATE_TEST_CASE("splits combine to one pass; rows that see nothing in some or all stay right",
                   "", float, double) {
  using R = TestType;
  for (const int splits : {2, 3, 7}) {
    Shape shape{1, 1, 1, 4, 100, 4, 10};
    FlashPlan plan{tile_shape, 16};
    plan.q_block = 4;
    plan.splits = splits;
    plan.tasks = 2 * splits;  // of two q blocks; the first one keeps its poison
    alignas(scratch_alignment) static std::byte memory[1 << 16];
    REQUIRE(shared_state_bytes<R>(shape, plan) <= static_cast<Index>(sizeof memory));
    Carver carver(memory);
    const RowStates<R> states = shared_states<R>(carver, shape, plan).states;
    const Index columns = states.first.acc.columns;
    std::fill_n(states.first.max, plan.tasks * states.rows, R(-7));
    std::fill_n(states.first.acc.data, plan.tasks * states.rows * columns, R(-7));
    for (int s = 0; s < splits; ++s) {
      const Index task = splits + s;
      for (int r = 0; r < 4; ++r) {
        softmax::Row<R> row;
        for (int j = 0; j < 5 && sees(r, s, splits); ++j) {
          row.max = std::max(row.max, static_cast<R>(score_of(r, s, j)));
        }
        std::vector<R> sum(static_cast<std::size_t>(columns), R(0));
        for (int j = 0; j < 5 && sees(r, s, splits); ++j) {
          const R p = std::exp(static_cast<R>(score_of(r, s, j)) - row.max);
          row.sum += p;
          for (Index d = 0; d < 10; ++d)
            sum[static_cast<std::size_t>(d)] += p * static_cast<R>(value_of(s, j, d));
        }
        states[task].max[r] = row.max;
        states[task].sum[r] = row.sum;
        for (Index d = 0; d < columns; ++d) {
          states[task].acc.at(r, d) = sum[static_cast<std::size_t>(d)];
        }
      }
    }
    const simd::RowState<R> state = combine_splits(states, isa(), 2 * splits - 1, splits);
    for (int r = 0; r < 4; ++r) {
      CAPTURE(splits, r);
      double max = -1e300, sum = 0;
      std::vector<double> out(10, 0.0);
      for (int s = 0; s < splits; ++s) {
        for (int j = 0; j < 5 && sees(r, s, splits); ++j) max = std::max(max, score_of(r, s, j));
      }
      for (int s = 0; s < splits; ++s) {
        for (int j = 0; j < 5 && sees(r, s, splits); ++j) {
          const double p = std::exp(score_of(r, s, j) - max);
          sum += p;
          for (Index d = 0; d < 10; ++d) out[static_cast<std::size_t>(d)] += p * value_of(s, j, d);
        }
      }
      const softmax::Row<R> row{state.max[r], state.sum[r]};
      REQUIRE(row.fully_masked() == (sum == 0));
      const double tolerance = sizeof(R) == 4 ? 2e-5 : 1e-13;
      if (sum > 0)
        CHECK(std::abs(static_cast<double>(row.lse()) - (max + std::log(sum))) < tolerance);
      for (Index d = 0; d < 10; ++d) {
        const R x = state.acc.at(r, d);
        if (sum == 0) {
          CHECK(x == R(0));
        } else {
          CHECK(std::abs(static_cast<double>(x / row.sum) -
                         out[static_cast<std::size_t>(d)] / sum) < tolerance);
        }
      }
    }
    CHECK(states.first.acc.at(0, 0) == R(-7));
  }
}

namespace {

// Lk equal keys of 8 numbers, and values that float cannot add up exactly.
struct EqualKeys {
  Tensor2<float> key{1, 8}, value{1, 8};
  EqualKeys() {
    for (Index d = 0; d < 8; ++d) {
      key(0, d) = 0.1F * static_cast<float>(d);
      value(0, d) = 1 / (3 + static_cast<float>(d));
    }
  }
  // The largest relative error of out, which must be the value.
  double error(Index Lq, Index Lk) const {
    const auto repeated = [](const Tensor2<float>& x, Index rows) {
      return view(x.data(), {1, 1, rows, 8}, {0, 0, 0, 1});
    };
    const auto result = attention(repeated(key, Lq), repeated(key, Lk), repeated(value, Lk));
    double worst = 0;
    for (Index i = 0; i < Lq; ++i) {
      for (Index d = 0; d < 8; ++d) {
        const double x = static_cast<double>(result.out(0, 0, i, d));
        worst = std::max(worst, std::abs(x / static_cast<double>(value(0, d)) - 1));
      }
    }
    return worst;
  }
};

}  // namespace

// One chain of sums over 2^22 keys was off by 4.6 %.
TEST_CASE("the error of many equal keys is that of a split, and of a merge a level of the tree") {
  const EqualKeys keys;
  const double u = test::unit_roundoff<float>();
  for (const Index Lq : {1, 17}) {
    const double split = keys.error(Lq, 2048);
    CAPTURE(Lq, split);
    CHECK(split <= 2048 * u);
    CHECK(keys.error(Lq, (Index{1} << 22) - 12345) <= split + 11 * 2 * u);
  }
}

}  // namespace heed
