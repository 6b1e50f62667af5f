// qk_unpacked, all_unmasked, pv_unpacked and all_finite of every table: the products of a few
// queries with keys and values where they lie, in guarded memory of exact size.
#include "heed/core/eigen.hpp"
#include "simd/strided.hpp"
#include "simd/tables.hpp"
#include "simd/tile_problem.hpp"
#include "support/catch.hpp"

namespace heed::test {
namespace {

constexpr Layout in_rows[] = {Layout::packed, Layout::gaps, Layout::rows_reversed,
                              Layout::same_rows};

// f(table, problem, x): x [keys, D] of T in every layout whose rows are contiguous.
template <class T, class F>
void for_each_problem(F&& f) {
  for (const Table<T>& table : tables<T>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    int turn = 0;
    for (const int keys : sizes(tile_shape)) {
      for (const int D : sizes(tile_shape)) {
        for (const Side side : both_sides) {
          const TileSizes size{1 + turn % 2, keys, D, D, 0, turn % tile_shape.mr};
          const Layout layout = in_rows[turn / 2 % 4];
          CAPTURE(table.name, keys, D, size.m_tiles, size.missing, static_cast<int>(layout));
          TileProblem<Accum<T>> problem(tile_shape, size, side);
          problem.kill(every_pattern[turn % 6]);
          Strided<T> x(keys, D, layout, side);
          f(table, problem, x.fill(1));
          ++turn;
        }
      }
    }
  }
}

// True where every score that the kernel owes is right and every other untouched.
template <class T, class R>
bool scores_right(const TileProblem<R>& problem, const View<const T, 2>& k) {
  const Index D = problem.size.D;
  for (int query = 0; query < problem.queries; ++query) {
    for (int key = 0; key < problem.panels * problem.tile_shape.nr; ++key) {
      const R found = problem.score(query, key);
      if (query >= problem.queries - problem.size.missing || key >= problem.size.keys ||
          !problem.is_live(query, key)) {
        if (!same_bits(found, poison<R>)) return false;
        continue;
      }
      double exact = 0;
      double magnitude = 0;
      for (Index d = 0; d < D; ++d) {
        const double term = double{problem.q_at(query, d)} * static_cast<double>(k(key, d));
        exact += term;
        magnitude += std::abs(term);
      }
      const double allowed = static_cast<double>(D + 2) * roundoff<R> * magnitude;
      if (!(std::abs(double{found} - exact) <= allowed)) return false;
    }
  }
  return true;
}

}  // namespace

TEMPLATE_TEST_CASE("qk_unpacked: every live score of a query, no other", "", float, double, Half,
                   BFloat16) {
  for_each_problem<TestType>([](const auto& table, auto& problem, const auto& k) {
    problem.fill_operands(Numbers(11));
    const Index real = (problem.queries - problem.size.missing) * problem.size.D;
    std::fill(problem.q.begin() + real, problem.q.end(), poison<Accum<TestType>>);
    table.unpacked->qk(problem.packed_q(), k.cview(), problem.tiles());
    REQUIRE(scores_right(problem, k.cview()));
  });
}

TEMPLATE_TEST_CASE("qk_unpacked: a score has the same bits for any number of queries and keys", "",
                   float, double, Half, BFloat16) {
  for (const Table<TestType>& table : tables<TestType>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    const int D = 3 * tile_shape.vl + 2;
    Accum<TestType> first{};
    for (int missing = 0; missing < tile_shape.mr; ++missing) {
      for (int keys = 1; keys <= tile_shape.nr; ++keys) {
        CAPTURE(table.name, missing, keys);
        TileProblem<Accum<TestType>> problem(tile_shape, {1, keys, D, 1, 0, missing}, Side::behind);
        for (Index d = 0; d < D; ++d) {
          for (int query = 0; query < tile_shape.mr; ++query) {
            problem.q_at(query, d) = static_cast<Accum<TestType>>(1.0 / static_cast<double>(d + 1));
          }
        }
        const Strided<TestType> k(keys, D, Layout::same_rows, Side::behind);
        for (Index d = 0; d < D; ++d)
          k.view()(0, d) = static_cast<TestType>(0.3F * static_cast<float>(d % 5 - 2));
        table.unpacked->qk(problem.packed_q(), k.cview(), problem.tiles());
        if (missing == 0 && keys == 1) first = problem.score(0, 0);
        for (int query = 0; query < tile_shape.mr - missing; ++query) {
          for (int key = 0; key < keys; ++key) {
            REQUIRE(same_bits(problem.score(query, key), first));
          }
        }
      }
    }
  }
}

// So a row has the same bits in prefill and in decoding where keys lie in panels.
TEMPLATE_TEST_CASE("qk_panels: the bits of qk, and no other score", "", float, double, Half,
                   BFloat16) {
  for_each_problem<TestType>([](const auto& table, auto& problem, const auto& k) {
    problem.fill_operands(Numbers(11));
    table.kernels->pack_b_transposed(k.cview(), problem.packed_kt());
    problem.qk(table.kernels->gemm);
    const std::vector<Accum<TestType>> expected(problem.scores.begin(), problem.scores.end());
    std::fill(problem.scores.begin(), problem.scores.end(), poison<Accum<TestType>>);
    Guarded<TestType> panels(static_cast<Index>(problem.kt.size()), Side::behind, TestType(0));
    std::transform(problem.kt.begin(), problem.kt.end(), panels.begin(),
                   [](Accum<TestType> x) { return static_cast<TestType>(x); });
    table.panels->qk(problem.packed_q(), panels.data(), problem.tiles());
    for (int query = 0; query < problem.queries; ++query) {
      const bool real = query < problem.queries - problem.size.missing;
      for (int key = 0; key < problem.size.keys; ++key) {
        const Index at = problem.score_index(query, key);
        const bool owed = real && problem.is_live(query, key);
        REQUIRE(same_bits(problem.scores[at],
                          owed ? expected[static_cast<std::size_t>(at)] : poison<Accum<TestType>>));
      }
    }
  });
}

// So pages of any order have the bits of a cache in one piece.
TEMPLATE_TEST_CASE("qk_slices, pv_slices: the bits of qk_panels and pv_unpacked", "", float, double,
                   Half, BFloat16) {
  using R = Accum<TestType>;
  for_each_problem<TestType>([](const auto& table, auto& problem, const auto& x) {
    const simd::TileShape& shape = problem.tile_shape;
    const Index D = problem.size.D, keys = problem.size.keys, nr = shape.nr, vl = shape.vl;
    const Index count = shape.panels(keys) * nr / vl, held = (keys + vl - 1) / vl;
    Guarded<TestType> panels(shape.panels(keys) * nr * D, Side::behind, TestType(0));
    // Slices in descending order, each with its keys as a panel of VL columns, then its values.
    const Index size = 2 * vl * D;
    Guarded<TestType> pages(held * size, Side::behind, TestType(0));
    std::vector<simd::KvSlice<TestType>> slices;
    for (Index n = 0; n < count + nr / vl; ++n) {
      const TestType* at = pages.data() + (held - 1 - std::min(n, held - 1)) * size;
      slices.push_back({at, at + vl * D});
    }
    for (Index c = 0; c < keys; ++c) {
      TestType* slice = pages.data() + (held - 1 - c / vl) * size;
      for (Index d = 0; d < D; ++d) {
        panels.data()[c / nr * D * nr + d * nr + c % nr] = x.cview()(c, d);
        slice[d * vl + c % vl] = x.cview()(c, d);
        slice[(vl + c % vl) * D + d] = x.cview()(c, d);
      }
    }
    const auto same_real_scores = [&](const auto& expected) {
      for (int query = 0; query < problem.queries - problem.size.missing; ++query) {
        for (int key = 0; key < keys; ++key) {
          const Index at = problem.score_index(query, key);
          if (!same_bits(problem.scores[at], expected[static_cast<std::size_t>(at)])) return false;
        }
      }
      return true;
    };
    problem.fill_operands(Numbers(11));
    table.panels->qk(problem.packed_q(), panels.data(), problem.tiles());
    const std::vector<R> scores(problem.scores.begin(), problem.scores.end());
    std::fill(problem.scores.begin(), problem.scores.end(), poison<R>);
    table.panels->qk_slices(problem.packed_q(), slices.data(), vl, problem.tiles());
    REQUIRE(same_real_scores(scores));

    problem.fill_weights(Numbers(13));
    const std::vector<R> before(problem.acc.begin(), problem.acc.end());
    table.unpacked->pv(problem.tiles(), x.cview(), problem.state().acc);
    const std::vector<R> sums(problem.acc.begin(), problem.acc.end());
    std::copy(before.begin(), before.end(), problem.acc.begin());
    table.panels->pv_slices(problem.tiles(), slices.data(), D, problem.state().acc);
    REQUIRE(all_same_bits(problem.acc.data(), sums.data(), problem.acc.size()));
  });
}

// The values of a latent cache.
TEMPLATE_TEST_CASE("panels_to_rows: the first features of each key, and nothing behind them", "",
                   float, double, Half, BFloat16) {
  for_each_problem<TestType>([](const auto& table, auto& problem, const auto& k) {
    const Index D = problem.size.D, Dv = D - D / 3, keys = problem.size.keys;
    table.kernels->pack_b_transposed(k.cview(), problem.packed_kt());
    Guarded<TestType> panels(static_cast<Index>(problem.kt.size()), Side::behind, TestType(0));
    std::transform(problem.kt.begin(), problem.kt.end(), panels.begin(),
                   [](Accum<TestType> x) { return static_cast<TestType>(x); });
    Guarded<TestType> rows(keys * Dv, Side::behind, TestType(0));
    table.panels->to_rows(panels.data(), D, {rows.data(), {keys, Dv}, {Dv, 1}});
    bool same = true;
    for (Index c = 0; c < keys; ++c) {
      for (Index d = 0; d < Dv; ++d) same &= same_bits(rows.data()[c * Dv + d], k.cview()(c, d));
    }
    REQUIRE(same);
  });
}

// So the bits of a row do not depend on whether its values were packed.
TEMPLATE_TEST_CASE("pv_unpacked: the bits of accumulate", "", float, double, Half, BFloat16) {
  using R = Accum<TestType>;
  for_each_problem<TestType>([](const auto& table, auto& problem, const auto& v) {
    problem.fill_weights(Numbers(13));
    const std::vector<R> before(problem.acc.begin(), problem.acc.end());
    table.kernels->pack_b(v.cview(), problem.packed_v());
    problem.pv(table.kernels->gemm);
    std::vector<R> expected(problem.acc.begin(), problem.acc.end());

    // Rows without a query, and values that no row sees, are neither read nor written.
    for (int query = problem.queries - problem.size.missing; query < problem.queries; ++query) {
      for (int key = 0; key < problem.size.keys; ++key) problem.score(query, key) = poison<R>;
      for (Index d = 0; d < problem.columns; ++d) {
        const auto at = static_cast<std::size_t>(&problem.acc_at(query, d) - problem.acc.data());
        expected[at] = before[at];
      }
    }
    if (v.view().stride[0] != 0) {
      for (int key = 0; key < problem.size.keys; ++key) {
        for (Index d = 0; d < problem.size.Dv && !problem.seen_by_any(key); ++d) {
          v.view()(key, d) = std::numeric_limits<TestType>::quiet_NaN();
        }
      }
    }
    std::copy(before.begin(), before.end(), problem.acc.begin());
    table.unpacked->pv(problem.tiles(), v.cview(), problem.state().acc);
    REQUIRE(all_same_bits(problem.acc.data(), expected.data(), problem.acc.size()));
  });
}

TEMPLATE_TEST_CASE("all_unmasked: finds one score of −inf at any place that counts", "", float,
                   double) {
  constexpr TestType minus_inf = -std::numeric_limits<TestType>::infinity();
  for (const Table<TestType>& table : tables<TestType>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    for (const int keys :
         {1, tile_shape.vl, tile_shape.nr + tile_shape.vl + 1, 2 * tile_shape.nr}) {
      for (const Cells pattern : {Cells::all, Cells::even, Cells::none}) {
        TileProblem<TestType> problem(tile_shape, {2, keys, 1, 1, 0, 1}, Side::behind);
        problem.kill(pattern);
        for (TestType& s : problem.scores) s = std::numeric_limits<TestType>::lowest();
        problem.score(0, 0) = poison<TestType>;  // hides nothing
        REQUIRE(table.unpacked->all_unmasked(problem.tiles()));
        for (int query = 0; query < problem.queries; ++query) {
          for (int key = 0; key < problem.panels * tile_shape.nr; ++key) {
            CAPTURE(table.name, keys, query, key);
            const TestType before = problem.score(query, key);
            problem.score(query, key) = minus_inf;
            const bool counts =
                problem.is_live(query, key) && key < keys && query < problem.queries - 1;
            REQUIRE(table.unpacked->all_unmasked(problem.tiles()) == !counts);
            problem.score(query, key) = before;
          }
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("all_finite: finds one NaN or infinity at any place", "", float, double, Half,
                   BFloat16) {
  for (const Table<TestType>& table : tables<TestType>()) {
    const int lanes = table.kernels->tile_shape.vl;
    for (const int columns : {1, lanes - 1, lanes, lanes + 1, 3 * lanes + 1}) {
      for (const Layout layout : in_rows) {
        for (const Side side : both_sides) {
          Strided<TestType> x(3, columns, layout, side);
          x.fill(14);
          REQUIRE(table.unpacked->all_finite(x.cview()));
          for (Index at = 0; at < 3 * columns; ++at) {
            TestType& place = x.view()(at / columns, at % columns);
            const TestType before = place;
            for (const float bad : {std::numeric_limits<float>::infinity(), poison<float>}) {
              CAPTURE(table.name, columns, at, bad);
              place = static_cast<TestType>(bad);
              REQUIRE_FALSE(table.unpacked->all_finite(x.cview()));
              place = static_cast<TestType>(-bad);
              REQUIRE_FALSE(table.unpacked->all_finite(x.cview()));
            }
            place = std::numeric_limits<TestType>::max();
            REQUIRE(table.unpacked->all_finite(x.cview()));
            place = before;
          }
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("the direct products do not care where memory starts", "", float, double, Half,
                   BFloat16) {
  for (const Table<TestType>& table : tables<TestType>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    for (Index shift = 0; shift < 64; ++shift) {
      for (const Side side : both_sides) {
        CAPTURE(table.name, shift);
        TileProblem<Accum<TestType>> problem(
            tile_shape, {1, tile_shape.nr + 3, 2 * tile_shape.vl + 1}, side, shift);
        problem.fill_operands(Numbers(15));
        Strided<TestType> k(problem.size.keys, problem.size.D, Layout::packed, side, 64 - shift);
        table.unpacked->qk(problem.packed_q(), k.fill(16).cview(), problem.tiles());
        REQUIRE(scores_right(problem, k.cview()));
      }
    }
  }
}

}  // namespace heed::test
