// The four numbers of a comparison, on tensors small enough to do by hand.
#include "heed/approx/compare.hpp"

#include <sstream>

#include "support/contract.hpp"

namespace heed {

TEST_CASE("errors of two matrices, by hand") {
  Eigen::MatrixXd exact(2, 2), other(2, 2);
  exact << 3, 0, 0, 4;
  other << 3, 1, -2, 4;
  const approx::Comparison c = approx::compare(exact, other);
  CHECK(c.max_error == 2);
  CHECK(c.mean_error == 0.75);
  CHECK(c.relative == Approx(std::sqrt(5.0) / 5));
  CHECK(c.mass_kept == -1);
  CHECK(approx::compare(exact, exact).relative == 0);
}

TEST_CASE("the mass kept counts rows that see a key") {
  const test::Small<float> in;
  const auto all = [](int i, int) { return i != 2; };
  const auto some = [](int i, int j) { return i != 2 && j < 4; };
  const auto exact = reference::attention(in.q, in.k, in.v, all);
  const auto kept = reference::attention(in.q, in.k, in.v, some);
  double mass = 0;
  for (Index i = 0; i < 5; ++i) {
    for (Index j = 0; j < 4; ++j) mass += static_cast<double>(exact.weights(i, j));
  }
  CHECK(approx::compare(exact, kept).mass_kept == Approx(mass / 4));
  CHECK(approx::compare(exact, exact).mass_kept == Approx(1));
}

TEST_CASE("a comparison prints itself") {
  std::ostringstream text;
  text << approx::Comparison{0.5, 0.25, 0.125, -1};
  CHECK(text.str() == "max error 0.5, mean 0.25, relative 0.125");
  text << approx::Comparison{0, 0, 0, 0.75};
  CHECK_THAT(text.str(), test::ContainsSubstring("mass kept 0.75"));
}

#if !defined(__FAST_MATH__)
TEST_CASE("a NaN stays in the errors") {
  Eigen::MatrixXf exact(1, 3), other(1, 3);
  exact << 1, 2, 3;
  other << 1, test::nan, 7;
  const approx::Comparison c = approx::compare(exact, other);
  CHECK(is_nan(c.max_error));
  CHECK(is_nan(c.mean_error));
  CHECK(is_nan(c.relative));
}
#endif

TEST_CASE("extents that differ are named") {
  const Tensor2<float> a(3, 4), b(3, 5);
  const std::string text = test::error_of([&] { approx::compare(a, b); });
  CHECK_THAT(text, test::ContainsSubstring("[3,4]"));
  CHECK_THAT(text, test::ContainsSubstring("[3,5]"));
}

}  // namespace heed
