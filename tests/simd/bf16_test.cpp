// The kernels that multiply pairs of bfloat16, as the tensors hold them or as parts of wider
// numbers, against sums in double: packed from every layout into guarded memory of exact size, over
// lengths and head sizes, even and odd.
#include "heed/core/eigen.hpp"
#include "simd/strided.hpp"
#include "simd/tables.hpp"
#include "simd/tile_problem.hpp"
#include "support/catch.hpp"

namespace heed::test {
namespace {

constexpr float scale = 0.125F;

// Three row tiles of queries against `keys` keys, packed as flash packs them.
template <class T>
struct PairProblem {
  static constexpr int m_tiles = 3;  // a pair and a single one
  simd::TileShape tile_shape;
  const simd::PackedKernels<T>& kernels;
  int keys, panels, queries;
  Index D, columns, capacity;
  Strided<T> x, k, v;
  Guarded<float> q, kt, values, scores, acc, max, sum, weights;
  Guarded<std::uint8_t> live, unmasked;

  PairProblem(const simd::PackedKernels<T>& table, int key_count, int dimension, Layout layout,
              Side side)
      : tile_shape(table.tile_shape),
        kernels(table),
        keys(key_count),
        panels(static_cast<int>(tile_shape.panels(keys))),
        queries(m_tiles * tile_shape.mr),
        D(dimension),
        columns(tile_shape.columns(D)),
        capacity(Index{panels} * tile_shape.nr),
        x(queries, D, layout, side),
        k(keys, D, layout, side),
        v(keys, D, layout, side),
        q(queries * tile_shape.packed_k(D), side, poison<float>),
        kt(tile_shape.packed_k(D) * capacity, side, poison<float>),
        values(columns * tile_shape.packed_k(capacity), side, poison<float>),
        scores(queries * capacity, side, poison<float>),
        acc(queries * columns, side, poison<float>),
        max(queries, side, 0),
        sum(queries, side, 0),
        weights(tile_shape.packed_p, side, poison<float>),
        live(Index{m_tiles} * panels, side, 1),
        unmasked(queries * capacity, side, 1) {
    x.fill(1), k.fill(2), v.fill(3);
  }

  simd::PackedA<float> packed_q() const {
    return {q.data(), D, tile_shape, kernels.folds_scale ? 1 : scale};
  }
  simd::PackedB<float> packed_kt() const { return {kt.data(), D, capacity, tile_shape}; }
  simd::PackedB<float> packed_v() const { return {values.data(), capacity, columns, tile_shape}; }
  simd::ScoreTiles<float> tiles() const {
    auto tiles = simd::ScoreTiles<float>::of(tile_shape, scores.data(), live.data(), queries, keys);
    tiles.packed_p = weights.data();
    return tiles;
  }
  simd::RowState<float> state() const {
    return {max.data(), sum.data(), {acc.data(), columns, tile_shape}};
  }
  bool pack_rows_and_keys() const {
    const bool sure = kernels.pack_a(x.cview(), kernels.folds_scale ? scale : 1, packed_q());
    return kernels.pack_b_transposed(k.cview(), packed_kt()) && sure;
  }
  bool pack_b() const { return kernels.pack_b(v.cview(), packed_v()); }
  void qk() const { kernels.gemm.qk(packed_q(), packed_kt(), tiles()); }
  void pv() const { kernels.gemm.pv(tiles(), packed_v(), state().acc); }
  void pv_masked() const {
    kernels.gemm.pv_masked(tiles(), packed_v(), unmasked.data(), state().acc);
  }
  Index score_at(int query, int key) const {
    const Index at = Index{query / tile_shape.mr} * panels + key / tile_shape.nr;
    return (at * tile_shape.mr + query % tile_shape.mr) * tile_shape.nr + key % tile_shape.nr;
  }
  bool is_live(int query, int key) const {
    return live[Index{query / tile_shape.mr} * panels + key / tile_shape.nr] != 0;
  }
  float& acc_at(int query, Index column) const { return state().acc.at(query, column); }

  // Weights of live tiles and what was summed before; dead tiles stay poisoned.
  void fill_weights() {
    Numbers numbers(4);
    for (int query = 0; query < queries; ++query) {
      for (int key = 0; key < panels * tile_shape.nr; ++key) {
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

// Sizes that end within a register, a pair, a step of the sums; more keys than weights are split at
// once.
std::vector<int> pair_sizes(const simd::TileShape& tile_shape) {
  std::vector<int> all = sizes(tile_shape);
  if (tile_shape.k_multiple > 1) all.push_back(9 * tile_shape.nr + 5);
  return all;
}

// f(problem) over lengths × dimensions; layouts, sides and dead tiles take turns.
template <class T, class F>
void for_each_problem(F&& f) {
  for (const Table<T>& table : packed_tables<T>()) {
    std::size_t turn = 0;
    for (const int keys : pair_sizes(table.kernels->tile_shape)) {
      for (const int D : sizes(table.kernels->tile_shape)) {
        const Layout layout = readable[turn % std::size(readable)];
        const Side side = both_sides[turn % 2];
        CAPTURE(table.name, keys, D, static_cast<int>(layout));
        PairProblem<T> problem(*table.kernels, keys, D, layout, side);
        if (turn % 3 == 2) problem.live[problem.panels - 1] = 0;
        if (turn++ % 4 == 3) problem.live[problem.panels] = 0;
        f(problem);
      }
    }
  }
}

template <class T>
bool dots_are_right(const PairProblem<T>& problem) {
  for (int query = 0; query < problem.queries; ++query) {
    for (int key = 0; key < problem.panels * problem.tile_shape.nr; ++key) {
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

// As the products take a weight.
template <class T>
double taken(const PairProblem<T>& problem, float weight) {
  return problem.kernels.folds_scale ? double{weight}
                                     : static_cast<double>(static_cast<BFloat16>(weight));
}

template <class T>
bool sums_are_right(const PairProblem<T>& problem, const std::vector<float>& weights,
                    const std::vector<float>& before) {
  for (int query = 0; query < problem.queries; ++query) {
    for (Index d = 0; d < problem.columns; ++d) {
      const float& found = problem.acc_at(query, d);
      double exact = double{before[static_cast<std::size_t>(&found - problem.acc.data())]};
      double magnitude = std::abs(exact);
      for (int key = 0; key < problem.keys && d < problem.D; ++key) {
        if (!problem.is_live(query, key)) continue;
        const float weight = weights[static_cast<std::size_t>(problem.score_at(query, key))];
        const double term = taken(problem, weight) * static_cast<double>(problem.v.view()(key, d));
        exact += term;
        magnitude += std::abs(term);
      }
      const double allowed = static_cast<double>(problem.keys + 3) * roundoff<float> * magnitude;
      if (!(std::abs(double{found} - exact) <= allowed)) return false;
    }
  }
  return true;
}

// acc · sum is the softmax's average of the values.
template <class T>
bool results_are_right(const PairProblem<T>& problem) {
  const double rounding = problem.kernels.folds_scale ? roundoff<float> : 0x1p-8;  // of weights
  for (int query = 0; query < problem.queries; ++query) {
    std::vector<double> weights;
    double sum = 0;
    double largest = 1;  // score
    for (int key = 0; key < problem.keys; ++key) {
      double score = 0;
      for (Index d = 0; d < problem.D; ++d) {
        score += double{scale} * static_cast<double>(problem.x.view()(query, d)) *
                 static_cast<double>(problem.k.view()(key, d));
      }
      largest = std::max(largest, std::abs(score));
      weights.push_back(std::exp(score));
      sum += weights.back();
    }
    for (Index d = 0; d < problem.D; ++d) {
      double exact = 0;
      double magnitude = 0;
      for (int key = 0; key < problem.keys; ++key) {
        const double value = static_cast<double>(problem.v.view()(key, d));
        exact += weights[static_cast<std::size_t>(key)] / sum * value;
        magnitude += weights[static_cast<std::size_t>(key)] / sum * std::abs(value);
      }
      const double found = double{problem.acc_at(query, d)} * double{problem.sum[query]};
      const double terms = static_cast<double>(problem.D) * largest + problem.keys + 8;
      const double allowed = (terms * roundoff<float> + rounding) * magnitude;
      if (!(std::abs(found - exact) <= 2 * allowed)) return false;
    }
  }
  return true;
}

// Gradients' sums over queries of a problem, the last `missing` of which are not there.
struct TransposedProblem {
  const simd::GradientKernels<BFloat16>& kernels;
  const PairProblem<BFloat16>& problem;
  simd::ScoreTiles<float> a;
  Guarded<float> rows, sums;
  std::vector<float> before;

  TransposedProblem(const simd::GradientKernels<BFloat16>& gradients,
                    const PairProblem<BFloat16>& of, int missing, Side side)
      : kernels(gradients),
        problem(of),
        a(simd::ScoreTiles<float>::of(of.tile_shape, of.scores.data(), of.live.data(),
                                      of.queries - missing, of.keys)),
        rows(simd::PackedB<float>::size(of.tile_shape, a.rows, of.columns), side, poison<float>),
        sums(of.capacity * of.columns, side, 0.0F) {
    for (int query = a.rows; query < of.queries; ++query) {
      for (int key = 0; key < of.keys; ++key) a.at(query, key) = poison<float>;
    }
    Numbers numbers(22);
    for (float& x : sums) x = static_cast<float>(numbers.next());
    before = copy_of(sums);
  }

  simd::PackedB<float> b() const {
    return {rows.data(), a.rows, problem.columns, problem.tile_shape};
  }
  simd::Accumulator<float> c() const { return {sums.data(), problem.columns, kernels.sums}; }
  bool pack() const { return problem.kernels.pack_b(slice(problem.x.cview(), 0, a.rows), b()); }
  void multiply() const { kernels.pv_transposed(a, b(), c()); }
  void multiply_masked() const {
    restore(before, sums);
    kernels.pv_transposed_masked(a, b(), problem.unmasked.data(), c());
  }
  // True where c(key, d) is what it was and the weighted sum of the live queries.
  bool is_right(int key, Index d) const {
    double exact = double{before[static_cast<std::size_t>(&c().at(key, d) - sums.data())]};
    double magnitude = std::abs(exact);
    for (int query = 0; query < a.rows && d < problem.D; ++query) {
      if (!problem.is_live(query, key)) continue;
      const double term =
          taken(problem, a.at(query, key)) * static_cast<double>(problem.x.view()(query, d));
      exact += term;
      magnitude += std::abs(term);
    }
    return std::abs(double{c().at(key, d)} - exact) <=
           static_cast<double>(a.rows + 3) * roundoff<float> * magnitude;
  }
};

// f(transposed problem) with the queries of a whole and of a part of a row tile, odd and even.
template <class F>
void for_each_transposed(F&& f) {
  int turn = 0;
  for (const Table<BFloat16>& table : paired_tables()) {
    for (const int keys : sizes(table.kernels->tile_shape)) {
      for (const int D : {1, 33, 64}) {
        const Side side = both_sides[turn % 2];
        CAPTURE(table.name, keys, D, turn);
        PairProblem<BFloat16> problem(*table.kernels, keys, D, readable[turn % 4], side);
        problem.live[turn % problem.live.size()] = turn % 3 == 0;
        problem.fill_weights();
        TransposedProblem transposed(*table.gradients, problem, turn++ % 7, side);
        f(problem, transposed);
      }
    }
  }
}

// A NaN whose every bit counts, or -inf.
template <class T>
T not_finite(bool nan) {
  if constexpr (Element<T>::format == Format::bfloat16) {
    return Eigen::bfloat16_impl::raw_uint16_to_bfloat16(nan ? 0xffff : 0xff80);
  } else if constexpr (Element<T>::format == Format::binary16) {
    return Eigen::half_impl::raw_uint16_to_half(nan ? 0xffff : 0xfc00);
  } else {
    return std::bit_cast<float>(nan ? 0xffffffffu : 0xff800000u);
  }
}

// The score of one query with one key, of a single element each: q·k·scale.
struct Score {
  float value;
  bool sure;
};

template <class T>
Score score_of(const Table<T>& table, T q, T k) {
  PairProblem<T> problem(*table.kernels, 1, 1, Layout::packed, Side::behind);
  problem.x.view()(0, 0) = q;
  problem.k.view()(0, 0) = k;
  const bool sure = problem.pack_rows_and_keys();
  problem.qk();
  return {problem.scores[problem.score_at(0, 0)], sure};
}

}  // namespace

TEMPLATE_TEST_CASE("pairs: scores of packed rows and keys", "", BFloat16, Half, float) {
  for_each_problem<TestType>([](PairProblem<TestType>& problem) {
    problem.pack_rows_and_keys();
    problem.qk();
    REQUIRE(dots_are_right(problem));
  });
}

TEMPLATE_TEST_CASE("pairs: weighted values, the weights rounded to bfloat16", "", BFloat16, Half,
                   float) {
  for_each_problem<TestType>([](PairProblem<TestType>& problem) {
    REQUIRE(problem.pack_b());
    problem.fill_weights();
    const auto weights = copy_of(problem.scores);
    const auto before = copy_of(problem.acc);
    problem.pv();
    REQUIRE(sums_are_right(problem, weights, before));
  });
}

TEMPLATE_TEST_CASE("pairs: pv_masked has the bits of accumulate", "", BFloat16, Half, float) {
  for_each_problem<TestType>([](PairProblem<TestType>& problem) {
    problem.pack_b();
    problem.fill_weights();
    const auto weights = copy_of(problem.scores);
    const auto before = copy_of(problem.acc);
    problem.pv();
    const auto expected = copy_of(problem.acc);
    restore(before, problem.acc);
    restore(weights, problem.scores);
    problem.pv_masked();
    REQUIRE(all_same_bits(problem.acc.data(), expected.data(), problem.acc.size()));
  });
}

// One value is NaN or infinite, and every second query sees its key.
TEMPLATE_TEST_CASE("pairs: what is not finite reaches those who see it, and nobody else", "",
                   BFloat16, Half, float) {
  for_each_problem<TestType>([](PairProblem<TestType>& problem) {
    const int key = problem.keys / 2;
    const Index column = problem.D / 2;
    const auto weigh = [&](TestType value) {
      problem.v.view()(key, column) = value;
      const bool finite = problem.pack_b();
      problem.fill_weights();
      for (int query = 0; query < problem.queries; query += 2) {
        const Index at = problem.score_at(query, key);
        if (problem.is_live(query, key)) problem.scores[at] = 0;
        problem.unmasked[at] = 0;
      }
      return finite;
    };
    REQUIRE(weigh(static_cast<TestType>(0.5F)));
    problem.pv();
    const auto expected = copy_of(problem.acc);
    REQUIRE_FALSE(weigh(not_finite<TestType>(problem.D % 2 == 0)));
    problem.pv_masked();
    for (int query = 0; query < problem.queries; ++query) {
      for (Index d = 0; d < problem.columns; ++d) {
        const Index at = &problem.acc_at(query, d) - problem.acc.data();
        // With a stride of 0 other keys or columns have the bad value too.
        bool reached = false;
        for (int j = 0; j < problem.keys && d < problem.D; ++j) {
          const bool sees =
              problem.is_live(query, j) && problem.unmasked[problem.score_at(query, j)] != 0;
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

TEST_CASE("pairs: pv_transposed adds what live weights say, reads nothing else") {
  for_each_transposed([](const auto& problem, const TransposedProblem& transposed) {
    REQUIRE(transposed.pack());
    transposed.multiply();
    bool right = true;
    for (int key = 0; key < problem.keys; ++key) {
      for (Index d = 0; d < problem.columns; ++d) right = right && transposed.is_right(key, d);
    }
    REQUIRE(right);
    const auto expected = copy_of(transposed.sums);
    transposed.multiply_masked();
    const Index size = problem.keys / 8 * 8 * problem.columns;  // of the rows that are whole tiles
    REQUIRE(all_same_bits(transposed.sums.data(), expected.data(), size));
  });
}

// One query is NaN or infinite in a column, and every second key is not seen by it.
TEST_CASE("pairs: a query that is not finite reaches the keys that see it, and no others") {
  for_each_transposed([](auto& problem, const TransposedProblem& transposed) {
    const int query = transposed.a.rows / 2;
    const Index column = problem.D / 2;
    for (int key = 0; key < problem.keys; key += 2) {
      const Index at = problem.score_at(query, key);
      if (problem.is_live(query, key)) problem.scores[at] = 0;
      problem.unmasked[at] = 0;
    }
    problem.x.view()(query, column) = static_cast<BFloat16>(0.5F);
    transposed.pack();
    transposed.multiply();
    const auto expected = copy_of(transposed.sums);
    problem.x.view()(query, column) = not_finite<BFloat16>(problem.D % 2 == 0);
    REQUIRE_FALSE(transposed.pack());
    transposed.multiply_masked();
    for (int key = 0; key < problem.keys; ++key) {
      for (Index d = 0; d < problem.columns; ++d) {
        const float found = transposed.c().at(key, d);
        // With a stride of 0 other queries or columns have the bad value too.
        bool reached = false;
        for (int i = 0; i < transposed.a.rows && d < problem.D; ++i) {
          const bool sees =
              problem.is_live(i, key) && problem.unmasked[problem.score_at(i, key)] != 0;
          reached |= sees && !is_finite(static_cast<float>(problem.x.view()(i, d)));
        }
        const Index at = &transposed.c().at(key, d) - transposed.sums.data();
        REQUIRE((reached ? !is_finite(found)
                         : same_bits(found, expected[static_cast<std::size_t>(at)])));
      }
    }
  });
}

// Values of 1: each sum is that of a row of weights, not of the rounded ones.
TEST_CASE("pairs: pv of gradients rounds weights and keeps the sum of each row") {
  for_each_transposed([](auto& problem, const TransposedProblem& transposed) {
    for (int key = 0; key < problem.keys; ++key) {
      for (Index d = 0; d < problem.D; ++d) problem.v.view()(key, d) = static_cast<BFloat16>(1.0F);
      for (int query = key % 3; query < transposed.a.rows; query += 3 + key) {
        if (problem.is_live(query, key)) problem.scores[problem.score_at(query, key)] = 0;
      }
    }
    REQUIRE(problem.pack_b());
    const auto weights = copy_of(problem.scores);
    const auto before = copy_of(problem.acc);
    transposed.kernels.pv(transposed.a, problem.packed_v(), problem.state().acc);
    bool right = true;
    for (int query = 0; query < transposed.a.rows; ++query) {
      double sum = 0, magnitude = 0;
      for (int key = 0; key < problem.keys; ++key) {
        if (!problem.is_live(query, key)) continue;
        const double weight = weights[static_cast<std::size_t>(problem.score_at(query, key))];
        sum += weight;
        magnitude += std::abs(weight);
      }
      for (Index d = 0; d < problem.D; ++d) {
        const float& found = problem.acc_at(query, d);
        const double start = before[static_cast<std::size_t>(&found - problem.acc.data())];
        right =
            right && std::abs(double{found} - start - sum) <=
                         (2 * problem.keys + 8) * roundoff<float> * (magnitude + std::abs(start));
      }
    }
    REQUIRE(right);
  });
}

// One value is NaN or infinite, and every second query does not see its key.
TEST_CASE("pairs: pv_masked of gradients has the bits of pv for those who do not see it") {
  for_each_transposed([](auto& problem, const TransposedProblem& transposed) {
    const int key = problem.keys / 2;
    for (int query = 0; query < transposed.a.rows; query += 2) {
      const Index at = problem.score_at(query, key);
      if (problem.is_live(query, key)) problem.scores[at] = 0;
      problem.unmasked[at] = 0;
    }
    const auto weights = copy_of(problem.scores);
    const auto before = copy_of(problem.acc);
    for (int j = 0; j < problem.keys; ++j) {
      for (Index d = 0; d < problem.D; ++d) problem.v.view()(j, d) = static_cast<BFloat16>(0.5F);
    }
    problem.pack_b();
    transposed.kernels.pv(transposed.a, problem.packed_v(), problem.state().acc);
    const auto expected = copy_of(problem.acc);
    restore(before, problem.acc);
    restore(weights, problem.scores);
    problem.v.view()(key, 0) = not_finite<BFloat16>(problem.D % 2 == 0);
    problem.pack_b();
    transposed.kernels.pv_masked(transposed.a, problem.packed_v(), problem.unmasked.data(),
                                 problem.state().acc);
    for (int query = 0; query < transposed.a.rows; ++query) {
      for (Index d = 0; d < problem.columns; ++d) {
        bool reached = false;
        for (int j = 0; j < problem.keys && d < problem.D; ++j) {
          const bool sees =
              problem.is_live(query, j) && problem.unmasked[problem.score_at(query, j)] != 0;
          reached |= sees && !is_finite(static_cast<float>(problem.v.view()(j, d)));
        }
        const float& found = problem.acc_at(query, d);
        const Index at = &found - problem.acc.data();
        REQUIRE((reached ? !is_finite(found)
                         : same_bits(found, expected[static_cast<std::size_t>(at)])));
      }
    }
  });
}

// Parts of what is infinite are 0, and 0·inf is NaN: then packing says so.
TEMPLATE_TEST_CASE("pairs: a score is not finite where a query or a key is not", "", BFloat16, Half,
                   float) {
  for (const Table<TestType>& table : packed_tables<TestType>()) {
    CAPTURE(table.name);
    const auto one = static_cast<TestType>(1);
    for (const bool nan : {true, false}) {
      const auto bad = not_finite<TestType>(nan);
      const Score of_query = score_of(table, bad, one);
      const Score of_key = score_of(table, one, bad);
      REQUIRE(!is_finite(of_query.value));
      REQUIRE(!is_finite(of_key.value));
      REQUIRE(of_query.sure == !table.kernels->folds_scale);
      REQUIRE(of_key.sure == !table.kernels->folds_scale);
      if (of_key.sure) REQUIRE(is_nan(of_key.value) == nan);
    }
    REQUIRE(score_of(table, one, one).sure);
  }
}

// The largest floats would be infinite if their first part were rounded up; the last part of small
// ones is below what is normal.
TEST_CASE("parts: floats of every size keep their bits") {
  for (const Table<float>& table : packed_tables<float>()) {
    for (const float q : {3.4028235e38F, 3.3961775e38F, 1e30F, 1.0F + 0x1p-23F, 0x1.fffffep-101F}) {
      for (const float factor : {1.0F, 0x1.555556p-1F, 0x1.234568p-3F}) {
        const float k = factor * std::max(1 / q, 0x1p-100F);  // parts below 2⁻¹²⁶ count as 0
        CAPTURE(table.name, q, k);
        const double exact = double{scale} * double{q} * double{k};
        REQUIRE(std::abs(double{score_of(table, q, k).value} - exact) <=
                2 * roundoff<float> * exact);
        REQUIRE(std::abs(double{score_of(table, -k, q).value} + exact) <=
                2 * roundoff<float> * exact);
      }
    }
  }
}

// From rows to results, as flash calls the kernels.
TEMPLATE_TEST_CASE("pairs: a whole strip", "", BFloat16, Half, float) {
  for_each_problem<TestType>([](PairProblem<TestType>& problem) {
    std::fill(problem.live.begin(), problem.live.end(), std::uint8_t{1});
    std::fill(problem.acc.begin(), problem.acc.end(), 0.0F);
    std::fill(problem.max.begin(), problem.max.end(), -std::numeric_limits<float>::max());
    problem.pack_rows_and_keys();
    problem.pack_b();
    problem.qk();
    for (int query = 0; query < problem.queries; ++query) {
      for (int key = problem.keys; key < problem.panels * problem.tile_shape.nr; ++key) {
        problem.scores[problem.score_at(query, key)] = mask_if(true, 0.0F);
      }
    }
    problem.kernels.softmax(problem.tiles(), problem.state());
    problem.pv();
    problem.kernels.finalize_rows(problem.max.data(), problem.sum.data(), problem.queries);
    REQUIRE(results_are_right(problem));
  });
}

}  // namespace heed::test
