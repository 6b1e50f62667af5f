// Gradient flow: norms against differences of the loss, and the documents' four gradient issues,
// each put in and named.
#include <cmath>
#include <limits>
#include <string>

#include "heed/attention/attention.hpp"
#include "heed/attention/backward.hpp"
#include "heed/core/eigen.hpp"
#include "heed/inspect/gradient_flow.hpp"
#include "heed/inspect/gradient_picture.hpp"
#include "heed/mask/causal.hpp"
#include "heed/score/soft_cap.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"

namespace {

using heed::Index;
using heed::Tensor3;
using heed::Tensor4;
using heed::inspect::every_row;
using heed::inspect::gradient_flow;
using heed::inspect::GradientFlow;
using heed::test::ContainsSubstring;
using heed::test::error_of;

template <class T = float>
Tensor3<T> waves(int L, int D, double phase, double size = 1, int B = 1) {
  Tensor3<T> x(B, L, D);
  for (int i = 0; i < B * L * D; ++i) {
    x.data()[i] = static_cast<T>(static_cast<float>(size * std::sin(phase + 1.3 * i)));
  }
  return x;
}

std::string all_findings(const GradientFlow& f) {
  std::string text;
  for (const auto& finding : f.findings) text += finding + '\n';
  return text;
}

TEST_CASE("the documents' example: one output row of five tokens") {
  const auto q = waves<double>(5, 4, 0.1), k = waves<double>(5, 4, 0.7), v = waves<double>(5, 4, 2);
  const GradientFlow f = gradient_flow(q, k, v, 2);
  CHECK(f.d_out_norm == Approx(2));  // four ones
  REQUIRE(f.d_q.by_position.positions == 5);
  for (Index j = 0; j < 5; ++j) {
    CAPTURE(j);
    CHECK((f.d_q.by_position.at(0, j) > 0) == (j == 2));
    CHECK(f.d_v.by_position.at(0, j) == Approx(2 * f.weights.at(0, j)));  // p·√Dv
  }
  CHECK(f.d_q.values.count == 20);
  CHECK(f.forward.weights.row_sums.low == Approx(1));
  CHECK(f.findings.empty());
}

TEST_CASE("norms of every head are those of attention_backward, over batch entries and groups") {
  Tensor4<float> q(2, 4, 3, 8), k(2, 2, 5, 8), v(2, 2, 5, 6), d_out(2, 4, 3, 6);
  q.setRandom(), k.setRandom(), v.setRandom(), d_out.setConstant(1);
  const auto mask = heed::mask::causal();
  const GradientFlow f = gradient_flow(q, k, v, every_row, mask, heed::score::soft_cap(2));
  const auto result = heed::attention(q, k, v, mask, heed::score::soft_cap(2));
  const auto g = heed::attention_backward(d_out, q, k, v, result, mask, heed::score::soft_cap(2));
  const auto check = [](const heed::inspect::GradientNorms& norms, const Tensor4<float>& x) {
    REQUIRE(norms.by_position.heads == x.dimension(1));
    REQUIRE(norms.by_position.positions == x.dimension(2));
    double all = 0;
    for (Index h = 0; h < x.dimension(1); ++h) {
      for (Index i = 0; i < x.dimension(2); ++i) {
        double squares = 0;
        for (Index b = 0; b < 2; ++b) {
          for (Index d = 0; d < x.dimension(3); ++d) {
            squares += std::pow(static_cast<double>(x(b, h, i, d)), 2);
          }
        }
        all += squares;
        CHECK(norms.by_position.at(h, i) == Approx(std::sqrt(squares)).epsilon(1e-5).margin(1e-6));
      }
    }
    CHECK(norms.norm == Approx(std::sqrt(all)).epsilon(1e-5));
  };
  check(f.d_q, g.d_q), check(f.d_k, g.d_k), check(f.d_v, g.d_v);
  CHECK(f.weights.heads == 4);
  CHECK(f.mean_peak > 0.2);
  CHECK(f.mean_peak < 1);
}

TEST_CASE("masking stops gradients: a hidden key receives exactly 0") {
  const auto x = waves(6, 4, 0.3);
  const GradientFlow f = gradient_flow(x, x, x, 2, heed::mask::causal());
  for (Index j = 0; j < 6; ++j) {
    CHECK((f.d_v.by_position.at(0, j) == 0) == (j > 2));
    CHECK((f.d_k.by_position.at(0, j) == 0) == (j > 2));
  }
}

TEST_CASE("even weights let all through the softmax, one key nothing") {
  auto q = waves(4, 4, 0.1, 0);  // every score is 0
  const auto k = waves(4, 4, 0.7), v = waves(4, 4, 2);
  CHECK(gradient_flow(q, k, v).through_softmax == Approx(1));
  q = waves(4, 4, 0.1, 4000);
  CHECK(gradient_flow(q, k, v).through_softmax < 1e-6);
}

TEST_CASE("vanishing gradients are traced to a missing scale, large inputs, or a soft cap") {
  const auto q = waves(6, 64, 0.1, 4), k = waves(6, 64, 0.7, 4), v = waves(6, 64, 2);
  const std::string unscaled =
      all_findings(gradient_flow(q, k, v, every_row, {}, {}, {.scale = 1}));
  CHECK_THAT(unscaled, ContainsSubstring("Gradients of q and k vanish: the softmax is peaked"));
  CHECK_THAT(unscaled, ContainsSubstring("Scale the scores by 1/sqrt(D) = 0.125, not 1"));
  const auto large = waves(6, 64, 0.1, 40), keys = waves(6, 64, 0.7, 40);
  CHECK_THAT(all_findings(gradient_flow(large, keys, v)), ContainsSubstring("normalise q and k"));
  const auto capped = gradient_flow(large, keys, v, every_row, {}, heed::score::soft_cap(1));
  CHECK(capped.through_softmax > 0.1);
  CHECK_THAT(all_findings(capped), ContainsSubstring("is a soft cap saturated?"));
}

TEST_CASE("exploding gradients name the inputs whose size they have") {
  auto v = waves(6, 4, 2, 3e4);
  const auto x = waves(6, 4, 0.1);
  const std::string found = all_findings(gradient_flow(x, x, v));
  CHECK_THAT(found, ContainsSubstring("d_q explodes: its norm is"));
  CHECK_THAT(found, ContainsSubstring("v up to 3e+04 do: normalise them, or clip gradients"));
  CHECK_THAT(found, !ContainsSubstring("d_v explodes"));
}

TEST_CASE("NaN gradients are traced: an input, an overflow, a row that sees nothing") {
  const auto x = waves(5, 4, 0.1);
  auto broken = x;
  broken(0, 1, 2) = std::numeric_limits<float>::quiet_NaN();
  const GradientFlow of_input = gradient_flow(x, broken, x, 2);
  CHECK(of_input.d_q.values.nan == 20);  // every query sees it, and 0 · NaN is NaN
  CHECK_THAT(all_findings(of_input), ContainsSubstring("k already holds 1 of 20 NaN"));
  CHECK_THAT(all_findings(of_input), ContainsSubstring("gradients are NaN, for what is said here"));
  const GradientFlow hidden = gradient_flow(x, broken, x, 2, [](int, int j) { return j != 1; });
  CHECK(hidden.d_q.finite());
  CHECK(hidden.d_k.finite());

  const auto huge = waves(5, 4, 0.1, 1e25);
  CHECK_THAT(all_findings(gradient_flow(huge, huge, x)), ContainsSubstring("overflows float"));

  const GradientFlow blind = gradient_flow(x, x, x, every_row, [](int i, int j) { return j < i; });
  CHECK(blind.d_q.finite());
  CHECK(blind.d_q.by_position.at(0, 0) == 0);
  CHECK_THAT(all_findings(blind),
             ContainsSubstring("1 of 5 rows see no key: their gradients are 0 here"));
  CHECK_THAT(all_findings(blind),
             ContainsSubstring("nan_to_num after the softmax mends out alone"));
}

TEST_CASE("uneven flow: keys that all queries pass over never learn") {
  auto k = waves(8, 4, 0.7, 0.1);
  Tensor3<float> q(1, 8, 4);
  q.setConstant(1);
  for (int d = 0; d < 4; ++d) k(0, 3, d) = 8, k(0, 5, d) = 8;
  const GradientFlow f = gradient_flow(q, k, waves(8, 4, 2));
  CHECK(f.seen_keys == 8);
  CHECK(f.silent_keys == 6);
  CHECK_THAT(all_findings(f), ContainsSubstring("6 of 8 keys that are seen get less than 0.001"));
  CHECK_THAT(all_findings(f), ContainsSubstring("Dropout on the weights"));
}

TEST_CASE("half: gradients too small or too large for the type are counted") {
  const auto q = waves<heed::Half>(4, 4, 0.1), k = waves<heed::Half>(4, 4, 0.7);
  const auto tiny = waves<heed::Half>(4, 4, 2, 1e-7);
  const GradientFlow under = gradient_flow(q, k, tiny);
  CHECK(under.d_q.underflows > 8);
  CHECK_THAT(all_findings(under), ContainsSubstring("are not 0, but are as half"));
  const auto large_k = waves<heed::Half>(4, 4, 0.7, 40), large = waves<heed::Half>(4, 4, 2, 6e4);
  const auto small_q = waves<heed::Half>(4, 4, 0.1, 0.01);
  const GradientFlow over = gradient_flow(small_q, large_k, large);
  CHECK(over.d_q.overflows > 0);
  CHECK_THAT(all_findings(over), ContainsSubstring("beyond the largest half: scale the loss down"));
}

TEST_CASE("printed: shapes, magnitudes, weights and norms by position") {
  const auto x = waves(4, 8, 0.1), k = waves(4, 8, 0.7);
  const std::string text = gradient_flow(x, k, k, 2).text();
  for (const char* part :
       {"Gradient flow of the sum of row 2 of out", "1. Shapes (float)",
        "q, d_q                  [1,4,8]", "2. Magnitudes", "d_k", "norm ", "3. Weights",
        "row sums", "4. Norms by position", "nothing looks wrong"}) {
    CHECK_THAT(text, ContainsSubstring(part));
  }
  const auto longer = waves(40, 8, 0.1);
  const std::string of_many = gradient_flow(longer, longer, longer, 7).text();
  CHECK_THAT(of_many, ContainsSubstring(" at 7, the rest 0"));  // d_q
  CHECK_THAT(of_many, ContainsSubstring(", the rest less"));    // d_v
}

TEST_CASE("wrong calls: a row that is not there, shapes that do not fit") {
  const auto x = waves(4, 8, 0.1), other = waves(4, 6, 0.1);
  CHECK_THAT(error_of([&] { gradient_flow(x, x, x, 4); }),
             ContainsSubstring("heed::inspect::gradient_flow") && ContainsSubstring("row 4"));
  const GradientFlow refused = gradient_flow(x, other, x);
  CHECK_THAT(refused.forward.error, ContainsSubstring("k has dim 6 but q has dim 8"));
  CHECK_THAT(refused.text(), ContainsSubstring("k has dim 6"));
}

// The pixel in the middle of a cell is darker where the norm is larger.
TEST_CASE("a picture has a row a head of every layer, and a column a position") {
  Tensor4<float> q(1, 2, 5, 4), k(1, 2, 5, 4);
  q.setRandom(), k.setRandom();
  const GradientFlow f = gradient_flow(q, k, k, 2, heed::mask::causal());
  const auto one = heed::inspect::gradient_picture(f);
  const auto two = heed::inspect::gradient_picture({f, f, f});
  CHECK(one.width() > 400);
  CHECK(two.height() > one.height() + 2 * 4 * 40);  // four more rows of cells in both panels
  const GradientFlow shorter = gradient_flow(waves(4, 4, 0), waves(4, 4, 1), waves(4, 4, 2));
  CHECK_THAT(error_of([&] {
               heed::inspect::gradient_picture({f, shorter});
             }),
             ContainsSubstring("layer 1 has 4 positions, the first 5"));
}

}  // namespace
