// Seeded bugs: weights computed with one mistake each are traced to that mistake and no other.
#include <cmath>
#include <limits>
#include <string>

#include "heed/attention/reference/forward.hpp"
#include "heed/inspect/explain_weights.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/score/alibi.hpp"
#include "support/catch.hpp"

namespace {

using Eigen::MatrixXd;
using heed::inspect::explain_weights;
using heed::test::ContainsSubstring;
namespace mask = heed::mask;

MatrixXd waves(int rows, int columns, double phase) {
  MatrixXd x(rows, columns);
  for (int i = 0; i < rows * columns; ++i) x.data()[i] = 2 * std::sin(phase + 1.7 * i);
  return x;
}

// A person's own attention, written plainly: scores, exp, and a sum over rows or columns.
struct Own {
  MatrixXd q = waves(5, 4, 0.2), k = waves(5, 4, 1.1), v = waves(5, 3, 0);
  MatrixXd scores = q * k.transpose();
  MatrixXd lower = MatrixXd(MatrixXd::Ones(5, 5).triangularView<Eigen::Lower>());

  MatrixXd softmax(const MatrixXd& s) const {
    MatrixXd e = s.array().exp();
    for (int i = 0; i < 5; ++i) e.row(i) /= e.row(i).sum();
    return e;
  }
  MatrixXd softmax_where(const MatrixXd& s, const MatrixXd& seen) const {
    MatrixXd e = s.array().exp() * seen.array();
    for (int i = 0; i < 5; ++i) {
      if (e.row(i).sum() > 0) e.row(i) /= e.row(i).sum();
    }
    return e;
  }
};

template <class... Call>
std::string only_finding(const Call&... call) {
  const auto found = explain_weights(call...);
  REQUIRE(found.size() == 1);
  return found[0];
}

TEST_CASE("right weights need no explanation") {
  const Own own;
  CHECK(explain_weights(own.softmax(own.scores / 2).eval(), own.q, own.k, own.v).empty());
  const MatrixXd causal = own.softmax_where(own.scores / 2, own.lower);
  CHECK(explain_weights(causal, own.q, own.k, own.v, mask::causal()).empty());
  const auto t = heed::reference::attention(own.q, own.k, own.v, mask::causal());
  CHECK(explain_weights(t.weights, own.q, own.k, own.v, mask::causal()).empty());
  const std::vector<double> sinks{1};
  const heed::Options options{.sinks = sinks};
  const auto s = heed::reference::attention(own.q, own.k, own.v, {}, {}, options);
  CHECK(explain_weights(s.weights, own.q, own.k, own.v, {}, {}, options).empty());
  CHECK_FALSE(explain_weights(s.weights, own.q, own.k, own.v).empty());
}

TEST_CASE("a scale forgotten, or applied twice") {
  const Own own;
  CHECK_THAT(only_finding(own.softmax(own.scores), own.q, own.k, own.v),
             ContainsSubstring("not scaled"));
  CHECK_THAT(only_finding(own.softmax(own.scores / 4), own.q, own.k, own.v),
             ContainsSubstring("twice"));
}

TEST_CASE("softmax over the wrong dimension") {
  const Own own;
  const MatrixXd columns = own.softmax((own.scores / 2).transpose()).transpose();
  CHECK_THAT(only_finding(columns, own.q, own.k, own.v), ContainsSubstring("over the queries"));
}

TEST_CASE("a mask inverted, ignored or transposed") {
  const Own own;
  const MatrixXd s = own.scores / 2, ones = MatrixXd::Ones(5, 5);
  const auto explain = [&](const MatrixXd& w) {
    return only_finding(w, own.q, own.k, own.v, mask::causal());
  };
  CHECK_THAT(explain(own.softmax_where(s, ones - own.lower)), ContainsSubstring("inverted"));
  CHECK_THAT(explain(own.softmax(s)), ContainsSubstring("not applied"));
  CHECK_THAT(explain(own.softmax_where(s, own.lower.transpose())), ContainsSubstring("transposed"));
}

TEST_CASE("a mask multiplied in before or after the softmax") {
  const Own own;
  const MatrixXd s = own.scores / 2;
  const auto explain = [&](const MatrixXd& w) {
    return only_finding(w, own.q, own.k, own.v, mask::causal());
  };
  CHECK_THAT(explain(own.softmax(s.cwiseProduct(own.lower))), ContainsSubstring("set to 0"));
  CHECK_THAT(explain(own.softmax(s).cwiseProduct(own.lower)),
             ContainsSubstring("after the softmax"));
}

TEST_CASE("a position bias left out") {
  const Own own;
  const std::vector<float> slopes{0.5F};
  const MatrixXd w = own.softmax(own.scores / 2);
  CHECK_THAT(only_finding(w, own.q, own.k, own.v, mask::None{}, heed::score::alibi(slopes)),
             ContainsSubstring("modifiers are left out"));
}

TEST_CASE("what no single mistake explains is told with its size") {
  const Own own;
  MatrixXd w = own.softmax(own.scores / 2);
  w(2, 2) += 0.25;
  CHECK(only_finding(w, own.q, own.k, own.v) ==
        "The weights are off by up to 0.25, and neither one usual mistake nor two explain it");
}

TEST_CASE("a NaN is told with its rows and their cause, and the other rows are compared") {
  const Own own;
  MatrixXd w = own.softmax(own.scores / 2);
  w(2, 2) = std::nan("");
  CHECK_THAT(only_finding(w, own.q, own.k, own.v),
             ContainsSubstring("1 of 5 rows hold a NaN and have finite scores"));
  w = own.softmax(own.scores);
  w.row(1).setConstant(std::nan(""));
  const auto found = explain_weights(w, own.q, own.k, own.v);
  REQUIRE(found.size() == 2);
  CHECK_THAT(found[0], ContainsSubstring("1 of 5 rows hold a NaN"));
  CHECK_THAT(found[1], ContainsSubstring("not scaled"));
  w(0, 0) = std::numeric_limits<double>::infinity();
  CHECK_THAT(explain_weights(w, own.q, own.k, own.v).back(), ContainsSubstring("an infinity"));
}

TEST_CASE("weights of another shape are refused") {
  const Own own;
  CHECK_THROWS_WITH(explain_weights(MatrixXd(5, 4), own.q, own.k, own.v),
                    "heed::inspect::explain_weights: weights are [1,1,5,4] but the call's are "
                    "[1,1,5,5]");
}

}  // namespace
