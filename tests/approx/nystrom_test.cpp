// Nyström attention against the three matrices written out in double, and against what they stand
// for.
#include "heed/approx/low_rank/nystrom.hpp"

#include <Eigen/LU>

#include "approx/naive.hpp"
#include "heed/approx/compare.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;
using Matrix = Eigen::MatrixXd;

Matrix softmax_rows(Matrix s) {
  for (Index i = 0; i < s.rows(); ++i) {
    s.row(i) = (s.row(i).array() - s.row(i).maxCoeff()).exp();
    s.row(i) /= s.row(i).sum();
  }
  return s;
}

// The first `rows` rows of a head.
template <class T>
Matrix dense(const View<const T, 2>& x, Index rows) {
  Matrix m(rows, x.extent[1]);
  for (Index i = 0; i < rows; ++i) {
    for (Index d = 0; d < m.cols(); ++d) m(i, d) = static_cast<double>(x(i, d));
  }
  return m;
}

Matrix means(const Matrix& x, Index m) {
  Matrix to(m, x.cols());
  for (Index s = 0; s < m; ++s) {
    const Index begin = s * x.rows() / m, end = (s + 1) * x.rows() / m;
    to.row(s) = x.middleRows(begin, end - begin).colwise().mean();
  }
  return to;
}

Matrix iterated_inverse(const Matrix& a, int iterations) {
  const Matrix one = Matrix::Identity(a.rows(), a.rows());
  Matrix z = a.transpose() /
             (a.cwiseAbs().colwise().sum().maxCoeff() * a.cwiseAbs().rowwise().sum().maxCoeff());
  for (int n = 0; n < iterations; ++n) {
    const Matrix az = a * z;
    z = 0.25 * z * (13 * one - az * (15 * one - az * (7 * one - az)));
  }
  return z;
}

template <class T>
test::Oracle naive(const Inputs<T>& in, const Shape& shape, Index landmarks,
                   const std::vector<int>& lengths, int iterations) {
  test::Oracle out(shape.B, shape.Hq, shape.Lq, shape.Dv);
  out.setZero();
  const double scale = 1 / std::sqrt(static_cast<double>(shape.D));
  for (Index b = 0; b < shape.B; ++b) {
    const Index length = lengths[static_cast<std::size_t>(b)];
    for (Index h = 0; h < shape.Hq && length > 0; ++h) {
      const Matrix q = dense(in.q.cview().matrix(b, h), shape.Lq);
      const Matrix k = dense(in.k.cview().matrix(b, h / shape.group()), length);
      const Matrix v = dense(in.v.cview().matrix(b, h / shape.group()), length);
      const Matrix q_marks = means(shape.Lq == shape.Lk ? Matrix(q.topRows(length)) : q, landmarks);
      const Matrix k_marks = means(k, landmarks);
      const Matrix result =
          softmax_rows(scale * q * k_marks.transpose()) *
          (iterated_inverse(softmax_rows(scale * q_marks * k_marks.transpose()), iterations) *
           (softmax_rows(scale * q_marks * k.transpose()) * v));
      for (Index i = 0; i < shape.Lq; ++i) {
        for (Index d = 0; d < shape.Dv; ++d) out(b, h, i, d) = result(i, d);
      }
    }
  }
  return out;
}

template <class T>
void check(const Shape& shape, Index landmarks, Layout layout, bool padded, int iterations = 6) {
  CAPTURE(test::name_of(shape), landmarks, padded, static_cast<int>(layout));
  const Inputs<T> in(shape, layout, 5, 2);
  std::vector<int> lengths;
  for (Index b = 0; b < shape.B; ++b) {
    lengths.push_back(static_cast<int>(padded ? shape.Lk - b : shape.Lk));
  }
  if (padded) lengths[0] = 0;
  const auto truth = naive(in, shape, landmarks, lengths, iterations);
  const approx::NystromOptions options{.iterations = iterations};
  const auto result =
      padded ? approx::nystrom(in.q.cview(), in.k.cview(), in.v.cview(), landmarks,
                               mask::padding(lengths), options)
             : approx::nystrom(in.q.cview(), in.k.cview(), in.v.cview(), landmarks, {}, options);
  // The pseudo-inverse magnifies the rounding of the first product by its norm; naive's own results
  // show how far.
  const double size = std::max(1.0, test::max_magnitude(truth));
  const double tolerance =
      400 * test::unit_roundoff<Accum<T>>() * size * static_cast<double>(landmarks + 4);
  REQUIRE(test::max_difference(result.out, truth) <=
          tolerance + (sizeof(T) < 4 ? test::unit_roundoff<T>() * size : 0));
}

}  // namespace

TEST_CASE("Nyström attention meets its naive at every length and number of landmarks") {
  Index turn = 0;
  for (const Index Lq : {16, 21, 70, 100}) {
    for (const Index Lk : {17, 64, 100, 131}) {
      for (const Index landmarks : {1, 2, 7, 16}) {
        const Shape shape{2, 4, turn % 2 == 0 ? 4 : 2, Lq, Lk, 12, 9, 4};
        check<float>(shape, landmarks, static_cast<Layout>(turn % 3), turn % 4 == 1);
        ++turn;
      }
    }
  }
}

TEMPLATE_TEST_CASE("Nyström attention of another type meets its naive", "", double, Half,
                   BFloat16) {
  check<TestType>({2, 4, 2, 60, 60, 24, 16, 4}, 8, Layout::blhd, true);
}

TEST_CASE("the iteration converges to the inverse") {
  const Index m = 24;
  Matrix scores(m, m);
  for (Index n = 0; n < scores.size(); ++n) scores.data()[n] = 2 * test::uniform(3, n);
  scores.diagonal().array() += 4;
  const Matrix a = softmax_rows(scores);
  std::vector<double> rows(static_cast<std::size_t>(m * m));
  Eigen::Map<Eigen::Matrix<double, -1, -1, Eigen::RowMajor>>(rows.data(), m, m) = a;
  double before = 1e9;
  for (const int iterations : {2, 4, 6, 20}) {
    const auto z = approx::pseudo_inverse(rows, m, iterations);
    const Matrix inverse =
        Eigen::Map<const Eigen::Matrix<double, -1, -1, Eigen::RowMajor>>(z.data(), m, m);
    const double error = (inverse - a.inverse()).norm() / a.inverse().norm();
    CAPTURE(iterations, error);
    CHECK(error < before);
    before = error;
  }
  CHECK(before < 1e-12);
}

TEST_CASE("with every token a landmark, Nyström attention is exact") {
  const Shape shape{1, 2, 2, 32, 32, 16, 8, 4};
  Inputs<double> in(shape, Layout::packed, 4, 3);
  for (Index h = 0; h < 2; ++h) {  // q = k: a strong diagonal, which is well conditioned
    for (Index i = 0; i < 32; ++i) {
      for (Index d = 0; d < 16; ++d) in.q.view()(0, h, i, d) = in.k.view()(0, h, i, d);
    }
  }
  const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview());
  const auto result =
      approx::nystrom(in.q.cview(), in.k.cview(), in.v.cview(), 32, {}, {.iterations = 25});
  CHECK(test::max_difference(result.out, exact.out) < 1e-10);
}

TEST_CASE("Nyström attention of degenerate inputs is exact, however many iterations") {
  for (const test::Degenerate& p : test::degenerate_problems()) {
    if (!p.level && p.name != std::string("one query") && p.name != std::string("equal queries")) {
      continue;
    }
    const auto exact =
        attention(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), {}, {}, {.scale = p.scale});
    for (const Index landmarks : {Index{1}, std::min({p.shape.Lq, p.shape.Lk, Index{7}})}) {
      for (const int iterations : {6, 25, 100}) {
        CAPTURE(p.name, landmarks, iterations);
        const auto result = approx::nystrom(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(),
                                            landmarks, {}, {p.scale, iterations});
        CHECK(test::max_difference(result.out, exact.out) <= 1e-5);
      }
    }
  }
}

TEST_CASE("a text alone has the bits it has in a padded batch") {
  const Shape shape{2, 2, 1, 70, 70, 16, 8, 4};
  Inputs<float> in(shape, Layout::packed, 4);
  const std::vector<int> lengths{70, 50};
  for (Index d = 0; d < 8; ++d) in.v.view()(1, 0, 60, d) = test::nan;
  const auto batch =
      approx::nystrom(in.q.cview(), in.k.cview(), in.v.cview(), 10, mask::padding(lengths));
  const auto alone = [](View<const float, 4> x) {
    x.data += x.stride[0];
    x.extent[0] = 1;
    x.extent[2] = 50;
    return x;
  };
  const auto one =
      approx::nystrom(alone(in.q.cview()), alone(in.k.cview()), alone(in.v.cview()), 10);
  for (Index i = 0; i < 50; ++i) {
    for (Index d = 0; d < 8; ++d) CHECK(batch.out(1, 1, i, d) == one.out(0, 1, i, d));
  }
}

TEST_CASE("Nyström attention has the same bits for any number of threads") {
  const Shape shape{2, 4, 2, 300, 400, 32, 12, 4};
  const Inputs<float> in(shape, Layout::packed, 5);
  test::ThreadPerWorker pool;
  const auto run = [&](int threads, Executor* executor) {
    return approx::nystrom(in.q.cview(), in.k.cview(), in.v.cview(), 32, {},
                           {.threads = threads, .executor = executor});
  };
  const auto one = run(1, nullptr);
  for (const int threads : {2, 3, 5}) CHECK(test::same_bits(one.out, run(threads, &pool).out));
}

TEST_CASE("edges of Nyström attention") {
  const Tensor4<float> q = Tensor4<float>(1, 2, 9, 4).setRandom();
  const auto text = [&](Index landmarks, const approx::NystromOptions& options) {
    return test::error_of([&] { approx::nystrom(q, q, q, landmarks, {}, options); });
  };
  CHECK_THAT(text(0, {}), test::ContainsSubstring("heed::approx::nystrom: landmarks 0"));
  CHECK_THAT(text(10, {}), test::ContainsSubstring("landmarks 10 are more than the 9 queries"));
  CHECK_THAT(text(2, {.iterations = -1}), test::ContainsSubstring("iterations -1"));
  const std::vector<int> lengths{3};
  CHECK_THAT(test::error_of([&] { approx::nystrom(q, q, q, 4, mask::padding(lengths)); }),
             test::ContainsSubstring("more than the 3 keys of a text"));
  const auto heads = test::uncountable_empty();
  CHECK(approx::nystrom(heads, heads, heads, 3).out.size() == 0);
  const Tensor4<float> none(1, 2, 0, 4);
  CHECK(approx::nystrom(none, q, q, 3).out.size() == 0);
  CHECK(test::max_magnitude(approx::nystrom(q, none, none, 3).out) == 0);
}

}  // namespace heed
