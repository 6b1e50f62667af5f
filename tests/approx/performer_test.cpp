// Performers against the double sum over the same random features, and against what those estimate.
#include "heed/approx/linear/performer.hpp"

#include "approx/naive.hpp"
#include "heed/approx/compare.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;
using test::Prefix;

struct Twin {
  test::Oracle out;     // [B, Hq, Lq, Dv]
  Tensor3<double> lse;  // [B, Hq, Lq]
  double largest = 0;   // |logarithm| of a feature
};

// e^(ω·x − |x|²/2) for every direction; x = factor · row r.
template <class T>
std::vector<double> features(const View<const T, 4>& x, Index b, Index h, Index r, double factor,
                             const std::vector<double>& directions, Index m, double& largest) {
  std::vector<double> result;
  for (Index n = 0; n < m; ++n) {
    double sum = 0;
    for (Index d = 0; d < x.extent[3]; ++d) {
      const double value = factor * static_cast<double>(x(b, h, r, d));
      sum += value * directions[static_cast<std::size_t>(n * x.extent[3] + d)] - value * value / 2;
    }
    largest = std::max(largest, std::abs(sum));
    result.push_back(std::exp(sum));
  }
  return result;
}

template <class T>
Twin naive(const Inputs<T>& in, const Shape& shape, const Prefix& prefix, Index m,
           std::uint64_t seed) {
  const auto directions = approx::orthogonal_gaussians(m, shape.D, seed);
  const double factor = 1 / std::sqrt(std::sqrt(static_cast<double>(shape.D)));
  Twin naive{test::Oracle(shape.B, shape.Hq, shape.Lq, shape.Dv),
             Tensor3<double>(shape.B, shape.Hq, shape.Lq)};
  naive.out.setZero();
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      const Index kv = h / shape.group();
      std::vector<std::vector<double>> keys;
      for (Index j = 0; j < shape.Lk; ++j) {
        keys.push_back(features(in.k.cview(), b, kv, j, factor, directions, m, naive.largest));
      }
      for (Index i = 0; i < shape.Lq; ++i) {
        const auto query = features(in.q.cview(), b, h, i, factor, directions, m, naive.largest);
        double total = 0;
        for (Index j = 0; j < shape.Lk; ++j) {
          if (!prefix.allows(shape, b, i, j)) continue;
          double weight = 0;
          for (std::size_t n = 0; n < query.size(); ++n) {
            weight += query[n] * keys[static_cast<std::size_t>(j)][n] / static_cast<double>(m);
          }
          total += weight;
          for (Index d = 0; d < shape.Dv; ++d) {
            naive.out(b, h, i, d) += weight * static_cast<double>(in.v.cview()(b, kv, j, d));
          }
        }
        naive.lse(b, h, i) = std::log(total);
        for (Index d = 0; d < shape.Dv && total != 0; ++d) naive.out(b, h, i, d) /= total;
      }
    }
  }
  return naive;
}

template <class T>
void check(const Shape& shape, Index m, Layout layout, const Prefix& prefix, double size = 1) {
  CAPTURE(test::name_of(shape), m, prefix.causal, prefix.padded, static_cast<int>(layout));
  const Inputs<T> in(shape, layout, 7, size);
  const auto expected = naive(in, shape, prefix, m, 11);
  const auto result = prefix.with([&](const auto& mask) {
    return approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), m, mask, {.seed = 11});
  });
  // All terms are positive; an exponent that is off by δ puts its term off by that factor.
  const double sums = test::unit_roundoff<Accum<T>>() *
                      (static_cast<double>(shape.D + m + 128) + 16 * expected.largest);
  REQUIRE(test::max_difference(result.out, expected.out) <=
          sums + (sizeof(T) < 4 ? test::unit_roundoff<T>() : 0));
  REQUIRE(test::max_difference(result.lse, expected.lse) <= sums);
}

// Root of the mean over seeds of the squared relative error.
double error_at(const Inputs<float>& in, const Tensor4<float>& exact, Index m, int seeds) {
  double squares = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    const auto result = approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), m, {},
                                          {.seed = static_cast<std::uint64_t>(seed)});
    const double error = approx::compare(exact, result.out).relative;
    squares += error * error;
  }
  return std::sqrt(squares / seeds);
}

}  // namespace

TEST_CASE("a Performer meets its naive at every length and number of features") {
  int turn = 0;
  for (const Index Lq : {0, 1, 64, 70, 129}) {
    for (const Index Lk : {0, 1, 63, 65, 128, 150}) {
      for (const Index m : {1, 16, 33, 64, 130}) {
        const Shape shape{1, 2, 1, Lq, Lk, turn % 3 == 0 ? 16 : 7, turn % 2 == 0 ? 16 : 5, 4};
        check<float>(shape, m, static_cast<Layout>(turn % 3),
                     Prefix::of(shape, turn % 4 < 2, turn % 5 == 1));
        ++turn;
      }
    }
  }
}

TEST_CASE("a Performer meets its naive over spans and blocks") {
  for (const Index Lk : {1025, 2113}) {
    for (const Index Lq : {Lk, Lk - 77, Index{70}}) {
      const Shape shape{1, 1, 1, Lq, Lk, 4, 3, 4};
      check<float>(shape, 9, Layout::packed, Prefix::of(shape, true, Lk == 1025), 3);
      check<float>(shape, 9, Layout::packed, Prefix::of(shape, false, false), 3);
    }
  }
}

TEMPLATE_TEST_CASE("a Performer of another type meets its naive", "", double, Half, BFloat16) {
  const Shape shape{2, 4, 2, 90, 130, 24, 20, 4};
  check<TestType>(shape, 40, Layout::blhd, Prefix::of(shape, true, true));
}

TEST_CASE("keys whose size differs by many orders stay visible") {
  const Shape shape{1, 1, 1, 64, 64, 8, 4, 4};
  Inputs<float> in(shape, Layout::packed, 3);
  for (Index d = 0; d < 8; ++d) in.k.view()(0, 0, 0, d) = 30;  // e^(−|k|²/2) is about e^−1270
  const auto result =
      approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), 32, mask::causal());
  for (Index d = 0; d < 4; ++d) {
    CHECK(std::abs(result.out(0, 0, 0, d) - in.v.cview()(0, 0, 0, d)) <= 1e-5f);
  }
}

TEST_CASE("directions of a block are orthogonal, their lengths those of normal vectors") {
  const Index m = 200, D = 16;
  const auto rows = approx::orthogonal_gaussians(m, D, 5);
  double squares = 0;
  for (Index a = 0; a < m; ++a) {
    for (Index b = a / D * D; b < a; ++b) {
      CHECK(std::abs(approx::dot(&rows[static_cast<std::size_t>(a * D)],
                                 &rows[static_cast<std::size_t>(b * D)], D)) < 1e-12);
    }
    squares += approx::dot(&rows[static_cast<std::size_t>(a * D)],
                           &rows[static_cast<std::size_t>(a * D)], D);
  }
  // Chi-squared of 16 degrees has mean 16 and variance 32.
  CHECK(std::abs(squares / 200 - 16) < 4 * std::sqrt(32.0 / 200));
}

TEST_CASE("directions that others span are known, and completed by random ones") {
  const Index D = 6;
  std::vector<double> rows(static_cast<std::size_t>(D * D));
  const auto row = [&](Index r) { return rows.data() + r * D; };
  for (Index d = 0; d < D; ++d) {
    row(0)[d] = test::uniform(1, d);
    row(1)[d] = row(0)[d] * 1e-200;                       // the same direction
    row(2)[d] = row(0)[d] * (1 + (d == 3 ? 1e-9 : 0.0));  // nearly, yet a new one
    row(3)[d] = row(2)[d] * 3 - row(0)[d];                // spanned by two
    row(4)[d] = 0;
    row(5)[d] = test::nan;
  }
  CHECK(approx::orthonormalise(rows.data(), 0, 0, D));
  CHECK(!approx::orthonormalise(rows.data(), 0, 1, D));
  for (Index r = 0; r < D; ++r) approx::complete_basis(rows.data(), 0, r, D, 5, 1);
  for (Index a = 0; a < D; ++a) {
    for (Index b = 0; b <= a; ++b) {
      CHECK(std::abs(approx::dot(row(a), row(b), D) - (a == b ? 1 : 0)) < 1e-14);
    }
  }
}

TEST_CASE("a Performer of degenerate inputs is finite, and exact where weights are level") {
  for (const test::Degenerate& p : test::degenerate_problems()) {
    const auto exact =
        attention(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), {}, {}, {.scale = p.scale});
    for (const Index features : {1, 12, 40}) {
      CAPTURE(p.name, features);
      const auto result = approx::performer(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(),
                                            features, {}, {.scale = p.scale});
      const bool same_keys = p.level && p.name != std::string("q = 0");
      CHECK(test::max_difference(result.out, exact.out) <= (same_keys ? 1e-6 : 2.0));
      CHECK(test::max_difference(result.lse, exact.lse) <= 40);
    }
  }
}

TEST_CASE("normal numbers are normal") {
  double sum = 0, squares = 0, fourth = 0;
  constexpr int count = 40000;
  for (Index n = 0; n < count; ++n) {
    const double x = approx::gaussian(3, n, 0);
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  CHECK(std::abs(sum / count) < 4 / std::sqrt(count));
  CHECK(std::abs(squares / count - 1) < 4 * std::sqrt(2.0 / count));
  CHECK(std::abs(fourth / count - 3) < 4 * std::sqrt(96.0 / count));
}

TEST_CASE("the error of a Performer falls as the root of its features") {
  const Shape shape{1, 1, 1, 60, 80, 16, 16, 4};
  const Inputs<float> in(shape, Layout::packed, 21, 0.8);
  const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview()).out;
  const double coarse = error_at(in, exact, 64, 24);
  const double middle = error_at(in, exact, 256, 24);
  const double fine = error_at(in, exact, 1024, 24);
  CAPTURE(coarse, middle, fine);
  CHECK(coarse / middle > 1.7);
  CHECK(coarse / middle < 2.3);
  CHECK(middle / fine > 1.7);
  CHECK(middle / fine < 2.3);
}

TEST_CASE("the estimated sum of exponentials is unbiased") {
  const Shape shape{1, 1, 1, 3, 20, 8, 4, 4};
  const Inputs<double> in(shape, Layout::packed, 4);
  const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview());
  constexpr int seeds = 600;
  for (Index i = 0; i < 3; ++i) {
    double sum = 0, squares = 0;
    for (int seed = 0; seed < seeds; ++seed) {
      const auto result = approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), 8, {},
                                            {.seed = static_cast<std::uint64_t>(seed)});
      const double ratio = std::exp(result.lse(0, 0, i) - exact.lse(0, 0, i));
      sum += ratio;
      squares += ratio * ratio;
    }
    const double mean = sum / seeds;
    const double deviation = std::sqrt((squares / seeds - mean * mean) / seeds);
    CAPTURE(i, mean, deviation);
    CHECK(std::abs(mean - 1) < 4 * deviation);
    CHECK(deviation < 0.05);
  }
}

TEST_CASE("a negative scale turns a Performer around") {
  const Shape shape{1, 1, 1, 20, 30, 8, 4, 4};
  Inputs<float> in(shape, Layout::packed, 4);
  const auto minus =
      approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), 64, {}, {.scale = -0.3});
  for (Index i = 0; i < 20; ++i) {
    for (Index d = 0; d < 8; ++d) in.q.view()(0, 0, i, d) *= -1;
  }
  const auto plus =
      approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), 64, {}, {.scale = 0.3});
  CHECK(test::same_bits(minus.out, plus.out));
}

TEST_CASE("a Performer has the same bits for any number of threads") {
  const Shape shape{1, 2, 1, 2100, 2300, 8, 12, 4};
  const Inputs<float> in(shape, Layout::packed, 5);
  test::ThreadPerWorker pool;
  const auto run = [&](int threads, Executor* executor) {
    return approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), 24, mask::causal(),
                             {.threads = threads, .executor = executor});
  };
  const auto one = run(1, nullptr);
  for (const int threads : {2, 3, 5}) {
    const auto many = run(threads, &pool);
    CHECK(test::same_bits(one.out, many.out));
    CHECK(test::same_bits(one.lse, many.lse));
  }
}

TEST_CASE("what a row of a Performer does not see changes no bit") {
  const Shape shape{1, 1, 1, 300, 300, 16, 16, 4};
  const Inputs<float> clean(shape, Layout::packed, 3);
  const auto run = [](const Inputs<float>& in) {
    return approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), 64, mask::causal());
  };
  const auto expected = run(clean);
  for (const float poison : {test::nan, test::inf, -test::inf, 1e4f}) {
    Inputs<float> dirty = clean;
    dirty.k.view()(0, 0, 100, 2) = poison;
    dirty.v.view()(0, 0, 100, 1) = poison;
    const auto result = run(dirty);
    for (Index i = 0; i < 100; ++i) {
      CHECK(result.lse(0, 0, i) == expected.lse(0, 0, i));
      for (Index d = 0; d < 16; ++d) CHECK(result.out(0, 0, i, d) == expected.out(0, 0, i, d));
    }
#if !defined(__FAST_MATH__)
    for (Index i = 100; i < 300 && poison != 1e4f; ++i) CHECK(!is_finite(result.out(0, 0, i, 1)));
#endif
  }
}

TEST_CASE("rows of a Performer that see nothing are 0, and wrong calls are named") {
  const Shape shape{1, 1, 1, 70, 40, 4, 4, 4};
  const Inputs<float> in(shape, Layout::packed, 2);
  const auto early =
      approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), 16, mask::causal());
  for (Index i = 0; i < 30; ++i) {
    CHECK(early.out(0, 0, i, 3) == 0);
    CHECK(is_masked(early.lse(0, 0, i)));
  }
  CHECK(early.out(0, 0, 30, 3) != 0);
  const auto heads = test::uncountable_empty();
  CHECK(approx::performer(heads, heads, heads, 16).out.size() == 0);
  CHECK_THAT(
      test::error_of([&] { approx::performer(in.q.cview(), in.k.cview(), in.v.cview(), 0); }),
      test::ContainsSubstring("heed::approx::performer: features 0"));
}

}  // namespace heed
