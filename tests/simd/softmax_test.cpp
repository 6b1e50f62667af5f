// The running softmax of every table against one in double: blocks after blocks, dead tiles, scores
// of −inf, NaN and both ends of the range. Memory that no kernel may touch is NaN and stays it.
#include <functional>

#include "simd/tables.hpp"
#include "simd/tile_problem.hpp"
#include "support/catch.hpp"

namespace heed::test {
namespace {

template <class R>
constexpr R lowest = std::numeric_limits<R>::lowest();
template <class R>
constexpr R minus_inf = -std::numeric_limits<R>::infinity();

// e^x below the normal numbers may be anything between 0 and the smallest of them.
template <class R>
constexpr double tiny = 2 * static_cast<double>(std::numeric_limits<R>::min());

// Relative error of e^(a − b) where the difference and its product with log2 e were rounded in R,
// and the kernel's own. Beyond the range of exponents both are 0.
template <class R>
double exp_error(double difference) {
  return (2 * std::min(std::abs(difference), 2.0 * std::numeric_limits<R>::max_exponent) + 6) *
         roundoff<R>;
}

template <class R>
struct Row {
  double max = double{lowest<R>};
  double sum = 0;
  double acc = 0;
  double error = 0;  // relative, of sum and acc
};

// Scores of a block by query and key, also of keys beyond the last one, which must be −inf.
template <class R>
using Scores = std::function<R(int query, int key, int block)>;

template <class R>
class RunningSoftmax {
 public:
  RunningSoftmax(const Table<R>& table, const TileSizes& size, Side side)
      : kernels_(*table.kernels),
        problem_(kernels_.tile_shape, size, side),
        rows_(static_cast<std::size_t>(problem_.queries)) {
    std::fill(problem_.max.begin(), problem_.max.end(), lowest<R>);
    std::fill(problem_.sum.begin(), problem_.sum.end(), R(0));
    std::fill(problem_.acc.begin(), problem_.acc.end(), R(0));
  }

  // Runs a block; the values it would add are stood for by 1 in every column, once a block from the
  // first on that the row sees.
  void step(Cells pattern, int block, const Scores<R>& scores) {
    problem_.kill(pattern);
    std::fill(problem_.scores.begin(), problem_.scores.end(), poison<R>);
    for_each_slot([&](int query, int key) {
      if (problem_.is_live(query, key)) {
        problem_.score(query, key) =
            key < problem_.size.keys ? scores(query, key, block) : minus_inf<R>;
      }
    });
    const std::vector<R> given(problem_.scores.begin(), problem_.scores.end());
    kernels_.softmax(problem_.tiles(), problem_.state());
    for (int query = 0; query < problem_.queries; ++query) check_row(query, given);
    for (int query = 0; query < problem_.queries; ++query) {
      if (problem_.sum[query] == R(0)) continue;
      for (Index d = 0; d < problem_.columns; ++d) problem_.acc_at(query, d) += R(1);
      rows_[static_cast<std::size_t>(query)].acc += 1;
    }
  }

  TileProblem<R>& problem() { return problem_; }

 private:
  void check_row(int query, const std::vector<R>& given) {
    Row<R>& row = rows_[static_cast<std::size_t>(query)];
    const double before = row.max;
    bool nan = is_nan(row.sum);
    double widest = 0;
    bool weights_right = true;
    for_each_key(query, given, [&](R s, R) {
      nan |= is_nan(s);
      if (!is_nan(s)) row.max = std::max(row.max, double{s});
    });
    const double shrink = std::exp(before - row.max);
    row.error += row.max > before && row.sum > 0 ? exp_error<R>(before - row.max) : 0;
    row.sum *= shrink;
    row.acc *= shrink;
    for_each_key(query, given, [&](R s, R weight) {
      weights_right &= is_weight(double{s} - row.max, weight);
      row.sum += std::exp(double{s} - row.max);
      if (double{s} - row.max > -200) widest = std::max(widest, row.max - double{s});
    });
    row.error += exp_error<R>(widest) + problem_.size.keys * roundoff<R>;
    REQUIRE(weights_right);
    check_state(query, row, nan);
  }

  static bool is_weight(double x, R weight) {
    if (is_nan(x)) return is_nan(weight);
    if (x <= (sizeof(R) == 4 ? -88 : -709)) return same_bits(weight, R(0));
    const double exact = std::exp(x);
    return std::abs(double{weight} - exact) <= exact * exp_error<R>(x) + tiny<R>;
  }

  void check_state(int query, Row<R>& row, bool nan) {
    if (nan) {
      row.sum = static_cast<double>(poison<R>);
      REQUIRE(is_nan(problem_.sum[query]));
      return;
    }
    REQUIRE(double{problem_.max[query]} == row.max);
    REQUIRE(std::abs(double{problem_.sum[query]} - row.sum) <= row.sum * row.error + tiny<R>);
    double worst = 0;
    for (Index d = 0; d < problem_.columns; ++d) {
      worst = std::max(worst, std::abs(double{problem_.acc_at(query, d)} - row.acc));
    }
    REQUIRE(worst <= row.acc * (row.error + 8 * roundoff<R>)+tiny<R>);
  }

  template <class F>
  void for_each_slot(F&& f) {
    for (int query = 0; query < problem_.queries; ++query) {
      for (int key = 0; key < problem_.panels * problem_.tile_shape.nr; ++key) f(query, key);
    }
  }

  // f(score, weight) of live keys; the rest must be as it was.
  template <class F>
  void for_each_key(int query, const std::vector<R>& given, F&& f) {
    bool untouched = true;
    for (int key = 0; key < problem_.panels * problem_.tile_shape.nr; ++key) {
      const Index at = problem_.score_index(query, key);
      if (problem_.is_live(query, key)) {
        f(given[static_cast<std::size_t>(at)], problem_.scores[at]);
      } else {
        untouched &= same_bits(problem_.scores[at], poison<R>);
      }
    }
    REQUIRE(untouched);
  }

  const simd::PackedKernels<R>& kernels_;
  TileProblem<R> problem_;
  std::vector<Row<R>> rows_;
};

// Runs eight blocks of these scores over all lengths, at both sides, with all holes.
template <class R>
void run_all(const Scores<R>& scores) {
  for (const Table<R>& table : tables<R>()) {
    int turn = 0;
    const std::vector<int> lengths = sizes(table.kernels->tile_shape);
    for (const int keys : lengths) {
      for (const Side side : both_sides) {
        const TileSizes size{1 + turn % 3, keys, 1, lengths[static_cast<std::size_t>(turn % 15)]};
        CAPTURE(table.name, keys, size.m_tiles, size.Dv);
        RunningSoftmax<R> softmax(table, size, side);
        for (int block = 0; block < 8; ++block) {
          CAPTURE(block);
          softmax.step(every_pattern[(block + turn) % 6], block, scores);
        }
        ++turn;
      }
    }
  }
}

template <class R>
R random(int query, int key, int block) {
  Numbers numbers(static_cast<std::uint64_t>((query * 1000 + key) * 10 + block));
  numbers.next();
  return static_cast<R>(numbers.next());
}

}  // namespace

TEMPLATE_TEST_CASE("softmax: ordinary scores", "", float, double) {
  run_all<TestType>(
      [](int query, int key, int block) { return 10 * random<TestType>(query, key, block); });
}

TEMPLATE_TEST_CASE("softmax: a maximum that rises by little, by much, or falls", "", float,
                   double) {
  run_all<TestType>([](int query, int key, int block) {
    const TestType drift = TestType(query % 3 == 0 ? 0.25 : query % 3 == 1 ? 90 : -40);
    return random<TestType>(query, key, block) + drift * TestType(block);
  });
}

TEMPLATE_TEST_CASE(
    "softmax: scores of −inf weigh exactly 0, rows of nothing else stay fully masked", "", float,
    double) {
  run_all<TestType>([](int query, int key, int block) {
    const bool masked = query % 4 == 0 || (query + key + block) % 3 == 0 || block < query % 5;
    return masked ? minus_inf<TestType> : 5 * random<TestType>(query, key, block);
  });
}

TEMPLATE_TEST_CASE("softmax: both ends of the range", "", float, double) {
  run_all<TestType>([](int query, int key, int block) {
    constexpr TestType most = std::numeric_limits<TestType>::max();
    const TestType all[] = {most,          lowest<TestType>, most / 2,
                            TestType(0),   TestType(1e-30),  most / -2,
                            TestType(130), TestType(-1200)};
    return all[(query * 5 + key * 3 + block) % (block < 4 ? 7 : 8)];
  });
}

#if !defined(__FAST_MATH__)  // which promises no NaN
TEMPLATE_TEST_CASE("softmax: a NaN score is a NaN weight and sum of its row alone", "", float,
                   double) {
  run_all<TestType>([](int query, int key, int block) {
    const bool poisoned = query % 3 == 1 && block == 2 + query % 4 && key == query % 7;
    return poisoned ? poison<TestType> : random<TestType>(query, key, block);
  });
}

TEMPLATE_TEST_CASE("softmax: a NaN is not lost at any key, nor before or after other blocks", "",
                   float, double) {
  for (const Table<TestType>& table : tables<TestType>()) {
    const int keys = 2 * table.kernels->tile_shape.nr;
    for (int key = 0; key < keys; ++key) {
      CAPTURE(table.name, key);
      RunningSoftmax<TestType> softmax(table, {1, keys}, Side::behind);
      const int when = key % 3;
      for (int block = 0; block < 3; ++block) {
        softmax.step(Cells::all, block, [&](int query, int k, int b) {
          return k == key && b == when ? poison<TestType> : random<TestType>(query, k, b);
        });
      }
    }
  }
}
#endif

TEMPLATE_TEST_CASE("a row's weights and sum have the same bits wherever it stands", "", float,
                   double) {
  for (const Table<TestType>& table : tables<TestType>()) {
    CAPTURE(table.name);
    const int keys = 2 * table.kernels->tile_shape.nr;
    RunningSoftmax<TestType> all(table, {3, keys, 1, 5}, Side::behind);
    RunningSoftmax<TestType> mixed(table, {3, keys, 1, 5}, Side::behind);
    for (int block = 0; block < 3; ++block) {
      all.step(Cells::all, block, [](int, int key, int b) { return random<TestType>(0, key, b); });
      mixed.step(Cells::all, block, [](int query, int key, int b) {
        return random<TestType>(query == 7 ? 0 : query, key, b) * TestType(query == 7 ? 1 : 50);
      });
      const auto& same = all.problem();
      const auto& other = mixed.problem();
      for (int query = 0; query < same.queries; ++query) {
        REQUIRE(same_bits(same.sum[query], same.sum[0]));
        REQUIRE(same_bits(same.acc_at(query, 0), same.acc_at(0, 0)));
        for (int key = 0; key < keys; ++key) {
          REQUIRE(same_bits(same.score(query, key), same.score(0, key)));
        }
      }
      REQUIRE(same_bits(other.sum[7], same.sum[0]));
      REQUIRE(same_bits(other.acc_at(7, 0), same.acc_at(0, 0)));
      for (int key = 0; key < keys; ++key) {
        REQUIRE(same_bits(other.score(7, key), same.score(0, key)));
      }
    }
  }
}

TEMPLATE_TEST_CASE("a maximum that does not rise leaves every bit of the sums before it", "", float,
                   double) {
  for (const Table<TestType>& table : tables<TestType>()) {
    CAPTURE(table.name);
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    TileProblem<TestType> problem(tile_shape, {2, tile_shape.nr, 1, tile_shape.nr + 1},
                                  Side::behind);
    Numbers numbers(9);
    for (TestType& x : problem.acc) x = static_cast<TestType>(numbers.next());
    const std::vector<TestType> before(problem.acc.begin(), problem.acc.end());
    std::fill(problem.max.begin(), problem.max.end(), TestType(2));
    std::fill(problem.sum.begin(), problem.sum.end(), TestType(1));
    std::fill(problem.scores.begin(), problem.scores.end(), TestType(2));
    table.kernels->softmax(problem.tiles(), problem.state());
    REQUIRE(all_same_bits(problem.acc.data(), before.data(), problem.acc.size()));
    for (const TestType sum : problem.sum) REQUIRE(sum == TestType(1 + tile_shape.nr));
  }
}

TEMPLATE_TEST_CASE("softmax: rows that are no queries keep their state", "", float, double) {
  using R = TestType;
  for (const Table<R>& table : tables<R>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    for (int missing = 0; missing < tile_shape.mr; ++missing) {
      CAPTURE(table.name, missing);
      TileProblem<R> problem(tile_shape, {2, tile_shape.nr, 1, 1, 0, missing}, Side::behind);
      Numbers numbers(9);
      for (R& s : problem.scores) s = static_cast<R>(numbers.next());
      for (int query = 0; query < problem.queries; ++query) {
        problem.max[query] = -5, problem.sum[query] = 2;
        problem.acc_at(query, 0) = 3;
      }
      table.kernels->softmax(problem.tiles(), problem.state());
      for (int query = 0; query < problem.queries; ++query) {
        const bool real = query < problem.queries - missing;
        REQUIRE((problem.max[query] > -1) == real);
        REQUIRE((problem.sum[query] != 2) == real);
        REQUIRE((problem.acc_at(query, 0) != 3) == real);
      }
    }
  }
}

// lse = max + ln sum and 1 / sum, for any number of rows; fully masked rows and NaN among them.
TEMPLATE_TEST_CASE("finalize_rows: log-sum-exp and factor of every row", "", float, double) {
  using R = TestType;
#if defined(__FAST_MATH__)  // which divides by an approximate reciprocal
  constexpr double most = 3;
#else
  constexpr double most = 2;
#endif
  for (const Table<R>& table : tables<R>()) {
    for (const Side side : both_sides) {
      for (int count = 0; count <= 3 * table.kernels->tile_shape.vl + 1; ++count) {
        CAPTURE(table.name, count);
        const Guarded<R> max(count, side, R(0));
        const Guarded<R> sum(count, side, R(0));
        Numbers numbers(static_cast<std::uint64_t>(count));
        for (R& x : max) x = static_cast<R>(100 * numbers.next());
        // Sums are at least 1: close to it, and up to as many as keys there can be.
        for (R& x : sum) x = static_cast<R>(std::exp2(15.5 * (numbers.next() + 1)));
        if (count > 2) sum[1] = 1, sum[2] = 0;
        const std::vector<R> maxima(max.begin(), max.end());
        const std::vector<R> sums(sum.begin(), sum.end());
        table.kernels->finalize_rows(max.data(), sum.data(), count);
        for (std::size_t n = 0; n < sums.size(); ++n) {
          const auto at = static_cast<Index>(n);
          if (sums[n] == R(0)) {
            REQUIRE(is_masked(max[at]));
            REQUIRE(same_bits(sum[at], R(0)));
            continue;
          }
          const double lse = double{maxima[n]} + std::log(double{sums[n]});
          const double size = std::abs(double{maxima[n]}) + 2 * std::log(double{sums[n]});
          REQUIRE(std::abs(double{max[at]} - lse) <= 2 * roundoff<R> * size);
          REQUIRE(std::abs(double{sum[at]} * double{sums[n]} - 1) <= most * roundoff<R>);
        }
      }
    }
  }
}

#if !defined(__FAST_MATH__)
TEMPLATE_TEST_CASE("finalize_rows: NaN stays NaN", "", float, double) {
  using R = TestType;
  for (const Table<R>& table : tables<R>()) {
    CAPTURE(table.name);
    R max[] = {R(3), R(3)};
    R sum[] = {poison<R>, R(1)};
    table.kernels->finalize_rows(max, sum, 2);
    REQUIRE(is_nan(max[0]));
    REQUIRE(is_nan(sum[0]));
    REQUIRE(same_bits(sum[1], R(1)));
  }
}
#endif

}  // namespace heed::test
