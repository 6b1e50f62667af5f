// The tests of the documents, with the numbers that are true.
#include "support/problem.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;

// Q = K = V of the hand-computed case, its printed numbers and the exact ones.
constexpr double tokens[3][4] = {{1, 0, 1, 0}, {0, 1, 0, 1}, {1, 1, 0, 0}};
constexpr double printed_weights[3][3] = {
    {0.5066, 0.1863, 0.3071}, {0.1863, 0.5066, 0.3071}, {0.2741, 0.2741, 0.4518}};
constexpr double printed_output[3][4] = {{0.8137, 0.4934, 0.5066, 0.1863},
                                         {0.4934, 0.8137, 0.1863, 0.5066},
                                         {0.7259, 0.7259, 0.2741, 0.2741}};
constexpr double exact_weights[3][3] = {
    {0.506480, 0.186324, 0.307196}, {0.186324, 0.506480, 0.307196}, {0.274069, 0.274069, 0.451863}};
constexpr double exact_output[3][4] = {{0.813676, 0.493520, 0.506480, 0.186324},
                                       {0.493520, 0.813676, 0.186324, 0.506480},
                                       {0.725931, 0.725931, 0.274069, 0.274069}};

template <class T>
Tensor3<T> hand_computed_tokens() {
  Tensor3<T> x(1, 3, 4);
  for (Index i = 0; i < 3; ++i) {
    for (Index d = 0; d < 4; ++d) x(0, i, d) = static_cast<T>(tokens[i][d]);
  }
  return x;
}

template <class T, class X, std::size_t Cols>
void require_numbers(const X& x, const double (&exact)[3][Cols], const double (&printed)[3][Cols]) {
  const double tolerance = 5e-7 + 4 * test::unit_roundoff<T>();
  for (Index i = 0; i < 3; ++i) {
    for (Index d = 0; d < static_cast<Index>(Cols); ++d) {
      const double value = static_cast<double>(x(0, i, d));
      CAPTURE(i, d, value);
      REQUIRE(std::abs(value - exact[i][d]) <= tolerance);
      if (sizeof(T) >= 4) REQUIRE(std::abs(value - printed[i][d]) <= 2e-4);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("the hand-computed three tokens, on every path and type", "", float, double,
                   Half, BFloat16) {
  const auto x = hand_computed_tokens<TestType>();
  for (const Backend backend :
       {Backend::automatic, Backend::flash, Backend::chunked, Backend::reference}) {
    const auto result = attention(x, x, x, {}, {}, {.backend = backend});
    require_numbers<TestType>(result.out, exact_output, printed_output);
  }
  const auto textbook = reference::attention(x, x, x);
  require_numbers<TestType>(textbook.out, exact_output, printed_output);
  require_numbers<TestType>(textbook.weights, exact_weights, printed_weights);
  const auto oracle = reference::attention<double>(x, x, x);
  require_numbers<double>(oracle.weights, exact_weights, printed_weights);
  const auto chunked = chunked::attention(x, x, x, {}, {}, {.chunk = 2, .weights = true});
  require_numbers<TestType>(chunked.out, exact_output, printed_output);
  require_numbers<TestType>(chunked.weights, exact_weights, printed_weights);
}

TEST_CASE("shapes, with keys and values of different dimension") {
  const Tensor3<float> q = Tensor3<float>(2, 10, 64).setRandom();
  const Tensor3<float> k = Tensor3<float>(2, 15, 64).setRandom();
  const Tensor3<float> v = Tensor3<float>(2, 15, 32).setRandom();
  const auto result = attention(q, k, v);
  REQUIRE(result.out.dimensions() == Tensor3<float>(2, 10, 32).dimensions());
  REQUIRE(result.lse.dimensions() == Tensor2<float>(2, 10).dimensions());
  REQUIRE(reference::attention(q, k, v).weights.dimensions() ==
          Tensor3<float>(2, 10, 15).dimensions());
}

TEST_CASE("rows of weights sum to 1") {
  const Tensor3<float> q = Tensor3<float>(2, 5, 8).setRandom();
  const Tensor3<float> k = Tensor3<float>(2, 10, 8).setRandom();
  const auto weights = reference::attention(q, k, k).weights;
  for (Index row = 0; row < 10; ++row) {
    double sum = 0;
    for (Index j = 0; j < 10; ++j) sum += static_cast<double>(weights.data()[row * 10 + j]);
    REQUIRE(std::abs(sum - 1) < 1e-6);
  }
}

TEST_CASE("masked positions have weight 0") {
  const Tensor3<float> q = Tensor3<float>(1, 3, 4).setRandom();
  const Tensor3<float> k = Tensor3<float>(1, 5, 4).setRandom();
  Tensor3<float> visible(1, 1, 5);
  visible.setValues({{{1, 1, 1, 0, 0}}});
  const auto weights = reference::attention(q, k, k, mask::dense(visible)).weights;
  for (Index i = 0; i < 3; ++i) {
    REQUIRE(weights(0, i, 3) == 0.0f);
    REQUIRE(weights(0, i, 4) == 0.0f);
    REQUIRE(weights(0, i, 0) > 0.0f);
  }
}

TEST_CASE("a row that is all masked gives 0, not NaN and not the mean") {
  const Tensor3<float> q = Tensor3<float>(1, 2, 4).setRandom();
  const Tensor3<float> k = Tensor3<float>(1, 3, 4).setRandom();
  Tensor3<float> nothing(1, 1, 3);
  nothing.setZero();
  const auto textbook = reference::attention(q, k, k, mask::dense(nothing));
  const auto fused = attention(q, k, k, mask::dense(nothing));
  REQUIRE(test::max_magnitude(textbook.weights) == 0);
  REQUIRE(test::max_magnitude(textbook.out) == 0);
  REQUIRE(test::max_magnitude(fused.out) == 0);
  for (Index i = 0; i < 2; ++i) REQUIRE(is_masked(fused.lse(0, i)));
}

TEST_CASE("one token attends to itself") {
  const Tensor3<float> x = Tensor3<float>(1, 1, 4).setRandom();
  const auto result = attention(x, x, x);
  REQUIRE(test::max_difference(result.out, x) == 0);
}

TEST_CASE("an empty sequence of queries gives an empty result") {
  const Tensor3<float> q(1, 0, 4);
  const Tensor3<float> k = Tensor3<float>(1, 3, 4).setRandom();
  const auto result = attention(q, k, k);
  REQUIRE(result.out.dimensions() == Tensor3<float>(1, 0, 4).dimensions());
}

TEST_CASE("very large and very small scores") {
  for (const double size : {1e-30, 1e-3, 30.0, 1e4, 1e15}) {
    const Inputs<float> in({1, 1, 1, 9, 70, 8, 8, 4}, Layout::packed, 5, size);
    const auto truth = reference::attention<double>(in.q.cview(), in.k.cview(), in.v.cview());
    const auto naive = reference::attention(in.q.cview(), in.k.cview(), in.v.cview());
    const auto result = attention(in.q.cview(), in.k.cview(), in.v.cview());
    CAPTURE(size);
    REQUIRE(test::max_difference(result.out, result.out) == 0);  // no NaN
    if (size < 100) {
      test::require_accurate<float>(result, naive, truth);
    } else {
      REQUIRE(test::max_difference(result.out, truth.out) < 1e-5);  // one key takes all
    }
  }
}

TEMPLATE_TEST_CASE("half types give no NaN", "", Half, BFloat16) {
  const Inputs<TestType> in({2, 1, 1, 10, 10, 64, 64, 4}, Layout::packed, 6, 4);
  for (const auto& mask : {mask::any(), mask::any(mask::causal()), mask::any(~mask::causal())}) {
    const auto result = attention(in.q.cview(), in.k.cview(), in.v.cview(), mask);
    REQUIRE(test::max_difference(result.out, result.out) == 0);
  }
}

TEST_CASE("ten random inputs, 32 queries by 64 keys of dimension 128, within 1e-5") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Inputs<float> in({4, 1, 1, 32, 64, 128, 128, 4}, Layout::packed, seed);
    const auto textbook = reference::attention(in.q.cview(), in.k.cview(), in.v.cview());
    const auto result = attention(in.q.cview(), in.k.cview(), in.v.cview());
    REQUIRE(test::max_difference(result.out, textbook.out) < 1e-5);
  }
}

TEST_CASE("chunked, tiled and textbook agree") {
  const Inputs<float> in({2, 1, 1, 300, 300, 64, 64, 4}, Layout::packed, 8);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const auto textbook = reference::attention(q, k, v, mask::causal());
  const auto tiled = attention(q, k, v, mask::causal());
  for (const Index chunk : {1, 7, 64, 128, 512}) {
    const auto chunked = chunked::attention(q, k, v, mask::causal(), {}, {.chunk = chunk});
    REQUIRE(test::max_difference(chunked.out, textbook.out) < 1e-5);
    REQUIRE(test::max_difference(chunked.lse, textbook.lse) < 1e-5);
  }
  REQUIRE(test::max_difference(tiled.out, textbook.out) < 1e-5);
}

TEST_CASE("cross-attention of 10 queries over 20 keys") {
  const Tensor3<float> q = Tensor3<float>(2, 10, 64).setRandom();
  const Tensor3<float> k = Tensor3<float>(2, 20, 64).setRandom();
  const auto textbook = reference::attention(q, k, k);
  REQUIRE(textbook.weights.dimensions() == Tensor3<float>(2, 10, 20).dimensions());
  REQUIRE(test::max_difference(attention(q, k, k).out, textbook.out) < 1e-5);
}

}  // namespace heed
