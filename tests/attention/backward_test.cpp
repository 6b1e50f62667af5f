// The fused backward call against the textbook in double: a seeded cover of masks × scores × types
// × sizes, and the laws of the forward call repeated.
#include "heed/attention/backward.hpp"

#include <functional>
#include <limits>
#include <vector>

#include "support/draw.hpp"
#include "support/error.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;

using ErasedFunction = std::function<double(double, int, int, int, int)>;
using ErasedScore = score::WithDerivative<ErasedFunction, ErasedFunction>;

template <class S>
ErasedScore erase(const S& score, const Shape& shape) {
  return {[=](double s, int b, int h, int i, int j) {
            return score::bind(score, shape, b, h).value(s, i, j);
          },
          [=](double s, int b, int h, int i, int j) {
            return score::bind(score, shape, b, h).derivative(s, i, j);
          }};
}

// At most twice as far from the truth as the obvious code in T, plus what any order of summation
// may cost beside the largest term, and half a step of T.
template <class T>
struct GradientRule {
  double scores;  // the largest
  double term;    // |d_out|·|v|·|k or q| of the largest

  template <class Out, class Naive, class Truth>
  void require(const Out& out, const Naive& naive, const Truth& truth) const {
    const double size = test::max_magnitude(truth) + term;
    const double sums = test::unit_roundoff<Accum<T>>() * (16 + 4 * scores) * size;
    const double rounding = sizeof(T) < 4 ? test::unit_roundoff<T>() * size : 0.0;
    REQUIRE(test::max_difference(out, truth) <=
            2 * test::max_difference(naive, truth) + sums + rounding);
  }
};

// The result of forward with out before it is rounded to a half type.
template <class T, class M = mask::None, class S = score::None>
auto unrounded(const View<const T, 4>& q, const View<const T, 4>& k, const View<const T, 4>& v,
               const M& mask = {}, const S& score = {}, const Options& options = {}) {
  const Index B = q.extent[0], Hq = q.extent[1], Lq = q.extent[2];
  Result result{Tensor4<Accum<T>>(B, Hq, Lq, v.extent[3]), Tensor3<Accum<T>>(B, Hq, Lq)};
  attention_into(result, q, k, v, mask, score, options);
  return result;
}

template <class T, class M, class S>
void require_gradients(const Shape& shape, Layout layout, std::uint64_t seed, const M& mask,
                       const S& score, Options options = {}) {
  CAPTURE(test::name_of(shape), seed);
  const std::vector<float> sinks = test::draw_sinks(shape, seed);
  Tensor2<double> of_truth(1, shape.Hq), of_naive(1, shape.Hq), d_sinks(1, shape.Hq);
  const auto write_to = [&](Tensor2<double>& d) {
    if (seed % 2 == 1) options.sinks = sinks, options.d_sinks = std::span(d.data(), sinks.size());
    return options;
  };
  const Inputs<T> in(shape, layout, seed, 2);
  Buffer<T> d_out(shape.B, shape.Hq, shape.Lq, shape.Dv, layout);
  d_out.fill(seed + 99);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const auto d_o = d_out.cview();
  const auto truth =
      reference::attention_backward<double>(d_o, q, k, v, mask, score, write_to(of_truth));
  const auto naive = reference::attention_backward(d_o, q, k, v, mask, score, write_to(of_naive));
  const auto result = attention(q, k, v, mask, score, options);
  const auto g = attention_backward(d_o, q, k, v, result, mask, score, write_to(d_sinks));
  const double scale = std::abs(scale_of(options, shape));
  const GradientRule<T> rule{4 * static_cast<double>(shape.D) * scale, 2 * 2 * scale};
  rule.require(g.d_q, naive.d_q, truth.d_q);
  rule.require(g.d_k, naive.d_k, truth.d_k);
  rule.require(g.d_v, naive.d_v, truth.d_v);
  if (seed % 2 == 1) rule.require(d_sinks, of_naive, of_truth);
  if constexpr (sizeof(T) < 4) {
    const auto kept = unrounded<T>(q, k, v, mask, score, options);
    d_sinks.setConstant(std::numeric_limits<double>::quiet_NaN());
    const auto fast = attention_backward(d_o, q, k, v, kept, mask, score, options);
    rule.require(fast.d_q, naive.d_q, truth.d_q);
    rule.require(fast.d_k, naive.d_k, truth.d_k);
    rule.require(fast.d_v, naive.d_v, truth.d_v);
    if (seed % 2 == 1) rule.require(d_sinks, of_naive, of_truth);
  }
}

template <class A, class B>
bool same_gradients(const A& a, const B& b) {
  return test::same_bits(a.d_q, b.d_q) && test::same_bits(a.d_k, b.d_k) &&
         test::same_bits(a.d_v, b.d_v);
}

}  // namespace

TEMPLATE_TEST_CASE("gradients: masks × scores × sizes meet the oracle", "", float, double, Half,
                   BFloat16) {
  std::uint64_t seed = 10 + sizeof(TestType);
  for (int m = 0; m < 8; ++m) {
    for (int s = 0; s < 4; ++s) {
      const Shape shape = test::draw_shape(++seed);
      CAPTURE(m, s);
      const auto slopes = score::alibi_slopes(static_cast<int>(shape.Hq));
      std::vector<int> lengths(static_cast<std::size_t>(shape.B), static_cast<int>(shape.Lk / 2));
      Tensor4<bool> visible(shape.B, 1, shape.Lq, shape.Lk);
      for (Index n = 0; n < visible.size(); ++n) visible.data()[n] = test::uniform(seed, n) > 0.2;
      const mask::any masks[8] = {mask::None{},
                                  mask::causal(),
                                  mask::causal(mask::align::start),
                                  mask::window(5, 9),
                                  mask::local(6) | mask::global(3),
                                  mask::padding(lengths),
                                  mask::dense(visible),
                                  ~mask::causal()};
      Options options;
      if (seed % 3 == 0) options.dropout = 0.25;
      if (seed % 4 == 0) options.scale = seed % 8 == 0 ? 1.5 : -0.4;
      const auto layout = static_cast<Layout>(test::draw(seed, 7, 3));
      if (s == 0) {
        require_gradients<TestType>(shape, layout, seed, masks[m], score::none(), options);
      } else {
        const ErasedScore scores[3] = {erase(score::alibi(slopes), shape),
                                       erase(score::soft_cap(1.5), shape),
                                       erase(score::soft_cap(2) >> score::alibi(slopes), shape)};
        require_gradients<TestType>(shape, layout, seed, masks[m], scores[s - 1], options);
      }
    }
  }
}

TEST_CASE("gradients of built-in scores, and over several spans of keys") {
  const auto slopes = score::alibi_slopes(2);
  require_gradients<float>({1, 2, 1, 70, 2300, 8, 5, 4}, Layout::packed, 1, mask::causal(),
                           score::alibi(slopes));
  require_gradients<float>({1, 1, 1, 300, 1100, 16, 16, 4}, Layout::blhd, 2, mask::window(40, 0),
                           score::soft_cap(1.5));
  require_gradients<Half>(
      {1, 1, 1, 20, 1100, 16, 16, 4}, Layout::packed, 3,
      mask::any(mask::causal(mask::align::start)),  // KV blocks that nobody sees
      score::none());
}

TEST_CASE("gradients under masks that step over keys; the keys between have gradient 0") {
  const auto every_third = mask::strided(3) & mask::causal();
  static_assert(mask::HasKeyStride<decltype(every_third)>);
  require_gradients<float>({2, 4, 2, 70, 301, 8, 5, 4}, Layout::gaps, 4, every_third,
                           score::none());
  require_gradients<float>({2, 4, 2, 70, 301, 8, 5, 4}, Layout::packed, 5, every_third,
                           score::none(), {.dropout = 0.3});
  require_gradients<BFloat16>({1, 2, 1, 40, 130, 8, 5, 4}, Layout::blhd, 5, every_third,
                              score::soft_cap(1.5), {.dropout = 0.3});
  const Inputs<float> in({1, 1, 1, 40, 130, 8, 5, 4}, Layout::packed, 6);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const auto result = attention(q, k, v, every_third);
  std::vector<std::byte> workspace(backward_workspace_bytes(q, k, v, every_third));
  const auto g =
      attention_backward(result.out, q, k, v, result, every_third, {}, {.workspace = workspace});
  REQUIRE(g.d_k(0, 0, 3, 1) != 0);
  REQUIRE((g.d_k(0, 0, 4, 1) == 0 && g.d_v(0, 0, 5, 1) == 0));
  const auto capped = score::soft_cap(1.5);
  REQUIRE(backward_workspace_bytes(q, k, v, every_third, capped, {.dropout = 0.3}) <
          backward_workspace_bytes(q, k, v, mask::causal(), capped, {.dropout = 0.3}));
}

#if !defined(__FAST_MATH__)
TEMPLATE_TEST_CASE("a NaN that is seen far below a sink reaches its gradient", "", float, Half) {
  Inputs<TestType> in({1, 1, 1, 3, 9, 4, 4, 4}, Layout::packed, 6);
  in.v.view()(0, 0, 4, 2) = TestType(std::numeric_limits<float>::quiet_NaN());
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const std::vector<float> sinks{300};
  std::vector<float> d_sinks(1);
  const Options options{.sinks = sinks, .d_sinks = d_sinks};
  attention_backward(q, q, k, v, attention(q, k, v, {}, {}, options), {}, {}, options);
  CHECK(std::isnan(d_sinks[0]));
}

TEMPLATE_TEST_CASE("what a mask hides changes no bit of a gradient", "", float, BFloat16) {
  using T = TestType;
  const Shape shape{1, 2, 1, 40, 70, 20, 9, 4};
  Inputs<T> in(shape, Layout::packed, 6);
  Buffer<T> d_out(1, 2, 40, 9);
  d_out.fill(7);
  const auto mask = [](int i, int j) { return i != 11 && j != 13 && (i != 20 || j < 30); };
  std::vector<float> sinks{0.5F, 1}, d_sinks(2), expected;
  const Options options{.sinks = sinks, .d_sinks = d_sinks};
  const auto gradients = [&] {
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
    const auto result = attention(q, k, v, mask, {}, options);
    return attention_backward(d_o, q, k, v, result, mask, {}, options);
  };
  const auto of_unrounded = [&] {
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
    const auto result = unrounded<T>(q, k, v, mask, {}, options);
    return attention_backward(d_o, q, k, v, result, mask, {}, options);
  };
  const auto before = gradients(), before_unrounded = of_unrounded();
  expected = d_sinks;
  REQUIRE(expected[0] != 0);
  for (Index d = 0; d < 20; ++d) REQUIRE(before.d_q(0, 1, 11, d) == T(0));
  for (Index d = 0; d < 9; ++d) REQUIRE(before.d_v(0, 0, 13, d) == T(0));
  for (const double hidden :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (Index d = 0; d < 20; ++d) {
      in.k.view()(0, 0, 13, d) = static_cast<T>(hidden);
      in.q.view()(0, 0, 11, d) = static_cast<T>(hidden);
    }
    for (Index d = 0; d < 9; ++d) {
      in.v.view()(0, 0, 13, d) = static_cast<T>(hidden);
      d_out.view()(0, 1, 11, d) = static_cast<T>(hidden);
    }
    REQUIRE(same_gradients(before, gradients()));
    REQUIRE(same_gradients(before_unrounded, of_unrounded()));
    REQUIRE(d_sinks == expected);
  }
}

TEST_CASE("a NaN that is seen reaches the gradients that it is part of, and no others") {
  const Shape shape{1, 1, 1, 30, 50, 8, 8, 4};
  Inputs<float> in(shape, Layout::packed, 8);
  Buffer<float> d_out(1, 1, 30, 8);
  d_out.fill(9);
  d_out.view()(0, 0, 12, 3) = std::numeric_limits<float>::quiet_NaN();
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const auto g = attention_backward(d_out.cview(), q, k, v, attention(q, k, v, mask::causal()),
                                    mask::causal());
  REQUIRE(std::isnan(g.d_q(0, 0, 12, 0)));
  REQUIRE_FALSE(std::isnan(g.d_q(0, 0, 11, 0)));
  REQUIRE(std::isnan(g.d_k(0, 0, 32, 0)));  // the last key that query 12 sees
  REQUIRE_FALSE(std::isnan(g.d_k(0, 0, 33, 0)));
  REQUIRE(std::isnan(g.d_v(0, 0, 32, 3)));
  REQUIRE_FALSE(std::isnan(g.d_v(0, 0, 32, 2)));
  REQUIRE_FALSE(std::isnan(g.d_v(0, 0, 33, 3)));
}
#endif

// Rows with equal scores, keys of one sign and values near 1: out of every row is rounded by the
// same, and a delta from it would move all of d_q to one side, by 17 times its size.
TEST_CASE("the errors of half gradients have mean 0") {
  const Shape shape{1, 1, 1, 64, 64, 16, 16, 4};
  Inputs<BFloat16> in(shape, Layout::packed, 10);
  Buffer<BFloat16> d_out(1, 1, 64, 16);
  const auto number = [](double x) { return static_cast<BFloat16>(static_cast<float>(x)); };
  for (Index i = 0; i < 64; ++i) {
    for (Index d = 0; d < 16; ++d) {
      in.q.view()(0, 0, i, d) = number(0.01);
      in.k.view()(0, 0, i, d) = number(1 + 0.5 * test::uniform(11, i * 16 + d));
      in.v.view()(0, 0, i, d) = number(1 + test::uniform(12, i * 16 + d) / 64);
      d_out.view()(0, 0, i, d) = number(1);
    }
  }
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  const auto truth = reference::attention_backward<double>(d_o, q, k, v);
  for (const bool rounded : {true, false}) {
    const auto g = rounded ? attention_backward(d_o, q, k, v, attention(q, k, v))
                           : attention_backward(d_o, q, k, v, unrounded<BFloat16>(q, k, v));
    double mean = 0, size = 0;
    for (Index n = 0; n < g.d_q.size(); ++n) {
      mean += static_cast<double>(g.d_q.data()[n]) - truth.d_q.data()[n];
      size += std::abs(truth.d_q.data()[n]);
    }
    CAPTURE(rounded);
    REQUIRE(std::abs(mean) <= test::unit_roundoff<BFloat16>() * size);
  }
}

TEST_CASE("floats computed in bfloat16 have the bits of tensors of bfloat16") {
  if (isa() == Isa::amx) return;  // tensors of bfloat16 take its tiles forward
  const auto q = test::random4<BFloat16>(2, 4, 150, 40, 1), d_out = q;
  const auto k = test::random4<BFloat16>(2, 2, 170, 40, 2);
  const auto v = test::random4<BFloat16>(2, 2, 170, 40, 3);
  const auto wide = [](const Tensor4<BFloat16>& x) { return Tensor4<float>(x.cast<float>()); };
  const auto narrow = [](const Tensor4<float>& x) { return Tensor4<BFloat16>(x.cast<BFloat16>()); };
  for (const mask::any& mask : {mask::any(mask::None{}), mask::any(mask::causal())}) {
    CallReport report;
    const Options options{.compute = Compute::bfloat16, .report = &report};
    const auto want = attention(q, k, v, mask);
    const auto own = attention(wide(q), wide(k), wide(v), mask, score::None{}, options);
    CHECK(test::same_bits(narrow(own.out), want.out));
    CHECK(test::same_bits(own.lse, want.lse));
    const auto of = attention_backward(d_out, q, k, v, own, mask);
    const auto gradients = attention_backward(wide(d_out), wide(q), wide(k), wide(v), own, mask,
                                              score::None{}, options);
    CHECK(test::same_bits(narrow(gradients.d_q), of.d_q));
    CHECK(test::same_bits(narrow(gradients.d_k), of.d_k));
    CHECK(test::same_bits(narrow(gradients.d_v), of.d_v));
    const bool pairs = std::string(report.why).ends_with("in pairs");
    CHECK(pairs == (isa() == Isa::avx512_bf16));
  }
}

TEST_CASE("gradients of calls without queries, keys or heads") {
  for (int empty = 0; empty < 5; ++empty) {
    CAPTURE(empty);
    Shape shape{2, 2, 1, 5, 7, 4, 3, 4};
    Index* const extents[] = {&shape.B, &shape.Hq, &shape.Lq, &shape.Lk};
    if (empty < 4) *extents[empty] = 0;
    if (empty == 4) shape.Lq = shape.Lk = 0;
    const Inputs<float> in(shape, Layout::packed, 12);
    Buffer<float> d_out(shape.B, shape.Hq, shape.Lq, shape.Dv);
    d_out.fill(13);
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
    const auto g = attention_backward(d_out.cview(), q, k, v, attention(q, k, v));
    const auto truth = reference::attention_backward(d_out.cview(), q, k, v);
    REQUIRE(test::max_difference(g.d_q, truth.d_q) <= 1e-6);
    REQUIRE(test::max_difference(g.d_k, truth.d_k) <= 1e-6);
    REQUIRE(test::max_difference(g.d_v, truth.d_v) <= 1e-6);
  }
}

TEST_CASE("gradients go into memory the caller has, and a workspace is all that is needed") {
  const Shape shape{1, 2, 2, 33, 40, 8, 6, 4};
  const Inputs<float> in(shape, Layout::gaps, 14);
  Buffer<float> d_out(1, 2, 33, 6), d_q(1, 2, 33, 8, Layout::gaps), d_k(1, 2, 40, 8, Layout::blhd),
      d_v(1, 2, 40, 6, Layout::gaps);
  d_out.fill(15);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  const auto result = attention(q, k, v);
  const auto expected = attention_backward(d_o, q, k, v, result);
  std::vector<std::byte> workspace(backward_workspace_bytes(q, k, v));
  Options options{.workspace = workspace};
  Gradients to{d_q.view(), d_k.view(), d_v.view()};
  attention_backward_into(to, d_o, q, k, v, result, {}, {}, options);
  REQUIRE(d_q.margins_intact());
  REQUIRE(d_k.margins_intact());
  REQUIRE(d_v.margins_intact());
  for (Index h = 0; h < 2; ++h) {
    for (Index j = 0; j < 40; ++j) REQUIRE(to.d_k(0, h, j, 7) == expected.d_k(0, h, j, 7));
  }
  options.workspace = std::span(workspace).first(workspace.size() - 64);
  REQUIRE_THROWS_WITH(attention_backward_into(to, d_o, q, k, v, result, {}, {}, options),
                      test::ContainsSubstring("the workspace has"));
}

TEST_CASE("a backward call of other tensors is refused") {
  using test::ContainsSubstring;
  const Shape shape{1, 2, 1, 5, 7, 4, 3, 4};
  const Inputs<float> in(shape, Layout::packed, 16),
      other({1, 2, 1, 6, 7, 4, 3, 4}, Layout::packed, 17);
  Buffer<float> d_out(1, 2, 5, 3);
  d_out.fill(18);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  auto result = attention(q, k, v);
  const auto wrong = attention(other.q.cview(), other.k.cview(), other.v.cview());
  REQUIRE_THROWS_WITH(attention_backward(d_o, q, k, v, wrong),
                      ContainsSubstring("result.out [1,2,6,3], out [1,2,5,3]"));
  REQUIRE_THROWS_WITH(attention_backward(q, q, k, v, result), ContainsSubstring("d_out [1,2,5,4]"));
  auto short_lse = result;
  short_lse.lse = Tensor3<float>(1, 2, 4);
  REQUIRE_THROWS_WITH(attention_backward(d_o, q, k, v, short_lse), ContainsSubstring("lse"));
  auto g = attention_backward(d_o, q, k, v, result);
  Gradients over{mutable_view_of(g.d_q), mutable_view_of(g.d_k), in.v.view()};
  REQUIRE_THROWS_WITH(attention_backward_into(over, d_o, q, k, v, result),
                      ContainsSubstring("d_v [1,1,7,3], its input [1,1,7,3]; v"));
  Gradients over_lse{View<float, 4>{result.lse.data(), {1, 2, 5, 4}, {0, 0, 0, 0}}, g.d_k, g.d_v};
  over_lse.d_q.stride[0] = 40, over_lse.d_q.stride[1] = 20, over_lse.d_q.stride[2] = 4;
  over_lse.d_q.stride[3] = 1;
  REQUIRE_THROWS_WITH(attention_backward_into(over_lse, d_o, q, k, v, result),
                      ContainsSubstring("a gradient overlaps what is read"));
  const auto bytes = std::as_writable_bytes(std::span(d_out.view().data, 30));
  REQUIRE_THROWS_WITH(
      attention_backward_into(g, d_o, q, k, v, result, {}, {}, {.workspace = bytes}),
      ContainsSubstring("options.workspace, 120 bytes, overlaps d_out"));
  REQUIRE_THROWS_WITH(
      attention_backward(d_o, q, k, v, result, {}, {}, {.backend = Backend::chunked}),
      ContainsSubstring("options.backend is chunked, which has no backward call"));
  const auto textbook =
      attention_backward(d_o, q, k, v, result, {}, {}, {.backend = Backend::reference});
  REQUIRE(test::same_bits(textbook.d_k, reference::attention_backward(d_o, q, k, v).d_k));
  std::vector<float> sinks(2), d_sinks(2);
  const auto refused = [&](const Options& options) {
    return test::error_of([&] { attention_backward(d_o, q, k, v, result, {}, {}, options); });
  };
  CHECK_THAT(refused({.d_sinks = d_sinks}), ContainsSubstring("options.sinks, which is empty"));
  CHECK_THAT(refused({.sinks = sinks, .d_sinks = sinks}),
             ContainsSubstring("options.d_sinks overlaps options.sinks"));
  const std::span<float> of_lse(result.lse.data(), 2), of_d_k(g.d_k.data(), 2);
  CHECK_THAT(refused({.sinks = sinks, .d_sinks = of_lse}), ContainsSubstring("overlaps lse"));
  CHECK_THROWS_WITH(attention_backward_into(g, d_o, q, k, v, result, {}, {}, {.sinks = of_d_k}),
                    ContainsSubstring("a gradient overlaps what is read"));
  const auto of_slopes = [&](std::span<const float> slopes, std::span<float> d) {
    return test::error_of([&] {
      attention_backward(d_o, q, k, v, result, {}, score::with_gradient(score::alibi(slopes), d),
                         {.sinks = sinks, .d_sinks = d_sinks});
    });
  };
  const std::vector<float> slopes(2);
  CHECK_THAT(of_slopes(slopes, d_sinks), ContainsSubstring("overlaps other memory of the call"));
  CHECK_THAT(of_slopes(slopes, sinks), ContainsSubstring("overlaps other memory of the call"));
  d_sinks.resize(3);
  CHECK_THAT(refused({.sinks = sinks, .d_sinks = d_sinks}),
             ContainsSubstring("options.d_sinks has 3 numbers but q has 2 heads"));
  g.d_k = Tensor4<float>(1, 1, 6, 4);
  REQUIRE_THROWS_WITH(attention_backward_into(g, d_o, q, k, v, result),
                      ContainsSubstring("d_k [1,1,6,4]"));
}

// As many heads as tokens: dimensions in the wrong order would not be noticed by their lengths.
TEST_CASE("gradients in other orders of dimensions are those of [B, H, L, D]") {
  const Index B = 2, H = 4, L = 4, D = 5;
  Tensor4<float> q(B, H, L, D), k(B, H, L, D), v(B, H, L, D), d_out(B, H, L, D);
  for (Tensor4<float>* x : {&q, &k, &v, &d_out}) x->setRandom();
  const auto result = attention(q, k, v, mask::causal());
  const auto expected = attention_backward(d_out, q, k, v, result, mask::causal());
  const auto check = [&](const Eigen::array<int, 4>& order, const auto& as) {
    using Tensor = Tensor4<float>;
    const Tensor q2 = q.shuffle(order), k2 = k.shuffle(order), v2 = v.shuffle(order),
                 d2 = d_out.shuffle(order);
    const auto other = attention(as(q2), as(k2), as(v2), mask::causal());
    auto g = attention_backward(as(d2), as(q2), as(k2), as(v2), other, mask::causal());
    const auto same = [&](const Tensor& x, const Tensor& reordered) {
      const Tensor back = reordered.shuffle(order);  // each order is its own inverse
      return test::same_bits(back, x);
    };
    CHECK((same(expected.d_q, g.d_q) && same(expected.d_k, g.d_k) && same(expected.d_v, g.d_v)));
    g.d_q.setZero();
    attention_backward_into(g, as(d2), as(q2), as(k2), as(v2), other, mask::causal());
    CHECK(same(expected.d_q, g.d_q));
    Tensor d_q(q2.dimensions()), d_k(q2.dimensions()), d_v(q2.dimensions());
    const Gradients named{as(d_q), as(d_k), as(d_v)};
    attention_backward_into(named, as(d2), as(q2), as(k2), as(v2), other, mask::causal());
    CHECK((same(expected.d_q, d_q) && same(expected.d_k, d_k) && same(expected.d_v, d_v)));
  };
  check({0, 2, 1, 3}, [](auto& x) { return blhd(x); });
  check({3, 2, 1, 0}, [](auto& x) { return dlhb(x); });
}

TEST_CASE("a backward call that is refused writes nothing") {
  Tensor4<float> q(1, 2, 6, 5), k(1, 2, 9, 5);
  q.setRandom(), k.setRandom();
  const auto result = attention(q, k, k, mask::strided(3));
  auto g = attention_backward(q, q, k, k, result, mask::strided(3));
  g.d_k.setConstant(7);
  std::vector<std::byte> one(1);
  CHECK_THROWS_AS(
      attention_backward_into(g, q, q, k, k, result, mask::strided(3), {}, {.workspace = one}),
      Error);
  for (Index n = 0; n < g.d_k.size(); ++n) REQUIRE(g.d_k.data()[n] == 7);
  const auto nothing = view(static_cast<const float*>(nullptr), {1, 2, 6, 5});
  CHECK_THROWS_AS(attention_backward(nothing, q, k, k, result), Error);
}

}  // namespace heed
