// qk, pv and pv_masked of every table against sums in double, in guarded memory of
// exact size: over lengths, head sizes, holes. Memory that no kernel may read is NaN.
#include "simd/tables.hpp"
#include "simd/tile_problem.hpp"
#include "support/catch.hpp"

namespace heed::test {
namespace {

// The error that any order of summing `terms` products may have.
template <class R>
double bound(Index terms, double magnitude) {
  return static_cast<double>(terms + 2) * roundoff<R> * magnitude;
}

// The largest error of a score over its bound; infinite where a dead tile was written.
template <class R>
double worst_of_dots(const TileProblem<R>& problem) {
  double worst = 0;
  for (int query = 0; query < problem.queries; ++query) {
    for (int key = 0; key < problem.panels * problem.tile_shape.nr; ++key) {
      const R found = problem.score(query, key);
      if (!problem.is_live(query, key)) {
        if (!same_bits(found, poison<R>)) return std::numeric_limits<double>::infinity();
        continue;
      }
      if (key >= problem.size.keys) continue;  // whatever it was, or a product with zeros
      double exact = 0;
      double magnitude = 0;
      for (Index d = 0; d < problem.size.D; ++d) {
        const double term = double{problem.q_at(query, d)} * double{problem.kt_at(d, key)};
        exact += term;
        magnitude += std::abs(term);
      }
      const double error = std::abs(double{found} - exact);
      const double allowed = bound<R>(problem.size.D, magnitude);
      if (!(error <= allowed)) worst = std::max(worst, is_nan(error) ? 1e300 : error / allowed);
    }
  }
  return worst;
}

// The same of a sum of values. `before` is what was summed earlier.
template <class R>
double worst_of_accumulate(const TileProblem<R>& problem, const std::vector<R>& before) {
  double worst = 0;
  for (int query = 0; query < problem.queries; ++query) {
    for (Index d = 0; d < problem.columns; ++d) {
      const R& found = problem.acc_at(query, d);
      double exact = double{before[static_cast<std::size_t>(&found - problem.acc.data())]};
      double magnitude = std::abs(exact);
      for (int key = 0; key < problem.size.keys; ++key) {
        if (!problem.is_live(query, key)) continue;
        const double term = double{problem.score(query, key)} * double{problem.v_at(key, d)};
        exact += term;
        magnitude += std::abs(term);
      }
      const double error = std::abs(double{found} - exact);
      const double allowed = bound<R>(problem.size.keys + 1, magnitude);
      if (!(error <= allowed)) worst = std::max(worst, is_nan(error) ? 1e300 : error / allowed);
    }
  }
  return worst;
}

template <class R>
std::vector<R> copy_of(const Guarded<R>& memory) {
  return {memory.begin(), memory.end()};
}

// f(table, problem) for lengths × dimensions × sides; row tiles and holes take turns.
template <class R, class F>
void for_each_problem(F&& f) {
  for (const Table<R>& table : tables<R>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    int turn = 0;
    for (const int keys : sizes(tile_shape)) {
      for (const int D : sizes(tile_shape)) {
        for (const Side side : both_sides) {
          const TileSizes size{1 + turn % 3, keys, D, D, turn % 4 * 5};
          CAPTURE(table.name, keys, D, size.m_tiles, turn % 6);
          TileProblem<R> problem(tile_shape, size, side);
          problem.kill(every_pattern[turn++ % 6]);
          f(*table.kernels, problem);
        }
      }
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("dots: every live score, no other", "", float, double) {
  for_each_problem<TestType>([](const auto& kernels, auto& problem) {
    problem.fill_operands(Numbers(1));
    problem.qk(kernels.gemm);
    REQUIRE(worst_of_dots(problem) == 0);
  });
}

TEMPLATE_TEST_CASE("accumulate: adds what live weights say, reads nothing else", "", float,
                   double) {
  for_each_problem<TestType>([](const auto& kernels, auto& problem) {
    problem.fill_weights(Numbers(2));
    const auto before = copy_of(problem.acc);
    problem.pv(kernels.gemm);
    REQUIRE(worst_of_accumulate(problem, before) == 0);
  });
}

// The products of gradients pᵀ·dO and dSᵀ·q: keys are the rows of the sums.
TEMPLATE_TEST_CASE("pv_transposed: adds what live weights say, reads nothing else", "", float,
                   double) {
  using R = TestType;
  for (const Table<R>& table : tables<R>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    int turn = 0;
    for (const int keys : sizes(tile_shape)) {
      for (const int Dv : {1, tile_shape.vl + 1, 2 * tile_shape.nr - 1}) {
        const Side side = both_sides[turn % 2];
        const int missing = turn % tile_shape.mr;
        CAPTURE(table.name, keys, Dv, missing, turn % 6);
        TileProblem<R> problem(tile_shape, {1 + turn % 3, keys, 1, Dv, 0, missing}, side);
        problem.kill(every_pattern[turn++ % 6]);
        problem.fill_weights(Numbers(21));
        const simd::ScoreTiles<R> p = problem.tiles();
        for (int query = p.rows; query < problem.queries; ++query) {
          for (int key = 0; key < keys; ++key) problem.score(query, key) = poison<R>;
        }
        const Guarded<R> b_memory(p.rows * problem.columns, side, R(0));
        const Guarded<R> sums(Index{p.panels} * tile_shape.nr * problem.columns, side, R(0));
        const simd::PackedB<R> b{b_memory.data(), p.rows, problem.columns, tile_shape};
        const simd::Accumulator<R> c{sums.data(), problem.columns, table.gradients->sums};
        Numbers numbers(22);
        for (R& x : b_memory) x = static_cast<R>(numbers.next());
        for (R& x : sums) x = static_cast<R>(numbers.next());
        const std::vector<R> before = copy_of(sums);
        table.gradients->pv_transposed(p, b, c);
        double worst = 0;
        for (int key = 0; key < keys; ++key) {
          for (Index d = 0; d < problem.columns; ++d) {
            double exact = double{before[static_cast<std::size_t>(&c.at(key, d) - c.data)]};
            double magnitude = std::abs(exact);
            for (int query = 0; query < p.rows; ++query) {
              if (!problem.is_live(query, key)) continue;
              const double term = double{problem.score(query, key)} * double{b.at(query, d)};
              exact += term;
              magnitude += std::abs(term);
            }
            const double error = std::abs(double{c.at(key, d)} - exact);
            if (!(error <= bound<R>(p.rows + 1, magnitude))) {
              worst = std::max(worst, is_nan(error) ? 1e300 : error);
            }
          }
        }
        REQUIRE(worst == 0);
      }
    }
  }
}

TEMPLATE_TEST_CASE("store_rows of gradients: rows of sums, rounded once", "", float, double) {
  using R = TestType;
  for (const Table<R>& table : tables<R>()) {
    const simd::TileShape& shape = table.gradients->sums;
    const Index keys = 2 * shape.mr + 1, Dv = shape.nr + 3, columns = shape.columns(Dv);
    CAPTURE(table.name);
    const Guarded<R> sums(simd::Accumulator<R>::size(shape, keys, columns), Side::behind, R(0));
    Numbers numbers(23);
    for (R& x : sums) x = static_cast<R>(numbers.next());
    const simd::Accumulator<const R> c{sums.data(), columns, shape};
    const std::vector<R> factor(static_cast<std::size_t>(keys), R(0.5));
    std::vector<R> out(static_cast<std::size_t>(keys * Dv));
    REQUIRE(table.gradients->store_rows(c, 0, factor.data(), {out.data(), {keys, Dv}, {Dv, 1}}));
    for (Index at = 0; at < keys * Dv; ++at) {
      REQUIRE(out[static_cast<std::size_t>(at)] == c.at(at / Dv, at % Dv) / 2);
    }
  }
}

// So a NaN somewhere in a block changes no bit of the rows that do not see it.
TEMPLATE_TEST_CASE("pv_masked: the bits of accumulate", "", float, double) {
  for_each_problem<TestType>([](const auto& kernels, auto& problem) {
    problem.fill_weights(Numbers(3));
    const auto before = copy_of(problem.acc);
    problem.pv(kernels.gemm);
    const auto expected = copy_of(problem.acc);
    std::copy(before.begin(), before.end(), problem.acc.begin());
    const Guarded<std::uint8_t> unmasked(problem.scores.size(), Side::behind, 1);
    problem.pv_masked(kernels.gemm, unmasked.data());
    REQUIRE(all_same_bits(problem.acc.data(), expected.data(), problem.acc.size()));
  });
}

TEMPLATE_TEST_CASE("pv_masked: what a row does not see is not read", "", float, double) {
  for_each_problem<TestType>([](const auto& kernels, auto& problem) {
    problem.fill_weights(Numbers(4));
    const Guarded<std::uint8_t> unmasked(problem.scores.size(), Side::behind, 1);
    for (int query = 0; query < problem.queries; ++query) {
      for (int key = 0; key < problem.size.keys; ++key) {
        if ((query * 7 + key) % 3 == 0) unmasked[problem.score_index(query, key)] = 0;
      }
    }
    // Weights 0 for the sum that is expected, then NaN for the one that is found.
    const auto unseen = [&](TestType weight) {
      for (int query = 0; query < problem.queries; ++query) {
        for (int key = 0; key < problem.size.keys; ++key) {
          const Index at = problem.score_index(query, key);
          if (problem.is_live(query, key) && unmasked[at] == 0) problem.scores[at] = weight;
        }
      }
    };
    const auto before = copy_of(problem.acc);
    unseen(poison<TestType>);
    problem.pv_masked(kernels.gemm, unmasked.data());
    unseen(TestType(0));
    REQUIRE(worst_of_accumulate(problem, before) == 0);
  });
}

TEMPLATE_TEST_CASE("a score has the same bits in every tile_shape and m_tile", "", float, double) {
  for (const Table<TestType>& table : tables<TestType>()) {
    CAPTURE(table.name);
    for (const int D : sizes(table.kernels->tile_shape)) {
      TileProblem<TestType> problem(table.kernels->tile_shape,
                                    {3, 2 * table.kernels->tile_shape.nr + 1, D}, Side::behind);
      Numbers numbers(5);
      for (Index d = 0; d < D; ++d) {
        const auto a = static_cast<TestType>(numbers.next());
        const auto b = static_cast<TestType>(numbers.next());
        for (int query = 0; query < problem.queries; ++query) problem.q_at(query, d) = a;
        for (int key = 0; key < problem.panels * problem.tile_shape.nr; ++key) {
          problem.kt_at(d, key) = b;
        }
      }
      problem.qk(table.kernels->gemm);
      for (int query = 0; query < problem.queries; ++query) {
        for (int key = 0; key < problem.size.keys; ++key) {
          REQUIRE(same_bits(problem.score(query, key), problem.scores[0]));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("a sum has the same bits in every row, m_tile and column", "", float, double) {
  for (const Table<TestType>& table : tables<TestType>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    // Keys of which some tiles are dead in one problem and have a weight of 0 in the other.
    const int keys = 3 * tile_shape.nr + 1;
    TestType first{};
    for (Index Dv = 1; Dv <= 2 * tile_shape.nr; Dv += tile_shape.vl) {
      for (const bool holes : {false, true}) {
        CAPTURE(table.name, Dv, holes);
        TileProblem<TestType> problem(tile_shape, {2, keys, 1, Dv}, Side::behind);
        if (holes) problem.kill(Cells::first_dead);
        Numbers numbers(6);
        std::fill(problem.acc.begin(), problem.acc.end(), TestType(0));
        for (int key = 0; key < keys; ++key) {
          const auto weight = static_cast<TestType>(numbers.next() + 1);
          const auto value = static_cast<TestType>(numbers.next());
          for (int query = 0; query < problem.queries; ++query) {
            if (problem.is_live(query, key)) {
              problem.score(query, key) = key < tile_shape.nr ? TestType(0) : weight;
            }
          }
          for (Index d = 0; d < problem.columns; ++d) problem.v_at(key, d) = value;
        }
        problem.pv(table.kernels->gemm);
        if (Dv == 1 && !holes) first = problem.acc[0];
        for (const TestType sum : problem.acc) REQUIRE(same_bits(sum, first));
      }
    }
  }
}

TEMPLATE_TEST_CASE("the products do not care where their memory starts", "", float, double) {
  for (const Table<TestType>& table : tables<TestType>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    for (Index shift = 0; shift < 64; ++shift) {
      for (const Side side : both_sides) {
        CAPTURE(table.name, shift);
        TileProblem<TestType> problem(tile_shape, {2, tile_shape.nr + 3, 5, tile_shape.nr + 1},
                                      side, shift);
        problem.fill_operands(Numbers(7));
        problem.qk(table.kernels->gemm);
        REQUIRE(worst_of_dots(problem) == 0);
        problem.fill_weights(Numbers(8));
        const auto before = copy_of(problem.acc);
        problem.pv(table.kernels->gemm);
        REQUIRE(worst_of_accumulate(problem, before) == 0);
      }
    }
  }
}

}  // namespace heed::test
