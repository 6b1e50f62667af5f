// Seeded bugs: a person's own attention with one usual mistake each, and the words that must name
// it. The list is the pitfalls and exercises of the source documents.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "heed/inspect/explain_output.hpp"
#include "heed/inspect/report.hpp"
#include "heed/mask/any.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/dense.hpp"
#include "support/catch.hpp"

namespace {

using Eigen::MatrixXd;
using heed::inspect::explain_output;
using heed::inspect::explain_weights;
using heed::inspect::report;
using heed::test::ContainsSubstring;
namespace mask = heed::mask;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr int L = 5;

MatrixXd waves(int rows, int columns, double phase) {
  MatrixXd x(rows, columns);
  for (int i = 0; i < rows * columns; ++i)
    x.data()[i] = 2 * std::sin(phase + 1.7 * i + 0.1 * i * i);
  return x;
}

// Plain attention over L tokens; what it is given decides what is wrong with it.
struct Own {
  MatrixXd q = waves(L, 4, 0.2), k = waves(L, 4, 1.1), v = waves(L, 4, 2.3);
  MatrixXd scores = q * k.transpose() / 2;
  MatrixXd lower = MatrixXd(MatrixXd::Ones(L, L).triangularView<Eigen::Lower>());

  static MatrixXd softmax(MatrixXd s) {
    for (int i = 0; i < s.rows(); ++i) {
      s.row(i) = (s.row(i).array() - s.row(i).maxCoeff()).exp().matrix().eval();
      s.row(i) /= s.row(i).sum();
    }
    return s;
  }
  // −inf where `seen` is 0.
  static MatrixXd hide(const MatrixXd& s, const MatrixXd& seen) {
    return (seen.array() > 0).select(s, MatrixXd::Constant(s.rows(), s.cols(), -inf));
  }
};

std::string all(const std::vector<std::string>& found) {
  std::string text;
  for (const std::string& finding : found) text += finding + '\n';
  return text;
}

// The one finding that names what is wrong with an output, under `rule`.
std::string named(const MatrixXd& out, const Own& own, const mask::any& rule = {}) {
  const auto found = explain_output(out, own.q, own.k, own.v, rule);
  REQUIRE(found.size() == 1);
  return found[0];
}

TEST_CASE("right outputs have no finding") {
  const Own own;
  CHECK(explain_output(MatrixXd(Own::softmax(own.scores) * own.v), own.q, own.k, own.v, mask::any{})
            .empty());
  CHECK(explain_output(MatrixXd(Own::softmax(Own::hide(own.scores, own.lower)) * own.v), own.q,
                       own.k, own.v, mask::any(mask::causal()))
            .empty());
}

TEST_CASE("bug 1: k transposed in the wrong dimensions") {
  heed::Tensor3<double> q(2, 5, 4), k(6, 2, 4), v(2, 6, 4);
  q.setRandom(), k.setRandom(), v.setRandom();
  CHECK_THAT(all(report(q, k, v).findings), ContainsSubstring("k looks transposed"));
}

TEST_CASE("bug 2: k not transposed at all, where Lk = D hides it") {
  Own own;
  own.k = waves(4, 4, 1.1), own.v = waves(4, 4, 2.3);
  CHECK_THAT(named(Own::softmax(own.q * own.k / 2) * own.v, own),
             ContainsSubstring("k is multiplied without its transpose"));
}

TEST_CASE("bug 3: the scale is forgotten") {
  const Own own;
  CHECK_THAT(named(Own::softmax(own.scores * 2) * own.v, own), ContainsSubstring("not scaled"));
}

TEST_CASE("bug 4: the scale is applied twice") {
  const Own own;
  CHECK_THAT(named(Own::softmax(own.scores / 2) * own.v, own), ContainsSubstring("scaled twice"));
}

TEST_CASE("bug 5: the softmax runs over the queries") {
  const Own own;
  const MatrixXd weights = Own::softmax(own.scores.transpose()).transpose();
  CHECK_THAT(named(weights * own.v, own), ContainsSubstring("runs over the queries"));
}

TEST_CASE("bug 6: the softmax is applied twice") {
  const Own own;
  CHECK_THAT(named(Own::softmax(Own::softmax(own.scores)) * own.v, own),
             ContainsSubstring("softmax is applied twice"));
}

TEST_CASE("bug 7: the mask is inverted") {
  const Own own;  // diagonal and above are hidden instead of what is above
  const MatrixXd seen = MatrixXd::Ones(L, L) - MatrixXd(MatrixXd::Identity(L, L));
  const auto rule = [](int i, int j) { return i == j; };
  CHECK_THAT(named(Own::softmax(Own::hide(own.scores, seen)) * own.v, own, rule),
             ContainsSubstring("mask is inverted"));
  CHECK_THAT(all(report(own.q, own.k, own.v, mask::any(~mask::causal())).findings),
             ContainsSubstring("causal mask inverted"));
}

TEST_CASE("bug 8: the mask is transposed") {
  const Own own;
  CHECK_THAT(named(Own::softmax(Own::hide(own.scores, own.lower.transpose())) * own.v, own,
                   mask::causal()),
             ContainsSubstring("mask is transposed"));
}

TEST_CASE("bug 9: a causal mask is off by one") {
  const Own own;
  MatrixXd ahead = own.lower, behind = own.lower;
  for (int i = 0; i < L; ++i) {
    if (i + 1 < L) ahead(i, i + 1) = 1;
    behind(i, i) = 0;
  }
  CHECK_THAT(named(Own::softmax(Own::hide(own.scores, ahead)) * own.v, own, mask::causal()),
             ContainsSubstring("sees one key too many"));
  MatrixXd weights = Own::softmax(Own::hide(own.scores, behind));
  weights.row(0).setZero();
  CHECK_THAT(named(weights * own.v, own, mask::causal()),
             ContainsSubstring("misses the last key it may see"));
  const auto with = [&](const mask::any& rule) {
    return all(report(own.q, own.k, own.v, rule).findings);
  };
  CHECK_THAT(with([](int i, int j) { return j <= i + 1; }), ContainsSubstring("not j <= i + 1"));
  CHECK_THAT(with([](int i, int j) { return j < i; }), ContainsSubstring("not j < i"));
}

TEST_CASE("bug 10: a Boolean mask is added to the scores") {
  const Own own;
  CHECK_THAT(named(Own::softmax(own.scores + own.lower) * own.v, own, mask::causal()),
             ContainsSubstring("Boolean mask is added"));
}

TEST_CASE("bug 11: a padding mask [B, Lk] where [Lq, Lk] is meant") {
  const heed::Tensor4<double> q(2, 1, 5, 4), k(2, 1, 6, 4);
  heed::Tensor2<double> padding(2, 6);
  padding.setConstant(1);
  CHECK_THAT(all(report(q, k, k, mask::dense(padding)).findings),
             ContainsSubstring("[B, Lk] with axes::keys"));
}

TEST_CASE("bug 12: scores kept in half overflow") {
  Own own;
  own.q.row(3) *= 4e4, own.k *= 2;
  MatrixXd scores = own.q * own.k.transpose();
  for (int n = 0; n < scores.size(); ++n) {
    double& s = scores.data()[n];
    if (std::abs(s) > 65504) s = s > 0 ? inf : -inf;
  }
  const std::string found = all(
      explain_output(MatrixXd(Own::softmax(scores / 2) * own.v), own.q, own.k, own.v, mask::any{}));
  CHECK_THAT(found, ContainsSubstring("1 of 5 rows hold a NaN and have q k beyond 65504"));
  CHECK_THAT(found, !ContainsSubstring("off by"));
}

TEST_CASE("bug 13: rows that see no key are 0 / 0") {
  const Own own;
  MatrixXd seen = own.lower;
  seen.row(2).setZero();
  const auto rule = [](int i, int j) { return j <= i && i != 2; };
  CHECK_THAT(named(Own::softmax(Own::hide(own.scores, seen)) * own.v, own, rule),
             ContainsSubstring("1 of 5 rows hold a NaN and see no key"));
}

TEST_CASE("bug 14: q and k are exchanged") {
  const Own own;
  CHECK_THAT(named(Own::softmax(own.scores.transpose()) * own.v, own),
             ContainsSubstring("q and k are exchanged"));
  CHECK_THAT(all(report(own.k, MatrixXd(waves(3, 4, 0)), own.v, mask::any{}).findings),
             ContainsSubstring("q and k look exchanged"));
}

TEST_CASE("bug 15: dropout is left on") {
  const Own own;
  MatrixXd weights = Own::softmax(own.scores) / 0.75;
  weights(0, 1) = weights(2, 2) = weights(2, 4) = weights(3, 0) = weights(4, 3) = 0;
  CHECK_THAT(all(explain_weights(weights, own.q, own.k, own.v, mask::any{})),
             ContainsSubstring("Dropout is on: 5 of "));
}

TEST_CASE("and more: v taken for k, weights transposed, a product with sqrt(D)") {
  const Own own;
  const MatrixXd weights = Own::softmax(own.scores);
  CHECK_THAT(named(weights * own.k, own), ContainsSubstring("by k instead of v"));
  CHECK_THAT(named(weights.transpose() * own.v, own), ContainsSubstring("weights are transposed"));
  CHECK_THAT(named(Own::softmax(own.scores * 4) * own.v, own),
             ContainsSubstring("multiplied by sqrt(D)"));
}

TEST_CASE("and more: heads split by a view instead of a transpose") {
  constexpr int H = 3, D = 2;
  heed::Tensor4<double> x(1, L, H, D), right(1, H, L, D);
  for (int n = 0; n < x.size(); ++n) x.data()[n] = 2 * std::sin(0.4 + 1.9 * n);
  for (int l = 0; l < L; ++l) {
    for (int h = 0; h < H; ++h) {
      for (int d = 0; d < D; ++d) right(0, h, l, d) = x(0, l, h, d);
    }
  }
  const auto viewed = heed::view(static_cast<const double*>(x.data()), {1, H, L, D});
  const auto out = heed::reference::attention(viewed, viewed, viewed).out;
  const auto found = explain_output(out, right, right, right, mask::any{});
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0], ContainsSubstring("heads are split by a view"));
}

TEST_CASE("two mistakes at once are both named") {
  const Own own;
  const MatrixXd s = Own::hide(own.scores * 2, own.lower.transpose());
  const std::string two = named(Own::softmax(s) * own.v, own, mask::causal());
  CHECK_THAT(two, ContainsSubstring("Two mistakes together"));
  CHECK_THAT(two, ContainsSubstring("not scaled"));
  CHECK_THAT(two, ContainsSubstring("mask is transposed"));
  const std::string reported =
      all(report(own.q, own.k, own.v, mask::any(~mask::causal()), {}, {.scale = 1}).findings);
  CHECK_THAT(reported, ContainsSubstring("The scale is 1"));
  CHECK_THAT(reported, ContainsSubstring("causal mask inverted"));
}

TEST_CASE(
    "an output of another shape is refused, one that nothing explains is told with its size") {
  const Own own;
  CHECK_THROWS_WITH(explain_output(MatrixXd(5, 3), own.q, own.k, own.v, mask::any{}),
                    "heed::inspect::explain_output: out is [1,1,5,3] but the call's is [1,1,5,4]");
  CHECK_THAT(named(MatrixXd(own.v * 100), own), ContainsSubstring("neither one usual mistake"));
}

// docs/why_nan.md quotes what heed prints, on lines that begin with "> ".
std::vector<std::string> quotes_of_page() {
  std::ifstream page(HEED_TEST_DIR "/../docs/why_nan.md");
  std::vector<std::string> quotes;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("> ")) quotes.push_back(line.substr(2));
  }
  return quotes;
}

template <class T>
heed::Tensor2<T> constant(float value) {
  heed::Tensor2<T> x(6, 4);
  x.setConstant(static_cast<T>(value));
  return x;
}

// Every finding of the page's mistakes, on 6 queries and keys of dim 4.
std::vector<std::string> findings_of_page() {
  std::vector<std::string> found;
  const auto add = [&](const std::vector<std::string>& some) {
    found.insert(found.end(), some.begin(), some.end());
  };
  const MatrixXd x = waves(6, 4, 0.3), y = waves(6, 4, 1.9);
  const double nan = std::nan("");
  MatrixXd with_nan = y, with_inf = x, large_row = x, huge_row = x, large_value = y;
  with_nan(5, 3) = nan, with_inf(0, 0) = inf, large_value(2, 1) = 1e5;
  large_row.row(3) *= 60, huge_row.row(3) *= 1e5;
  const auto blind = [](int i, int j) { return i > 0 && j <= i; };
  add(report(x, with_nan, y, mask::any{}).findings);
  add(report(with_inf, x, y, mask::any{}).findings);
  add(report(x, x, y, mask::any(blind)).findings);
  add(report(x, x, y, mask::any([](int, int) { return false; })).findings);
  for (const double score : {-inf, nan, inf}) {
    const auto to = [score](double, int, int) { return score; };
    add(report(x, x, y, mask::any{}, to).findings);
  }
  using heed::Half;
  add(report(constant<Half>(150), constant<Half>(120), constant<Half>(1), mask::any{}).findings);
  add(report(constant<float>(1e20F), constant<float>(1e20F), constant<float>(1), mask::any{})
          .findings);
  const auto broken = [&](const MatrixXd& q, const MatrixXd& v, int row, const mask::any& rule) {
    MatrixXd out = heed::reference::attention(q, y, v, rule).out;
    out.row(row).setConstant(nan);
    add(explain_output(out, q, y, v, rule));
  };
  broken(x, y, 0, blind);
  broken(huge_row, y, 3, {});
  broken(large_row, y, 3, {});
  broken(x, large_value, 1, {});
  broken(x, y, 1, {});
  return found;
}

TEST_CASE("every line that the page on NaN quotes is one that heed prints") {
  const auto quotes = quotes_of_page(), found = findings_of_page();
  CHECK(quotes.size() == 15);
  for (const std::string& quote : quotes) {
    CAPTURE(quote, all(found));
    CHECK(std::count(found.begin(), found.end(), quote) > 0);
  }
}

}  // namespace
