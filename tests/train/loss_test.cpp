// The losses against their formulas and central differences.
#include "heed/inspect/gradcheck.hpp"
#include "heed/train/cross_entropy.hpp"
#include "heed/train/mean_squared_error.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/random.hpp"

using heed::Index;
using heed::test::error_of;
namespace train = heed::train;

namespace {

// −Σ_c target_c log softmax(row)_c, plainly.
double plain(const Eigen::MatrixXd& logits, Index row, int target, double smoothing) {
  double sum = 0, loss = 0;
  for (Index c = 0; c < logits.cols(); ++c) sum += std::exp(logits(row, c));
  for (Index c = 0; c < logits.cols(); ++c) {
    const double share =
        smoothing / static_cast<double>(logits.cols()) + (c == target ? 1 - smoothing : 0.0);
    loss -= share * std::log(std::exp(logits(row, c)) / sum);
  }
  return loss;
}

}  // namespace

TEST_CASE("cross-entropy: the mean over the targets that count, smoothed or not") {
  Eigen::MatrixXd logits(5, 7);
  heed::test::randomise(logits, 3);
  logits *= 4;
  const std::vector<int> targets{6, -100, 0, 3, -100};
  for (const double smoothing : {0.0, 0.1, 1.0}) {
    const train::CrossEntropyOptions options{.label_smoothing = smoothing};
    const auto result = train::cross_entropy(logits, targets, options);
    const double mean = (plain(logits, 0, 6, smoothing) + plain(logits, 2, 0, smoothing) +
                         plain(logits, 3, 3, smoothing)) /
                        3;
    CHECK(result.loss == Approx(mean).epsilon(1e-13));
    CHECK(result.gradient.row(1).isZero(0));
    const auto check = heed::inspect::gradcheck(
        [&] { return train::cross_entropy(logits, targets, options).loss; },
        {heed::inspect::gradcheck_input("logits", logits, result.gradient)});
    INFO(check);
    CHECK(check.ok());
  }
  const auto none = train::cross_entropy(logits, std::vector<int>(5, -100));
  CHECK(none.loss == 0);
  CHECK(none.gradient.isZero(0));
}

TEST_CASE("cross-entropy: of [B, L, classes], far from 0, on any number of threads") {
  heed::Tensor3<float> logits(2, 3, 4);
  heed::test::randomise(logits, 3);
  logits = logits * 3.0f + 1000.0f;
  heed::Tensor2<std::int64_t> ids(2, 3);
  ids.setValues({{0, 3, 2}, {1, 1, 9}});
  const train::CrossEntropyOptions options{.ignored = 9};
  const auto one = train::cross_entropy(logits, ids, options, {.threads = 1});
  const auto two = train::cross_entropy(logits, ids, options, {.threads = 2});
  CHECK(one.loss > 0.1);
  CHECK(one.loss < 10);
  CHECK(one.loss == two.loss);
  for (Index n = 0; n < 24; ++n) CHECK(one.gradient.data()[n] == two.gradient.data()[n]);
  CHECK(error_of([&] { train::cross_entropy(logits, ids); }) ==
        "heed::train::cross_entropy: target 9 at 5 is outside [0, 4)");
  CHECK(error_of([&] { train::cross_entropy(logits, std::vector<int>{1}); }) ==
        "heed::train::cross_entropy: 1 targets for 6 rows of logits");
  CHECK_THROWS_AS(train::cross_entropy(logits, ids, {.label_smoothing = 2}), heed::Error);
  heed::Tensor2<int> turned(ids.dimension(1), ids.dimension(0));
  turned.setZero();
  CHECK(error_of([&] {
          train::cross_entropy(logits, turned);
        }).find("targets must be [B, L] of the logits") != std::string::npos);
  Eigen::Tensor<int, 1> row(3);
  Eigen::VectorXi column(3);
  row.setValues({3, 0, 2});
  column << 3, 0, 2;
  const heed::Tensor2<float> of_rows = logits.chip(0, 0);
  const double loss = train::cross_entropy(of_rows, std::vector<int>{3, 0, 2}).loss;
  CHECK(train::cross_entropy(of_rows, row).loss == loss);
  CHECK(train::cross_entropy(of_rows, column).loss == loss);
  CHECK(train::cross_entropy(of_rows, column.transpose()).loss == loss);
  CHECK_THROWS_AS(train::cross_entropy(of_rows, row, {}, {.threads = -1}), heed::Error);
#if !defined(__FAST_MATH__)
  heed::Tensor2<float> with_inf(1, 3);  // the last class is ruled out
  with_inf.setValues({{1, 2, -INFINITY}});
  CHECK(train::cross_entropy(heed::view(with_inf.data(), {1, 3}), std::vector<int>{0}).loss ==
        Approx(std::log(1 + std::exp(1.0))));
#endif
}

TEST_CASE("mean squared error: value and gradient") {
  heed::Tensor3<double> y(2, 3, 2), target(2, 3, 2);
  heed::test::randomise(y, 1);
  heed::test::randomise(target, 2);
  const auto result = train::mean_squared_error(y, target);
  double sum = 0;
  for (Index n = 0; n < 12; ++n) sum += std::pow(y.data()[n] - target.data()[n], 2) / 12;
  CHECK(result.loss == Approx(sum).epsilon(1e-14));
  const auto check =
      heed::inspect::gradcheck([&] { return train::mean_squared_error(y, target).loss; },
                               {heed::inspect::gradcheck_input("y", y, result.gradient)});
  INFO(check);
  CHECK(check.ok());
  CHECK_THROWS_AS(train::mean_squared_error(y, heed::Tensor3<double>(2, 3, 1)), heed::Error);
  Eigen::Tensor<double, 1> row(12), row_target(12);
  std::copy_n(y.data(), 12, row.data());
  std::copy_n(target.data(), 12, row_target.data());
  const auto of_row = train::mean_squared_error(row, row_target);
  CHECK(of_row.loss == result.loss);
  for (Index n = 0; n < 12; ++n) CHECK(of_row.gradient(n) == result.gradient.data()[n]);
  CHECK_THROWS_AS(train::mean_squared_error(row, Eigen::Tensor<double, 1>(11)), heed::Error);
}
