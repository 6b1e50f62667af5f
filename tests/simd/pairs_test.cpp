// The kernels that multiply pairs of bfloat16, against sums in double: packed from every layout
// into guarded memory of exact size, over lengths and head sizes, even and odd.
#include "heed/core/eigen.hpp"
#include "simd/strided.hpp"
#include "simd/strip_problem.hpp"
#include "simd/tables.hpp"
#include "support/catch.hpp"

namespace heed::test {
namespace {

constexpr float scale = 0.125F;

// Two groups of queries against `keys` keys, packed as flash packs them.
struct PairProblem {
  simd::Geometry cell;
  const simd::Kernels<BFloat16>& kernels;
  int keys, panels, queries;
  Index D, columns, capacity;
  Strided<BFloat16> x, k, v;
  Guarded<float> q, kt, values, scores, acc, max, sum;
  Guarded<std::uint8_t> live, seen;

  PairProblem(const simd::Kernels<BFloat16>& table, int key_count, int dimension, Layout layout,
              Side side)
      : cell(table.geometry),
        kernels(table),
        keys(key_count),
        panels(static_cast<int>(cell.panels(keys))),
        queries(2 * cell.rows),
        D(dimension),
        columns(cell.columns(D)),
        capacity(Index{panels} * cell.panel),
        x(queries, D, layout, side),
        k(keys, D, layout, side),
        v(keys, D, layout, side),
        q(queries * cell.numbers(D), side, poison<float>),
        kt(cell.numbers(D) * capacity, side, poison<float>),
        values(columns * cell.numbers(capacity), side, poison<float>),
        scores(queries * capacity, side, poison<float>),
        acc(queries * columns, side, poison<float>),
        max(queries, side, 0),
        sum(queries, side, 0),
        live(Index{2} * panels, side, 1),
        seen(queries * capacity, side, 1) {
    x.fill(1), k.fill(2), v.fill(3);
  }

  simd::Strip<float> strip() const {
    return {queries,    2,          panels,     keys,          D,           columns,
            capacity,   q.data(),   kt.data(),  values.data(), live.data(), scores.data(),
            acc.data(), max.data(), sum.data(), scale};
  }
  bool pack_values() const { return kernels.pack_values(v.cview(), keys, capacity, values.data()); }
  Index score_at(int query, int key) const {
    const Index at = Index{query / cell.rows} * panels + key / cell.panel;
    return (at * cell.rows + query % cell.rows) * cell.panel + key % cell.panel;
  }
  bool is_live(int query, int key) const {
    return live[Index{query / cell.rows} * panels + key / cell.panel] != 0;
  }
  float& acc_at(int query, Index column) const { return acc[cell.place(query, column, columns)]; }

  // Weights of live cells and what was summed before; dead cells stay poisoned.
  void fill_weights() {
    Numbers numbers(4);
    for (int query = 0; query < queries; ++query) {
      for (int key = 0; key < panels * cell.panel; ++key) {
        if (!is_live(query, key)) continue;
        const auto weight = static_cast<float>(numbers.next() + 1);
        scores[score_at(query, key)] = key < keys ? weight : 0;
      }
      for (Index d = 0; d < columns; ++d) acc_at(query, d) = static_cast<float>(numbers.next());
    }
  }
};

std::vector<float> copy_of(const Guarded<float>& memory) { return {memory.begin(), memory.end()}; }

void restore(const std::vector<float>& from, const Guarded<float>& to) {
  std::copy(from.begin(), from.end(), to.begin());
}

// f(problem) over lengths × dimensions; layouts, sides and dead cells take turns.
template <class F>
void for_each_problem(F&& f) {
  for (const Table<BFloat16>& table : paired_tables()) {
    std::size_t turn = 0;
    for (const int keys : sizes(table.kernels->geometry)) {
      for (const int D : sizes(table.kernels->geometry)) {
        const Layout layout = readable[turn % std::size(readable)];
        const Side side = both_sides[turn % 2];
        CAPTURE(table.name, keys, D, static_cast<int>(layout));
        PairProblem problem(*table.kernels, keys, D, layout, side);
        if (turn++ % 3 == 2) problem.live[problem.panels - 1] = 0;
        f(problem);
      }
    }
  }
}

bool dots_are_right(const PairProblem& problem) {
  for (int query = 0; query < problem.queries; ++query) {
    for (int key = 0; key < problem.panels * problem.cell.panel; ++key) {
      const float found = problem.scores[problem.score_at(query, key)];
      double exact = 0;
      double magnitude = 0;
      if (key >= problem.keys && problem.is_live(query, key)) continue;
      for (Index d = 0; d < problem.D && key < problem.keys; ++d) {
        const double term = double{scale} * static_cast<double>(problem.x.view()(query, d)) *
                            static_cast<double>(problem.k.view()(key, d));
        exact += term;
        magnitude += std::abs(term);
      }
      const bool right = problem.is_live(query, key)
                             ? std::abs(double{found} - exact) <=
                                   static_cast<double>(problem.D + 2) * roundoff<float> * magnitude
                             : same_bits(found, poison<float>);
      if (!right) return false;
    }
  }
  return true;
}

bool sums_are_right(const PairProblem& problem, const std::vector<float>& weights,
                    const std::vector<float>& before) {
  for (int query = 0; query < problem.queries; ++query) {
    for (Index d = 0; d < problem.columns; ++d) {
      const float& found = problem.acc_at(query, d);
      double exact = double{before[static_cast<std::size_t>(&found - problem.acc.data())]};
      double magnitude = std::abs(exact);
      for (int key = 0; key < problem.keys && d < problem.D; ++key) {
        if (!problem.is_live(query, key)) continue;
        const float weight = weights[static_cast<std::size_t>(problem.score_at(query, key))];
        const double term = static_cast<double>(static_cast<BFloat16>(weight)) *
                            static_cast<double>(problem.v.view()(key, d));
        exact += term;
        magnitude += std::abs(term);
      }
      const double allowed = static_cast<double>(problem.keys + 3) * roundoff<float> * magnitude;
      if (!(std::abs(double{found} - exact) <= allowed)) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("pairs: scores of packed rows and keys") {
  for_each_problem([](PairProblem& problem) {
    problem.kernels.load_rows(problem.x.cview(), problem.queries, 1, problem.q.data());
    problem.kernels.pack_keys(problem.k.cview(), problem.keys, problem.kt.data());
    problem.kernels.dots(problem.strip());
    REQUIRE(dots_are_right(problem));
  });
}

TEST_CASE("pairs: weighted values, the weights rounded to bfloat16") {
  for_each_problem([](PairProblem& problem) {
    REQUIRE(problem.pack_values());
    problem.fill_weights();
    const auto weights = copy_of(problem.scores);
    const auto before = copy_of(problem.acc);
    problem.kernels.accumulate(problem.strip());
    REQUIRE(sums_are_right(problem, weights, before));
  });
}

TEST_CASE("pairs: accumulate_seen has the bits of accumulate") {
  for_each_problem([](PairProblem& problem) {
    problem.pack_values();
    problem.fill_weights();
    const auto weights = copy_of(problem.scores);
    const auto before = copy_of(problem.acc);
    problem.kernels.accumulate(problem.strip());
    const auto expected = copy_of(problem.acc);
    restore(before, problem.acc);
    restore(weights, problem.scores);
    problem.kernels.accumulate_seen(problem.strip(), problem.seen.data());
    REQUIRE(all_same_bits(problem.acc.data(), expected.data(), problem.acc.size()));
  });
}

// One value is NaN or infinite, and every second query sees its key.
TEST_CASE("pairs: what is not finite reaches those who see it, and nobody else") {
  for_each_problem([](PairProblem& problem) {
    const int key = problem.keys / 2;
    const Index column = problem.D / 2;
    const auto bad_bits = static_cast<std::uint16_t>(problem.D % 2 == 0 ? 0x7fc0 : 0xff80);
    const auto weigh = [&](auto value) {
      problem.v.view()(key, column) = value;
      const bool finite = problem.pack_values();
      problem.fill_weights();
      for (int query = 0; query < problem.queries; query += 2) {
        const Index at = problem.score_at(query, key);
        if (problem.is_live(query, key)) problem.scores[at] = 0;
        problem.seen[at] = 0;
      }
      return finite;
    };
    REQUIRE(weigh(static_cast<BFloat16>(0.5F)));
    problem.kernels.accumulate(problem.strip());
    const auto expected = copy_of(problem.acc);
    REQUIRE_FALSE(weigh(Eigen::bfloat16_impl::raw_uint16_to_bfloat16(bad_bits)));
    problem.kernels.accumulate_seen(problem.strip(), problem.seen.data());
    for (int query = 0; query < problem.queries; ++query) {
      for (Index d = 0; d < problem.columns; ++d) {
        const Index at = problem.cell.place(query, d, problem.columns);
        // With a stride of 0 other keys or columns have the bad value too.
        bool reached = false;
        for (int j = 0; j < problem.keys && d < problem.D; ++j) {
          const bool sees =
              problem.is_live(query, j) && problem.seen[problem.score_at(query, j)] != 0;
          reached |= sees && !is_finite(static_cast<float>(problem.v.view()(j, d)));
        }
        if (reached) {
          REQUIRE(!is_finite(problem.acc[at]));
        } else {
          REQUIRE(same_bits(problem.acc[at], expected[static_cast<std::size_t>(at)]));
        }
      }
    }
  });
}

}  // namespace heed::test
