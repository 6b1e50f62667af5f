// The report counts what is there, and names the mistakes that were put in.
#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include "heed/inspect/report.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/dense.hpp"
#include "heed/score/soft_cap.hpp"
#include "support/catch.hpp"

namespace {

using heed::Tensor2;
using heed::Tensor3;
using heed::Tensor4;
using heed::inspect::report;
using heed::inspect::Report;
using heed::test::ContainsSubstring;

constexpr float inf = std::numeric_limits<float>::infinity();

template <class T = float>
Tensor3<T> waves(int B, int L, int D, double phase, double size = 1) {
  Tensor3<T> x(B, L, D);
  for (int i = 0; i < B * L * D; ++i) {
    x.data()[i] = static_cast<T>(static_cast<float>(size * std::sin(phase + 1.3 * i)));
  }
  return x;
}

std::string all_findings(const Report& r) {
  std::string text;
  for (const auto& finding : r.findings) text += finding + '\n';
  return text;
}

// The documents' example: 4 queries, 6 keys, the last two keys off.
struct Example {
  Tensor3<float> q = waves(1, 4, 8, 0.1), k = waves(1, 6, 8, 0.7), v = waves(1, 6, 8, 2.9);
  Tensor3<float> mask{1, 1, 6};

  Example() { mask.setValues({{{1, 1, 1, 1, 0, 0}}}); }
};

TEST_CASE("the documents' example, number by number") {
  const Example e;
  const Report r = report(e.q, e.k, e.v, heed::mask::dense(e.mask));
  CHECK(r.error.empty());
  CHECK(r.q_shape == "[1,4,8]");
  CHECK(r.element == "float");
  CHECK(r.scale == Approx(1 / std::sqrt(8.0)));
  CHECK(r.q.count == 32);
  CHECK(r.q.all_finite());
  CHECK(r.raw.count == 24);
  CHECK(r.scaled.high == Approx(r.raw.high * r.scale));
  CHECK(r.modified.low == Approx(r.scaled.low));
  CHECK(r.attended.count == 16);
  CHECK(r.mask.pairs == 24);
  CHECK(r.mask.seen == 16);
  CHECK(r.mask.hidden_by_mask == 8);
  CHECK(r.mask.hidden_by_score == 0);
  CHECK(r.mask.rows == 4);
  CHECK(r.mask.fully_masked_rows == 0);
  CHECK(r.weights.values.low == 0);
  CHECK(r.weights.row_sums.count == 4);
  CHECK(r.weights.row_sums.low == Approx(1));
  CHECK(r.weights.row_sums.high == Approx(1));
  CHECK(r.out.count == 32);
  CHECK(r.out.all_finite());
  CHECK(r.findings.empty());
}

TEST_CASE("rows beside a sink may sum to less than 1") {
  const Example e;
  const std::vector<float> sinks{5};
  const Report r = report(e.q, e.k, e.v, {}, {}, {.sinks = sinks});
  CHECK(r.weights.row_sums.high < 0.9);
  CHECK(all_findings(r).find("should sum to 1") == std::string::npos);
  CHECK_THAT(r.text(), ContainsSubstring("sinks have the rest"));
}

TEST_CASE("the ranges are those of the numbers") {
  Tensor2<double> q(1, 2), k(2, 2), v(2, 1);
  q.setValues({{1, 2}});
  k.setValues({{1, 1}, {-3, 0}});
  v.setValues({{10}, {20}});
  const Report r = report(q, k, v, {}, heed::score::soft_cap(1.0F), {.scale = 0.5});
  CHECK(r.raw.low == -3);
  CHECK(r.raw.high == 3);
  CHECK(r.scaled.high == 1.5);
  CHECK(r.modified.high == Approx(std::tanh(1.5)));
  const double p = 1 / (1 + std::exp(-2 * std::tanh(1.5)));
  CHECK(r.weights.mean_peak == Approx(p));
  CHECK(r.out.low == Approx(10 * p + 20 * (1 - p)));
}

TEST_CASE("every shape that the documents print is there") {
  const Example e;
  const Report r = report(e.q, e.k, e.v, heed::mask::dense(e.mask));
  CHECK(r.mask_shape == "[1,1,6]");
  CHECK(r.scores_shape == "[1,4,6]");
  CHECK(r.out_shape == "[1,4,8]");
  const std::string text = r.text();
  for (const char* line : {"mask                    [1,1,6]", "d_k                     8",
                           "q k'                    [1,4,6]", "weights                 [1,4,6]",
                           "out                     [1,4,8]"}) {
    CHECK_THAT(text, ContainsSubstring(line));
  }
  CHECK(report(e.q, e.k, e.v).mask_shape == "none");
  CHECK(report(e.q, e.k, e.v, heed::mask::causal()).mask_shape == "a rule over [1,4,6]");
  const Tensor4<float> q(2, 3, 4, 8), k(2, 3, 6, 8);
  Tensor2<float> pad(2, 6);
  Tensor3<float> heads(3, 4, 6);
  pad.setConstant(1), heads.setConstant(1);
  CHECK(report(q, k, k, heed::mask::dense(pad, heed::axes::keys)).mask_shape == "[2,6]");
  CHECK(report(q, k, k, heed::mask::dense(heads, heed::axes::heads)).mask_shape == "[3,4,6]");
}

TEST_CASE("a bias of -inf everywhere is not blamed on the mask") {
  const Example e;
  const auto hide_all = [](float, int, int) { return -inf; };
  const Report r = report(e.q, e.k, e.v, {}, hide_all);
  CHECK(r.mask.fully_masked_by_score == 4);
  CHECK(all_findings(r) ==
        "Every score is -inf after the score modifiers, so no query sees a key: the bias hides "
        "all, not the mask. An additive mask is 0 where it attends\n");
  CHECK_THAT(all_findings(report(e.q, e.k, e.v, heed::mask::dense(e.mask), hide_all)),
             ContainsSubstring("the mask hides 8 of 24 pairs, a score of -inf the other 16"));
  CHECK_THAT(all_findings(
                 report(e.q, e.k, e.v, {}, [](float s, int i, int) { return i == 1 ? -inf : s; })),
             ContainsSubstring("all their scores are -inf"));
}

TEST_CASE("scores that overflow float are told as heed's own, with what becomes of out") {
  auto q = waves(1, 4, 8, 0.1), k = q;
  q = q * 1e20F, k = k * 1e20F;
  const Report r = report(q, k, k);
  CHECK(r.out.nan == 32);
  const std::string found = all_findings(r);
  CHECK_THAT(found, ContainsSubstring("overflows float in"));
  CHECK_THAT(found, ContainsSubstring("in heed too: 32 of 32 numbers of out are NaN"));
  CHECK_THAT(found, !ContainsSubstring("as heed does"));
  k = -k;
  CHECK_THAT(all_findings(report(q, k, k)), ContainsSubstring("overflows float in"));
  Tensor2<double> wide(2, 2);
  wide.setConstant(1e200);
  CHECK_THAT(all_findings(report(wide, wide, wide)),
             ContainsSubstring("q k is beyond the largest double and overflows double in 4 of 4"));
}

TEST_CASE("printed, it has six sections and says so when nothing is wrong") {
  const Example e;
  std::ostringstream stream;
  stream << report(e.q, e.k, e.v, heed::mask::dense(e.mask));
  const std::string text = stream.str();
  for (const char* part : {"1. Shapes (float)", "2. Inputs", "3. Scores", "4. Mask", "5. Weights",
                           "6. Output", "[1,4,8]", "16 of 24", "nothing looks wrong"}) {
    CHECK_THAT(text, ContainsSubstring(part));
  }
}

TEST_CASE("wrong shapes are reported, not thrown") {
  const auto q = waves(1, 4, 8, 0), k_transposed = waves(1, 8, 6, 1), v = waves(1, 8, 8, 2);
  const Report r = report(q, k_transposed, v);
  CHECK_THAT(r.error, ContainsSubstring("k has dim 6 but q has dim 8"));
  CHECK_THAT(all_findings(r), ContainsSubstring("k looks transposed"));
  CHECK_THAT(r.text(), ContainsSubstring("[1,8,6]"));

  const Example e;
  Tensor2<float> wrong(6, 4);
  wrong.setConstant(1);
  const Report masked = report(e.q, e.k, e.v, heed::mask::dense(wrong));
  CHECK_THAT(masked.error, ContainsSubstring("heed::mask::dense"));
  CHECK_THAT(all_findings(masked), ContainsSubstring("[B, 1, 1, Lk]"));
}

TEST_CASE("a forgotten scale and a scale applied twice") {
  const Example e;
  CHECK_THAT(all_findings(report(e.q, e.k, e.v, {}, {}, {.scale = 1})),
             ContainsSubstring("The scale is 1, not 1/sqrt(D) = 0.3536"));
  CHECK_THAT(all_findings(report(e.q, e.k, e.v, {}, {}, {.scale = 1.0 / 8})),
             ContainsSubstring("scaled twice"));
}

TEST_CASE("inputs too large saturate the softmax") {
  const auto q = waves(1, 8, 16, 0, 30), k = waves(1, 8, 16, 1, 30);
  CHECK_THAT(all_findings(report(q, k, k)), ContainsSubstring("saturated"));
}

TEST_CASE("masks: everything hidden, queries instead of keys, single fully masked rows") {
  const auto x = waves(1, 5, 4, 0);
  const auto with = [&](auto mask) { return all_findings(report(x, x, x, mask)); };
  CHECK_THAT(with([](int, int) { return false; }),
             ContainsSubstring("hides every key from every query"));
  CHECK_THAT(with([](int i, int) { return i < 3; }), ContainsSubstring("Is it transposed?"));
  CHECK_THAT(with([](int i, int j) { return i > 1 && j <= i; }),
             ContainsSubstring("2 of 5 rows see no key: their output is 0"));
}

TEST_CASE("masks: inverted and transposed causal, inverted diagonal") {
  const auto x = waves(1, 5, 4, 0);
  const auto with = [&](auto mask) { return all_findings(report(x, x, x, mask)); };
  CHECK(with(heed::mask::causal()).empty());
  CHECK_THAT(with(~heed::mask::causal()), ContainsSubstring("causal mask inverted"));
  CHECK_THAT(with([](int i, int j) { return j >= i; }),
             ContainsSubstring("this one is transposed"));
  CHECK_THAT(with([](int i, int j) { return i != j; }),
             ContainsSubstring("No query sees its own position"));
}

TEST_CASE("an inverted padding mask is seen by the zeros it shows") {
  Example e;
  for (int j = 4; j < 6; ++j) {
    for (int d = 0; d < 8; ++d) e.k(0, j, d) = e.v(0, j, d) = 0;
  }
  CHECK(report(e.q, e.k, e.v, heed::mask::dense(e.mask)).findings.empty());
  CHECK_THAT(all_findings(report(e.q, e.k, e.v, [](int, int j) { return j >= 4; })),
             ContainsSubstring("the padding mask is inverted"));
}

TEST_CASE("NaN and infinities in the inputs are traced to their tensor") {
  Example e;
  e.k(0, 5, 3) = std::nanf("");
  const Report hidden = report(e.q, e.k, e.v, heed::mask::dense(e.mask));
  CHECK(hidden.k.nan == 1);
  CHECK(hidden.raw.nan == 4);
  CHECK(hidden.attended.nan == 0);
  CHECK(hidden.out.nan == 0);
  CHECK_THAT(all_findings(hidden), ContainsSubstring("k already holds 1 of 48 NaN"));
  CHECK_THAT(all_findings(hidden), !ContainsSubstring("numbers of out are NaN"));
  CHECK_THAT(all_findings(report(e.q, e.k, e.v)),
             ContainsSubstring("32 of 32 numbers of out are NaN"));

  Example with_inf;
  with_inf.q(0, 0, 0) = inf;
  CHECK_THAT(all_findings(report(with_inf.q, with_inf.k, with_inf.v)),
             ContainsSubstring("q holds 1 of 32 infinities"));
}

TEST_CASE("score modifiers that make infinities, NaN or hide keys") {
  const Example e;
  const auto with = [&](auto score) { return report(e.q, e.k, e.v, {}, score); };
  CHECK_THAT(all_findings(with([](float, int, int) { return inf; })),
             ContainsSubstring("24 of 24 attended scores are +inf"));
  CHECK_THAT(all_findings(with([](float, int, int) { return std::nanf(""); })),
             ContainsSubstring("turn 24 of 24 attended scores into NaN"));
  const Report hidden = with([](float s, int, int j) { return j < 2 ? -inf : s; });
  CHECK(hidden.mask.hidden_by_score == 8);
  CHECK(hidden.mask.seen == 16);
  CHECK(hidden.modified.minus_infinity == 8);
}

TEST_CASE("half: dots beyond 65504 are told, and out has no NaN") {
  const auto q = waves<heed::Half>(1, 4, 16, 0.5, 200), k = waves<heed::Half>(1, 4, 16, 0.5, 200);
  const auto v = waves<heed::Half>(1, 4, 16, 0);
  const Report r = report(q, k, v);
  CHECK(r.element == "half");
  CHECK(r.element_max == 65504);
  CHECK(r.raw.high > 65504);
  CHECK_THAT(all_findings(r), ContainsSubstring("beyond the largest half (6.55e+04)"));
  CHECK(r.out.nan == 0);
}

TEST_CASE("empty calls have empty reports") {
  const Tensor4<float> q(1, 2, 0, 4), k(1, 2, 3, 4);
  const Report r = report(q, k, k);
  CHECK(r.error.empty());
  CHECK(r.raw.count == 0);
  CHECK(r.findings.empty());
  CHECK_THAT(r.text(), ContainsSubstring("empty"));
  const auto x = waves(1, 3, 4, 0), none = waves(1, 0, 4, 0);
  const Report blind = report(x, none, none);
  CHECK(blind.mask.rows == 3);
  CHECK(blind.out.high == 0);
}

TEST_CASE("grouped heads are counted once a query head") {
  Tensor4<float> q(2, 4, 3, 8), k(2, 2, 5, 8);
  q.setRandom(), k.setRandom();
  const Report r = report(q, k, k, heed::mask::causal());
  CHECK(r.mask.pairs == 2 * 4 * 3 * 5);
  CHECK(r.mask.seen == 2 * 4 * (3 + 4 + 5));
  CHECK(r.mask.rows == 24);
}

}  // namespace
