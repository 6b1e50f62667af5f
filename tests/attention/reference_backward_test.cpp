// The textbook's gradients against central differences of the textbook's forward, in double.
#include "heed/attention/reference/backward.hpp"

#include <limits>

#include "heed/inspect/gradcheck.hpp"
#include "heed/score/with_derivative.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;

constexpr double bound = 1e-6;

struct Case {
  Shape shape;
  Layout layout;
  Options options;
  std::vector<double> sinks;
};

// A Latin square of what a call can vary besides mask and score.
Case make_case(int n) {
  const Shape shapes[] = {{1, 1, 1, 5, 7, 3, 4, 4},
                          {2, 2, 1, 4, 6, 5, 2, 4},
                          {1, 4, 2, 6, 6, 2, 3, 4},
                          {2, 3, 3, 3, 8, 4, 4, 4}};
  Case made{shapes[n % 4], static_cast<Layout>(n % 3), {}, {0.5, -1, 2, 0.25}};
  made.sinks.resize(static_cast<std::size_t>(made.shape.Hq));
  if (n % 2 == 1) made.options.dropout = 0.3;
  if (n % 5 == 0) made.options.scale = -0.7;
  return made;
}

// Σ d_out ∘ out, in double.
template <class M, class S>
double loss_of(const Inputs<double>& in, const View<const double, 4>& d_out, const M& mask,
               const S& score, const Options& options) {
  const auto result =
      reference::attention(in.q.cview(), in.k.cview(), in.v.cview(), mask, score, options);
  const auto out = view_of(result.out);
  double loss = 0;
  for (Index b = 0; b < out.extent[0]; ++b) {
    for (Index h = 0; h < out.extent[1]; ++h) {
      for (Index i = 0; i < out.extent[2]; ++i) {
        for (Index d = 0; d < out.extent[3]; ++d) loss += d_out(b, h, i, d) * out(b, h, i, d);
      }
    }
  }
  return loss;
}

template <class M, class S>
void require_gradients(int n, const M& mask, const S& score) {
  auto [shape, layout, options, sinks] = make_case(n);
  const Index Hq = n % 4 == 3 ? 0 : shape.Hq;  // 0: without sinks
  std::vector<double> d_sinks(sinks.size());
  if (Hq > 0) options.sinks = sinks, options.d_sinks = d_sinks;
  CAPTURE(n, test::name_of(shape));
  const Inputs<double> in(shape, layout, static_cast<std::uint64_t>(n) + 1);
  test::Buffer<double> d_out(shape.B, shape.Hq, shape.Lq, shape.Dv, layout);
  d_out.fill(77);
  const auto g = reference::attention_backward(d_out.cview(), in.q.cview(), in.k.cview(),
                                               in.v.cview(), mask, score, options);
  const auto check = inspect::gradcheck(
      [&, &options = options] { return loss_of(in, d_out.cview(), mask, score, options); },
      {inspect::gradcheck_input("q", in.q.view(), g.d_q),
       inspect::gradcheck_input("k", in.k.view(), g.d_k),
       inspect::gradcheck_input("v", in.v.view(), g.d_v),
       inspect::gradcheck_input("sinks", view(sinks.data(), {Hq, 1}),
                                view(d_sinks.data(), {Hq, 1}))});
  CAPTURE(check);
  REQUIRE(check.ok(bound));
}

}  // namespace

TEST_CASE("the textbook's gradients are the differences of its forward") {
  const mask::any masks[] = {mask::None{}, mask::causal(), mask::window(2, 1),
                             mask::random(2, 3) & ~mask::causal()};
  int n = 0;
  for (const mask::any& mask : masks) {
    require_gradients(n++, mask, score::none());
    const auto slopes = score::alibi_slopes(static_cast<int>(make_case(n).shape.Hq));
    require_gradients(n++, mask, score::soft_cap(0.8) >> score::alibi(slopes));
    require_gradients(n++, mask,
                      score::with_derivative([](double s, int, int h, int i,
                                                int j) { return s * s + h + 0.1 * (i - j); },
                                             [](double s, int, int) { return 2 * s; }));
  }
}

// A key more, of the sink's score and value 0.
TEST_CASE("a sink is one more key, whose value is 0") {
  const Shape shape{2, 4, 2, 6, 9, 5, 3, 4};
  const Inputs<double> in(shape, Layout::packed, 3);
  const std::vector<double> sinks{0.5, -3, 40, 2};
  Tensor4<double> k(2, 2, 10, 5), v(2, 2, 10, 3);
  k.setZero(), v.setZero();
  copy(in.k.cview(), View<double, 4>{k.data(), {2, 2, 9, 5}, {100, 50, 5, 1}});
  copy(in.v.cview(), View<double, 4>{v.data(), {2, 2, 9, 3}, {60, 30, 3, 1}});
  const auto sees = [](int i, int j) { return i != 4 && j < i + 3; };
  const auto with_key = reference::attention(
      in.q.cview(), view_of(k), view_of(v), [&](int i, int j) { return j == 9 || sees(i, j); },
      [&](double s, int, int h, int, int j) {
        return j == 9 ? sinks[static_cast<std::size_t>(h)] : s;
      });
  const auto with_sink =
      reference::attention(in.q.cview(), in.k.cview(), in.v.cview(), sees, {}, {.sinks = sinks});
  REQUIRE(test::max_difference(with_key.out, with_sink.out) < 1e-15);
  REQUIRE(test::max_difference(with_key.lse, with_sink.lse) < 1e-14);
  REQUIRE(with_sink.lse(1, 3, 4) == 2);  // sees no key
  REQUIRE(std::abs(with_sink.weights(0, 0, 1, 2) - with_key.weights(0, 0, 1, 2)) < 1e-15);
}

TEST_CASE("a row that sees no key has gradient 0, and a masked NaN reaches none") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const Shape shape{1, 2, 1, 4, 5, 3, 3, 4};
  Inputs<double> in(shape, Layout::packed, 3);
  test::Buffer<double> d_out(1, 2, 4, 3);
  d_out.fill(4);
  const auto mask = [](int i, int j) { return i != 2 && j != 4; };
  const auto before =
      reference::attention_backward(d_out.cview(), in.q.cview(), in.k.cview(), in.v.cview(), mask);
  for (Index d = 0; d < 3; ++d) {
    in.k.view()(0, 0, 4, d) = nan;
    in.v.view()(0, 0, 4, d) = nan;
    in.q.view()(0, 0, 2, d) = nan;
    REQUIRE(before.d_q(0, 0, 2, d) == 0);
    REQUIRE(before.d_k(0, 0, 4, d) == 0);
    REQUIRE(before.d_v(0, 0, 4, d) == 0);
  }
  const auto after =
      reference::attention_backward(d_out.cview(), in.q.cview(), in.k.cview(), in.v.cview(), mask);
  REQUIRE(test::max_difference(before.d_q, after.d_q) == 0);
  REQUIRE(test::max_difference(before.d_k, after.d_k) == 0);
  REQUIRE(test::max_difference(before.d_v, after.d_v) == 0);
  REQUIRE(test::max_difference(before.d_scores, after.d_scores) == 0);
}

TEST_CASE("gradients have the layouts of their inputs and refuse a d_out of another shape") {
  Eigen::MatrixXf q = Eigen::MatrixXf::Random(4, 3), k = Eigen::MatrixXf::Random(6, 3),
                  v = Eigen::MatrixXf::Random(6, 2), d_out = Eigen::MatrixXf::Random(4, 2);
  const auto g = reference::attention_backward(d_out, q, k, v);
  const Eigen::MatrixXf of_k = g.d_k;
  REQUIRE(of_k.rows() == 6);
  REQUIRE(of_k.cols() == 3);
  const auto as_double = reference::attention_backward<double>(d_out, q, k, v);
  REQUIRE((as_double.d_v.cast<float>() - g.d_v).cwiseAbs().maxCoeff() < 1e-6F);
  REQUIRE_THROWS_WITH(
      reference::attention_backward(Eigen::MatrixXf(d_out.topRows(3)), q, k, v),
      test::ContainsSubstring("d_out and result.out must be [B, Hq, Lq, Dv] (d_out ["));
}

TEST_CASE("gradcheck names the worst element") {
  Tensor2<double> x(2, 3), gradient(2, 3);
  for (Index n = 0; n < 6; ++n) {
    x.data()[n] = 0.1 * static_cast<double>(n + 1);
    gradient.data()[n] = 2 * x.data()[n];
  }
  const auto loss = [&] {
    double sum = 0;
    for (Index n = 0; n < 6; ++n) sum += x.data()[n] * x.data()[n];
    return sum;
  };
  REQUIRE(inspect::gradcheck(loss, {inspect::gradcheck_input("x", x, gradient)}).ok(1e-9));
  gradient(1, 2) += 0.12;
  const auto wrong = inspect::gradcheck(loss, {inspect::gradcheck_input("x", x, gradient)});
  REQUIRE(wrong.input == "x");
  REQUIRE((wrong.i == 1 && wrong.d == 2));
  REQUIRE(wrong.error == Approx(0.1 / 1.1).epsilon(0.01));
  gradient(0, 1) = std::numeric_limits<double>::quiet_NaN();
  const auto nan = inspect::gradcheck(loss, {inspect::gradcheck_input("x", x, gradient)});
  REQUIRE_FALSE(nan.ok());
  REQUIRE((nan.i == 0 && nan.d == 1));
}

}  // namespace heed
