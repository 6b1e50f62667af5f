// The weights of a few queries are rows of the reference's.
#include "heed/attention/row_weights.hpp"

#include "heed/attention/reference/forward.hpp"
#include "heed/mask/any.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/padding.hpp"
#include "heed/score/alibi.hpp"
#include "support/error.hpp"
#include "support/problem.hpp"

namespace heed {

using test::Inputs;
using test::Layout;

TEMPLATE_TEST_CASE("attention_weights: the reference's rows, in the order asked for", "", float,
                   double, Half) {
  const double tolerance = sizeof(TestType) == 2 ? 1e-3 : sizeof(TestType) == 4 ? 1e-6 : 1e-14;
  const Inputs<TestType> in({2, 4, 2, 30, 41, 8, 8, 4}, Layout::gaps, 3);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const std::vector<int> lengths = {41, 0};  // batch 1 sees no key
  const std::vector<float> slopes = score::alibi_slopes(4);
  const mask::any seen = mask::causal() & mask::padding(lengths);
  const auto bias = score::alibi(slopes);
  const std::vector<int> rows = {29, 0, 7, 7};
  const std::vector<float> sinks{1, 200, -3, 2};
  const Options options{.sinks = sinks};
  const auto weights = attention_weights(q, k, rows, seen, bias, options);
  const auto whole = reference::attention<double>(q, k, in.v.cview(), seen, bias, options).weights;
  REQUIRE(weights.dimension(0) == 2);
  REQUIRE(weights.dimension(1) == 4);
  REQUIRE(weights.dimension(2) == 4);
  REQUIRE(weights.dimension(3) == 41);
  for (Index b = 0; b < 2; ++b) {
    for (Index h = 0; h < 4; ++h) {
      for (Index r = 0; r < 4; ++r) {
        for (Index j = 0; j < 41; ++j) {
          const double expected = whole(b, h, rows[static_cast<std::size_t>(r)], j);
          const double got = static_cast<double>(weights(b, h, r, j));
          CHECK(std::abs(got - expected) < tolerance);
          if (b == 1) CHECK(got == 0);
        }
      }
    }
  }
}

TEST_CASE("attention_weights: any rank and number of rows; a row that is not there is an error") {
  Tensor3<float> q(2, 5, 4), k(2, 6, 4);
  q.setRandom(), k.setRandom();
  const auto all = attention_weights(q, k, {0, 1, 2, 3, 4});
  CHECK(all.dimension(1) == 5);
  const std::vector<std::int64_t> last = {4};
  const auto one = attention_weights(q, k, last, {}, {}, {.threads = 2});
  for (Index j = 0; j < 6; ++j) CHECK(one(1, 0, j) == all(1, 4, j));
  CHECK(attention_weights(q, k, std::vector<int>{}).size() == 0);
  const Eigen::MatrixXf m = Eigen::MatrixXf::Random(3, 4);
  CHECK(attention_weights(m, m, {1}).dimension(0) == 1);
  CHECK(test::error_of([&] {
          attention_weights(q, k, {0, 5});
        }) == "heed::attention_weights: row 5 is outside [0, 5)");
  CHECK_THROWS_AS(attention_weights(q, k, {-1}), Error);
  CHECK_THROWS_AS(attention_weights(q, Tensor3<float>(2, 6, 3), {0}), Error);
}

TEST_CASE("attention_weights: two rows of a million keys need no more than those rows") {
  std::vector<float> numbers(1 << 20, 0.5f);
  const auto q = view(numbers.data(), {1, 1, 1 << 20, 1}).as_const();
  const auto weights = attention_weights(q, q, {0, (1 << 20) - 1}, mask::causal());
  CHECK(weights.size() == 2 << 20);
  CHECK(weights(0, 0, 0, 0) == 1);
  CHECK(weights(0, 0, 0, 1) == 0);
  CHECK(weights(0, 0, 1, 77) == 0x1p-20f);
}

}  // namespace heed
