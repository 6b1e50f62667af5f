// A seeded cover of masks × scores × types × sizes: every pair of a mask and a score meets every
// type, at sizes drawn anew each time. Masks and scores are erased, so a type is one instantiation.
#include <functional>

#include "support/draw.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;

using ErasedScore = std::function<float(float, int, int, int, int)>;

template <class S>
ErasedScore erase(const S& score, const Shape& shape) {
  return [score, shape](float s, int b, int h, int i, int j) {
    return score::bind(score, shape, b, h).value(s, i, j);
  };
}

}  // namespace

TEMPLATE_TEST_CASE("masks × scores × sizes meet the oracle", "", float, double, Half, BFloat16) {
  std::uint64_t seed = sizeof(TestType);
  for (int m = 0; m < 12; ++m) {
    for (int s = 0; s < 6; ++s) {
      const Shape shape = test::draw_shape(++seed);
      CAPTURE(test::name_of(shape), m, s);
      const auto slopes = score::alibi_slopes(static_cast<int>(shape.Hq));
      std::vector<int> lengths(static_cast<std::size_t>(shape.B), static_cast<int>(shape.Lk / 2));
      Tensor4<bool> visible(shape.B, 1, shape.Lq, shape.Lk);
      Tensor4<float> bias(1, shape.Hq, shape.Lq, shape.Lk);
      for (Index n = 0; n < visible.size(); ++n) visible.data()[n] = test::uniform(seed, n) > 0.2;
      for (Index n = 0; n < bias.size(); ++n) {
        const double x = test::uniform(seed + 1, n);
        bias.data()[n] = x > 0.9 ? -std::numeric_limits<float>::infinity() : static_cast<float>(x);
      }
      const mask::any masks[12] = {
          mask::None{},
          mask::causal(),
          mask::causal(mask::align::start),
          mask::window(5, 9),
          mask::local(6) | mask::global(3),
          mask::strided(7),
          mask::bigbird(8, 2, 3, seed),
          mask::random(2, seed) & mask::causal(),
          ~mask::causal(),
          mask::padding(lengths),
          mask::dense(visible),
          mask::dense(visible) & mask::padding(lengths) & mask::causal(),
      };
      const ErasedScore scores[6] = {
          erase(score::None{}, shape),
          erase(score::alibi(slopes), shape),
          erase(score::bias(bias), shape),
          erase(score::soft_cap(1.5), shape),
          erase(score::soft_cap(2) >> score::alibi(slopes) >> score::bias(bias), shape),
          erase(score::bias(bias) >> score::soft_cap(3), shape),
      };
      const Inputs<TestType> in(shape, static_cast<Layout>(test::draw(seed, 7, 3)), seed, 2);
      const auto q = in.q.cview();
      const auto k = in.k.cview();
      const auto v = in.v.cview();
      const std::vector<float> sinks = test::draw_sinks(shape, seed);
      Options options;
      if (seed % 3 == 0) options.sinks = sinks;
      const auto truth = reference::attention<double>(q, k, v, masks[m], scores[s], options);
      const auto naive = reference::attention(q, k, v, masks[m], scores[s], options);
      test::require_accurate<TestType>(attention(q, k, v, masks[m], scores[s], options), naive,
                                       truth);
      options.backend = Backend::chunked;
      test::require_accurate<TestType>(attention(q, k, v, masks[m], scores[s], options), naive,
                                       truth);
    }
  }
}

// Normal numbers from uniform ones (Box and Muller), so that some scores lie far out.
void fill_normal(const View<float, 4>& x, std::uint64_t seed, double size) {
  constexpr double turn = 6.283185307179586;
  float* to = x.data;
  for (Index n = 0; n < x.extent[1] * x.extent[2] * x.extent[3]; ++n) {
    const double radius = std::sqrt(-2 * std::log(test::uniform(seed, 2 * n) / 2 + 0.5 + 1e-12));
    to[n] = static_cast<float>(size * radius * std::cos(turn * test::uniform(seed, 2 * n + 1)));
  }
}

// Scores near both caps: their digits, and those of tanh, decide which keys share a row's weight.
// The rule of PyTorch's tests, without the allowance for large scores that the others have; over
// several heads, since in a single row the obvious code may be right by chance.
TEST_CASE("a soft cap of 50 is at most twice as far from the truth as the obvious code") {
  const auto score = score::soft_cap(50);
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    for (const Index Lq : {1, 27}) {
      const Index D = seed % 2 == 0 ? 32 : 64;
      Inputs<float> in({1, 12, 12, Lq, Lq == 1 ? 239 : 128, D, D, 4}, Layout::packed, 1);
      fill_normal(in.q.view(), 3 * seed, 50);
      fill_normal(in.k.view(), 3 * seed + 1, 1);
      fill_normal(in.v.view(), 3 * seed + 2, 1);
      const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
      const mask::any mask = seed % 4 < 2 ? mask::any() : mask::any(mask::causal());
      const auto truth = reference::attention<double>(q, k, v, mask, score);
      const auto naive = reference::attention(q, k, v, mask, score);
      const double rounding = 4 * test::unit_roundoff<float>() * test::max_magnitude(truth.out);
      for (const Backend backend : {Backend::flash, Backend::chunked}) {
        CAPTURE(seed, Lq, D, name_of(backend));
        const auto result = attention(q, k, v, mask, score, {.backend = backend});
        REQUIRE(test::max_difference(result.out, truth.out) <=
                2 * test::max_difference(naive.out, truth.out) + rounding);
      }
    }
  }
}

}  // namespace heed
