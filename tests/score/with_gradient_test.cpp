#include "heed/score/with_gradient.hpp"

#include <array>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/score/alibi.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/chain_rule.hpp"
#include "heed/score/relative.hpp"
#include "heed/score/soft_cap.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

namespace score = heed::score;
using heed::Index;
using heed::test::ContainsSubstring;
using heed::test::scores_shape;
using score::operator>>;
using score::with_gradient;

const auto shape = scores_shape(2, 3, 4, 5);

// The only gradient of a score.
template <class S>
auto only(const S& score) {
  score::check(score, shape);
  return std::get<0>(score::gradients(score, shape));
}

}  // namespace

TEST_CASE("a gradient has the axes of its parameters") {
  heed::Tensor2<float> keys(2, 5), d_keys(2, 5);
  heed::Tensor3<float> heads(3, 4, 5);
  Eigen::MatrixXd column_major(4, 5);
  heed::Tensor3<double> d_heads(3, 4, 5);
  heed::Tensor2<float> plain(4, 5), table(3, 7);
  keys.setZero();
  heads.setZero();
  plain.setZero();
  table.setZero();
  const auto of_keys = only(with_gradient(score::bias(keys, score::axes::keys), d_keys));
  CHECK(&of_keys.to(1, 0, 0, 3) == &d_keys(1, 3));
  CHECK_FALSE(of_keys.pairs_apart);
  const auto of_heads = only(with_gradient(score::bias(heads, score::axes::heads), d_heads));
  CHECK(&of_heads.to(0, 2, 1, 3) == &d_heads(2, 1, 3));
  CHECK(of_heads.pairs_apart);
  const auto of_matrix = only(with_gradient(score::bias(plain), column_major));
  CHECK(&of_matrix.to(0, 0, 2, 3) == &column_major(2, 3));
  std::vector<double> list(21);
  const auto of_list = only(with_gradient(score::relative(table), list));
  CHECK(&of_list.to(0, 2, 0, 6) == &list[20]);
}

TEST_CASE("slopes of heads, and of batch entries too, have a list or a vector for their gradient") {
  const std::vector<float> slopes(3), slopes_of_batch(6);
  std::array<float, 6> list{};
  Eigen::VectorXf d_slopes(3);
  const auto shared = only(with_gradient(score::alibi(slopes), d_slopes));
  CHECK(&shared.to(0, 2, 0, 0) == &d_slopes(2));
  const auto own = only(with_gradient(score::alibi(slopes_of_batch), list));
  CHECK(&own.to(1, 2, 0, 0) == &list[5]);
}

TEST_CASE("a gradient of another shape is refused with both shapes") {
  heed::Tensor4<float> bias(2, 1, 4, 5), d_bias(1, 2, 4, 5);
  bias.setZero();
  const auto text_of = [](const auto& score) {
    return heed::test::error_of([&] { score::check(score, shape); });
  };
  CHECK_THAT(text_of(with_gradient(score::bias(bias), d_bias)),
             ContainsSubstring("gradient [1,2,4,5], parameters [2,1,4,5]"));
  std::vector<float> slopes(3), d_slopes(4);
  CHECK_THAT(text_of(score::soft_cap(2) >> with_gradient(score::alibi(slopes), d_slopes)),
             ContainsSubstring("gradient [1,1,1,4], parameters [1,3,1,1]"));
  heed::Tensor2<float> table(3, 7), turned(7, 3);
  table.setZero();
  CHECK_THAT(text_of(with_gradient(score::relative(table), turned)),
             ContainsSubstring("gradient [1,1,7,3], parameters [1,3,1,7]"));
  CHECK_THAT(text_of(with_gradient(score::alibi(d_slopes), slopes)),
             ContainsSubstring("4 slopes for 3 query heads"));
}

TEST_CASE("backward through a chain multiplies by its derivative, row by row and pair by pair") {
  heed::Tensor2<double> table(3, 3), d_table(3, 3);
  table.setConstant(0.25);
  const std::vector<float> slopes(3, 0.5F);
  std::vector<double> d_slopes(3);
  const auto chain = score::soft_cap(2) >> with_gradient(score::relative(table), d_table) >>
                     score::soft_cap(3) >> with_gradient(score::alibi(slopes), d_slopes);
  using Chain = std::remove_const_t<decltype(chain)>;
  static_assert(score::gradient_count<Chain> == 2);
  const auto bound = score::bind(chain, shape, 1, 2);
  const std::array<double, 5> s{0.5, -3, 1, 0.25, 2}, d_value{1, 2, 0, -1, 0.5};
  const auto run = [&](int keys) {
    std::array<double, 4> sums{};  // three distances and a slope
    std::array<double, 5> d = d_value;
    const std::tuple to{score::HeadSums<double, false>{{}, {sums.data(), {1, 3}, {0, 1}}},
                        score::HeadSums<double, false>{{}, {sums.data() + 3, {1, 1}, {0, 0}}}};
    for (int j = 0; j < 5; j += keys) {
      const auto at = static_cast<std::size_t>(j);
      score::ChainRule<Chain>::row<0, 5>(bound, to, d.data() + at, s.data() + at, 1, j, keys);
    }
    for (int j = 0; j < 5; ++j) {
      const auto at = static_cast<std::size_t>(j);
      CHECK(d[at] == Approx(d_value[at] * bound.derivative(s[at], 1, j)));
    }
    return sums;
  };
  const auto row = run(5), pairs = run(1);
  for (std::size_t n = 0; n < 4; ++n) CHECK(row[n] == Approx(pairs[n]));
  CHECK(row[3] == Approx(-(2 * 1.0 + 2 * 1 + -1 * 1 + 0.5 * 2)));  // Σ −d·distance from key 2
}
