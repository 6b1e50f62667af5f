// Low-rank attention against the truncated SVD of the whole matrix of scores.
#include "heed/approx/low_rank/low_rank.hpp"

#include <Eigen/SVD>

#include "approx/naive.hpp"
#include "heed/approx/compare.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;

// [Lq, Lk] of one head, its `rank` largest singular triplets.
template <class T>
Eigen::MatrixXd truncated(const Inputs<T>& in, Index b, Index h, Index group, double scale,
                          Index rank) {
  const auto q = in.q.cview().matrix(b, h);
  const auto k = in.k.cview().matrix(b, h / group);
  Eigen::MatrixXd scores(q.extent[0], k.extent[0]);
  for (Index i = 0; i < scores.rows(); ++i) {
    for (Index j = 0; j < scores.cols(); ++j) {
      double dot = 0;
      for (Index d = 0; d < q.extent[1]; ++d) {
        dot += static_cast<double>(q(i, d)) * static_cast<double>(k(j, d));
      }
      scores(i, j) = scale * dot;
    }
  }
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(scores, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Index r = std::min<Index>(rank, svd.singularValues().size());
  return svd.matrixU().leftCols(r) * svd.singularValues().head(r).asDiagonal() *
         svd.matrixV().leftCols(r).transpose();
}

// Exact attention in double over the truncated scores: they are a bias on scores of 0.
template <class T, class M, class S>
auto naive(const Inputs<T>& in, const Shape& shape, Index rank, const M& mask, const S& score) {
  Tensor4<double> scores(shape.B, shape.Hq, shape.Lq, shape.Lk);
  const double scale = 1 / std::sqrt(static_cast<double>(shape.D));
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      const Eigen::MatrixXd s = truncated(in, b, h, shape.group(), scale, rank);
      for (Index i = 0; i < shape.Lq; ++i) {
        for (Index j = 0; j < shape.Lk; ++j) scores(b, h, i, j) = s(i, j);
      }
    }
  }
  using score::operator>>;
  return reference::attention<double>(in.q.cview(), in.k.cview(), in.v.cview(), mask,
                                      score::bias(scores) >> score, {.scale = 0.0});
}

template <class T, class M, class S>
void check(const Shape& shape, Index rank, Layout layout, const M& mask, const S& score,
           const approx::LowRankOptions& options = {}, double slack = 1) {
  CAPTURE(test::name_of(shape), rank, static_cast<int>(layout));
  const Inputs<T> in(shape, layout, 5, 2);
  const auto truth = naive(in, shape, rank, mask, score);
  const auto result =
      approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), rank, mask, score, options);
  // Scores are off by the rounding of the largest of them, with D products in each factor.
  const double sums =
      slack * test::unit_roundoff<Accum<T>>() * (static_cast<double>(32 + 8 * shape.D) * 4);
  REQUIRE(test::max_difference(result.out, truth.out) <=
          sums + (sizeof(T) < 4 ? test::unit_roundoff<T>() : 0));
  REQUIRE(test::max_difference(result.lse, truth.lse) <= sums);
}

}  // namespace

TEST_CASE("low-rank attention meets the SVD of the whole matrix at every rank and length") {
  const mask::any masks[] = {mask::None{}, mask::causal()};
  Index turn = 0;
  for (const Index Lq : {1, 5, 40, 70}) {
    for (const Index Lk : {1, 7, 33, 64}) {
      for (const Index rank : {1, 2, 3, 6, 8, 30}) {
        const Shape shape{1, 2, 1 + turn % 2, Lq, Lk, 7, 6, 4};
        check<float>(shape, rank, static_cast<Layout>(turn % 3), masks[turn % 2], score::None{});
        ++turn;
      }
    }
  }
}

TEST_CASE("low-rank attention of double, with a score, meets the SVD") {
  const mask::any causal = mask::causal();
  const std::vector<float> slopes = score::alibi_slopes(4);
  check<double>({2, 4, 2, 60, 80, 24, 16, 4}, 10, Layout::gaps, causal, score::alibi(slopes), {},
                1e4);
}

TEMPLATE_TEST_CASE("low-rank attention of half types meets the SVD", "", Half, BFloat16) {
  check<TestType>({1, 2, 1, 60, 80, 24, 16, 4}, 10, Layout::blhd, mask::any(mask::causal()),
                  score::None{});
}

TEST_CASE("factors of full rank give the scores, of lower rank what Eckart and Young say") {
  const Shape shape{1, 1, 1, 90, 110, 16, 4, 4};
  const Inputs<double> in(shape, Layout::packed, 9);
  const Eigen::MatrixXd whole = truncated(in, 0, 0, 1, 0.25, 16);
  const Eigen::VectorXd sigma = Eigen::JacobiSVD<Eigen::MatrixXd>(whole).singularValues();
  const auto dense = [](const View<const double, 2>& x) {
    Eigen::MatrixXd m(x.extent[0], x.extent[1]);
    for (Index i = 0; i < m.rows(); ++i) {
      for (Index d = 0; d < m.cols(); ++d) m(i, d) = x(i, d);
    }
    return m;
  };
  const Eigen::MatrixXd q = dense(in.q.cview().matrix(0, 0)), k = dense(in.k.cview().matrix(0, 0));
  for (const bool randomised : {false, true}) {
    for (const Index rank : {1, 4, 8, 15, 16}) {
      const auto f = approx::score_factors<double>(
          in.q.cview().matrix(0, 0), in.k.cview().matrix(0, 0), 0.25, rank, {randomised, 3});
      const Eigen::MatrixXd v = k * f.keys;
      const double error = (whole - q * f.queries * v.transpose()).norm();
      const double best = sigma.segment(rank, 16 - rank).norm();
      CAPTURE(randomised, rank);
      CHECK(error <= best * (randomised ? 1.05 : 1 + 1e-9) + 1e-7 * sigma[0]);
      if (!randomised) {
        CHECK((v.transpose() * v - Eigen::MatrixXd::Identity(rank, rank)).norm() < 1e-10);
      }
    }
  }
}

TEST_CASE("scores whose rank is lower than asked for") {
  const Shape shape{1, 1, 1, 50, 60, 16, 8, 4};
  Inputs<float> in(shape, Layout::packed, 9, 2);
  for (Index j = 0; j < 60; ++j) {
    for (Index d = 3; d < 16; ++d) in.k.view()(0, 0, j, d) = in.k.view()(0, 0, j, d % 3);
  }
  const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview());
  for (const Index rank : {3, 5, 15}) {
    const auto result = approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), rank);
    CHECK(test::max_difference(result.out, exact.out) <= 1e-5);
  }
}

TEST_CASE("low-rank attention of degenerate inputs is exact at every rank that their scores have") {
  for (const test::Degenerate& p : test::degenerate_problems()) {
    const auto exact =
        attention(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), {}, {}, {.scale = p.scale});
    for (const Index rank : {1, 2, 3, 6, 11, 12}) {
      for (const bool randomised : {false, true}) {
        CAPTURE(p.name, rank, randomised);
        const auto result =
            approx::low_rank(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), rank, {}, {},
                             {.scale = p.scale, .randomised = randomised, .seed = 4});
        CHECK(test::max_difference(result.out, exact.out) <= 2e-6);
        CHECK(test::max_difference(result.lse, exact.lse) <= 5e-6);
      }
    }
  }
}

// The range of rank + 8 columns is everything there is: D = 12 and rank 4 or more.
TEST_CASE("a random range that is everything gives what no randomness gives") {
  for (const Index flat : {1, 3, 5, 9}) {  // the rank of the scores
    const Shape shape{1, 1, 1, 50, 60, 12, 8, 4};
    Inputs<float> in(shape, Layout::packed, 9, 2);
    for (Index j = 0; j < 60; ++j) {
      for (Index d = flat; d < 12; ++d) in.k.view()(0, 0, j, d) = in.k.view()(0, 0, j, d % flat);
    }
    for (const Index rank : {4, 7, 11}) {
      const auto run = [&](bool randomised, std::uint64_t seed) {
        return approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), rank, {}, {},
                                {.randomised = randomised, .seed = seed});
      };
      const auto truth = run(false, 0);
      for (const std::uint64_t seed : {1u, 2u, 3u}) {
        CAPTURE(flat, rank, seed);
        CHECK(test::max_difference(run(true, seed).out, truth.out) <= 1e-5);
      }
    }
  }
}

// A wider matrix whose scores have a rank below that of the range.
TEST_CASE("a random range that is wider than the scores' rank loses nothing") {
  const Shape shape{1, 1, 1, 70, 60, 40, 8, 4};
  for (const Index flat : {0, 1, 3, 6}) {
    Inputs<float> in(shape, Layout::packed, 9, 1);
    for (Index j = 0; j < 60; ++j) {
      for (Index d = flat; d < 40; ++d) {
        in.k.view()(0, 0, j, d) = flat == 0 ? 0 : in.k.view()(0, 0, j, d % flat);
      }
    }
    const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview());
    for (const Index rank : {6, 20, 39}) {
      for (const std::uint64_t seed : {1u, 2u, 3u}) {
        CAPTURE(flat, rank, seed);
        const auto result = approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), rank, {}, {},
                                             {.randomised = true, .seed = seed});
        CHECK(test::max_difference(result.out, exact.out) <= 1e-5);
      }
    }
  }
}

TEST_CASE("rank D is exact attention; a random range is seeded") {
  const Shape shape{1, 4, 2, 150, 170, 32, 16, 4};
  const Inputs<float> in(shape, Layout::packed, 9, 2);
  const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview());
  CHECK(test::same_bits(approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), 32).out,
                        exact.out));
  const auto random = [&](std::uint64_t seed) {
    return approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), 8, {}, {},
                            {.randomised = true, .seed = seed});
  };
  CHECK(test::same_bits(random(1).out, random(1).out));
  CHECK(!test::same_bits(random(1).out, random(2).out));
}

TEST_CASE("low-rank attention has the same bits for any number of threads") {
  const Shape shape{2, 4, 2, 300, 400, 64, 12, 4};
  const Inputs<float> in(shape, Layout::packed, 5);
  test::ThreadPerWorker pool;
  const auto run = [&](int threads, Executor* executor) {
    return approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), 20, mask::causal(), {},
                            {.threads = threads, .executor = executor});
  };
  const auto one = run(1, nullptr);
  for (const int threads : {2, 3, 5}) {
    CHECK(test::same_bits(one.out, run(threads, &pool).out));
    CHECK(test::same_bits(one.out, run(threads, nullptr).out));
  }
}

TEST_CASE("edges of low-rank attention") {
  const Shape shape{1, 1, 1, 70, 40, 8, 4, 4};
  Inputs<float> in(shape, Layout::packed, 2);
  const auto early = approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), 3, mask::causal());
  for (Index i = 0; i < 30; ++i) {
    CHECK(early.out(0, 0, i, 3) == 0);
    CHECK(is_masked(early.lse(0, 0, i)));
  }
  CHECK_THAT(test::error_of([&] { approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), 0); }),
             test::ContainsSubstring("heed::approx::low_rank: rank 0"));
  const Tensor4<float> none(1, 2, 0, 4);
  CHECK(approx::low_rank(none, none, none, 2).out.size() == 0);
  CHECK(approx::low_rank(test::uncountable_empty(), test::uncountable_empty(),
                         test::uncountable_empty(), 2)
            .out.size() == 0);
  const Tensor4<float> some = Tensor4<float>(1, 2, 3, 4).setRandom();
  CHECK(test::max_magnitude(approx::low_rank(some, none, none, 2).out) == 0);
#if !defined(__FAST_MATH__)
  in.k.view()(0, 0, 7, 2) = test::nan;
  const auto spoilt = approx::low_rank(in.q.cview(), in.k.cview(), in.v.cview(), 3);
  CHECK(is_nan(spoilt.out(0, 0, 5, 1)));
#endif
}

}  // namespace heed
