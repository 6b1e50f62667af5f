// Gradients of linear attention and of Performers against the double sum over pairs, against
// central differences of the forward calls, and the laws of forward repeated.
#include <functional>

#include "approx/naive.hpp"
#include "heed/approx/linear/linear_backward.hpp"
#include "heed/approx/linear/linear_step_backward.hpp"
#include "heed/approx/linear/performer_backward.hpp"
#include "heed/inspect/gradcheck.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;
using test::Prefix;

template <class W>
using Rows = std::vector<std::vector<W>>;

// φ of a row and the gradient of a row by that of its features, in W.
template <class W>
struct NaiveMap {
  std::function<std::vector<W>(const std::vector<W>&)> features;
  std::function<std::vector<W>(const std::vector<W>& x, const std::vector<W>& d_features)> gradient;
};

template <class W>
NaiveMap<W> elementwise(W (*map)(W), W (*derivative)(W)) {
  return {[=](std::vector<W> x) {
            for (W& n : x) n = map(n);
            return x;
          },
          [=](std::vector<W> x, const std::vector<W>& d) {
            for (std::size_t n = 0; n < x.size(); ++n) x[n] = derivative(x[n]) * d[n];
            return x;
          }};
}
template <class W>
W elu_plus_one(W x) {
  return x > 0 ? x + 1 : std::exp(x);
}
template <class W>
W elu_slope(W x) {
  return x > 0 ? W(1) : std::exp(x);
}

// e^(ω·y − |y|²/2) of y = factor·x.
template <class W>
NaiveMap<W> random_features(Index m, Index D, double scale, std::uint64_t seed) {
  const auto directions = approx::orthogonal_gaussians(m, D, seed);
  const auto of = [=](const std::vector<W>& x) {
    std::vector<W> all;
    for (Index n = 0; n < m; ++n) {
      W sum = 0;
      for (std::size_t d = 0; d < x.size(); ++d) {
        const W y = static_cast<W>(std::sqrt(scale)) * x[d];
        sum += y * static_cast<W>(directions[static_cast<std::size_t>(n * D) + d]) - y * y / 2;
      }
      all.push_back(std::exp(sum));
    }
    return all;
  };
  return {of, [=](const std::vector<W>& x, const std::vector<W>& d) {
            const auto features = of(x);
            const W factor = static_cast<W>(std::sqrt(scale));
            std::vector<W> d_x(x.size());
            for (std::size_t n = 0; n < d.size(); ++n) {
              for (std::size_t c = 0; c < x.size(); ++c) {
                const W slope =
                    static_cast<W>(directions[n * static_cast<std::size_t>(D) + c]) - factor * x[c];
                d_x[c] += factor * features[n] * d[n] * slope;
              }
            }
            return d_x;
          }};
}

template <class W>
struct NaiveGradients {
  Tensor4<W> d_q, d_k, d_v;
};

template <class W, class T>
std::vector<W> row_of(const View<const T, 4>& x, Index b, Index h, Index i) {
  std::vector<W> row;
  for (Index d = 0; d < x.extent[3]; ++d) row.push_back(static_cast<W>(x(b, h, i, d)));
  return row;
}
template <class W>
W dot(const std::vector<W>& a, const std::vector<W>& b) {
  W sum = 0;
  for (std::size_t n = 0; n < a.size(); ++n) sum += a[n] * b[n];
  return sum;
}
template <class W>
void add(std::vector<W>& to, W factor, const std::vector<W>& x) {
  for (std::size_t n = 0; n < x.size(); ++n) to[n] += factor * x[n];
}

// Pair by pair, in W; `store` is the type that gradients are rounded to.
template <class W, class Store, class T>
NaiveGradients<W> naive(const Inputs<T>& in, const View<const T, 4>& d_out, const Shape& shape,
                        const Prefix& prefix, const NaiveMap<W>& map) {
  NaiveGradients<W> g{Tensor4<W>(shape.B, shape.Hq, shape.Lq, shape.D),
                      Tensor4<W>(shape.B, shape.Hkv, shape.Lk, shape.D),
                      Tensor4<W>(shape.B, shape.Hkv, shape.Lk, shape.Dv)};
  const auto store = [](Tensor4<W>& to, Index b, Index h, Index i, const std::vector<W>& row) {
    for (std::size_t d = 0; d < row.size(); ++d) {
      to(b, h, i, static_cast<Index>(d)) = static_cast<W>(static_cast<Store>(row[d]));
    }
  };
  const auto keys = static_cast<std::size_t>(shape.Lk);
  for (Index b = 0; b < shape.B; ++b) {
    for (Index kv = 0; kv < shape.Hkv; ++kv) {
      Rows<W> k, v, features, d_features, d_v;
      for (Index j = 0; j < shape.Lk; ++j) {
        k.push_back(row_of<W>(in.k.cview(), b, kv, j));
        v.push_back(row_of<W>(in.v.cview(), b, kv, j));
        features.push_back(map.features(k.back()));
        d_features.emplace_back(features.back().size());
        d_v.emplace_back(v.back().size());
      }
      for (Index h = kv * shape.group(); h < (kv + 1) * shape.group(); ++h) {
        for (Index i = 0; i < shape.Lq; ++i) {
          const auto q = row_of<W>(in.q.cview(), b, h, i), d_o = row_of<W>(d_out, b, h, i);
          const auto of_q = map.features(q);
          std::vector<W> weights(keys), out(d_o.size()), d_of_q(of_q.size());
          W sum = 0;
          for (std::size_t j = 0; j < keys; ++j) {
            if (!prefix.allows(shape, b, i, static_cast<Index>(j))) continue;
            weights[j] = dot(of_q, features[j]);
            sum += weights[j];
            add(out, weights[j], v[j]);
          }
          const W delta = sum == 0 ? W(0) : dot(out, d_o) / sum;
          for (std::size_t j = 0; j < keys && sum != 0; ++j) {
            if (!prefix.allows(shape, b, i, static_cast<Index>(j))) continue;
            const W d_weight = (dot(d_o, v[j]) - delta) / sum;
            add(d_of_q, d_weight, features[j]);
            add(d_features[j], d_weight, of_q);
            add(d_v[j], weights[j] / sum, d_o);
          }
          store(g.d_q, b, h, i, map.gradient(q, d_of_q));
        }
      }
      for (std::size_t j = 0; j < keys; ++j) {
        store(g.d_k, b, kv, static_cast<Index>(j), map.gradient(k[j], d_features[j]));
        store(g.d_v, b, kv, static_cast<Index>(j), d_v[j]);
      }
    }
  }
  return g;
}

// At most twice as far from the truth as the obvious code in T, plus the rounding of sums in any
// order (of `terms` numbers that may cancel), and half a step of T.
template <class T, class Out, class Naive, class Truth>
void require_near(Index terms, const Out& out, const Naive& naive, const Truth& truth) {
  const double size = 1 + test::max_magnitude(truth);
  const double sums = (32 + static_cast<double>(terms)) * test::unit_roundoff<Accum<T>>() * size;
  const double rounding = sizeof(T) < 4 ? test::unit_roundoff<T>() * size : 0.0;
  REQUIRE(test::max_difference(out, truth) <=
          2 * test::max_difference(naive, truth) + sums + rounding);
}

template <class T>
struct Case {
  Shape shape;
  Prefix prefix;
  Inputs<T> in;
  Buffer<T> d_out;

  Case(const Shape& shape_, const Prefix& prefix_, Layout layout, double size = 2)
      : shape(shape_),
        prefix(prefix_),
        in(shape_, layout, 7, size),
        d_out(shape_.B, shape_.Hq, shape_.Lq, shape_.Dv, layout) {
    d_out.fill(55);
  }

  template <class F = approx::EluPlusOne>
  auto linear(const F& map = {}, const approx::RunOptions& options = {}) const {
    return prefix.with([&](const auto& mask) {
      return approx::linear_backward(d_out.cview(), in.q.cview(), in.k.cview(), in.v.cview(), map,
                                     mask, options);
    });
  }
  auto performer(Index m, const approx::PerformerOptions& options) const {
    return prefix.with([&](const auto& mask) {
      return approx::performer_backward(d_out.cview(), in.q.cview(), in.k.cview(), in.v.cview(), m,
                                        mask, options);
    });
  }

  template <class G>
  void require_gradients(const G& g, const NaiveMap<double>& map,
                         const NaiveMap<Accum<T>>& own_map) const {
    CAPTURE(test::name_of(shape), prefix.causal, prefix.padded);
    const auto truth = naive<double, double>(in, d_out.cview(), shape, prefix, map);
    const auto own = naive<Accum<T>, T>(in, d_out.cview(), shape, prefix, own_map);
    require_near<T>(shape.Lk, g.d_q, own.d_q, truth.d_q);
    require_near<T>(shape.group() * shape.Lq, g.d_k, own.d_k, truth.d_k);
    require_near<T>(shape.group() * shape.Lq, g.d_v, own.d_v, truth.d_v);
  }
  void check_linear() const {
    require_gradients(linear(), elementwise<double>(elu_plus_one<double>, elu_slope<double>),
                      elementwise<Accum<T>>(elu_plus_one<Accum<T>>, elu_slope<Accum<T>>));
  }
  void check_performer(Index m) const {
    const double scale = 1 / std::sqrt(static_cast<double>(shape.D));
    require_gradients(performer(m, {.seed = 3}), random_features<double>(m, shape.D, scale, 3),
                      random_features<Accum<T>>(m, shape.D, scale, 3));
  }
};

template <class A, class B>
bool same_gradients(const A& a, const B& b) {
  return test::same_bits(a.d_q, b.d_q) && test::same_bits(a.d_k, b.d_k) &&
         test::same_bits(a.d_v, b.d_v);
}

}  // namespace

TEST_CASE("gradients of linear attention and Performers meet the sum over pairs at every length") {
  int turn = 0;
  for (const Index Lq : {0, 1, 5, 64, 65, 130}) {
    for (const Index Lk : {0, 1, 6, 63, 64, 65, 150}) {
      for (const bool causal : {false, true}) {
        const Shape shape{
            2, turn % 4 == 0 ? 4 : 2, 2, Lq, Lk, turn % 3 == 0 ? 16 : 7, turn % 2 == 0 ? 16 : 5, 4};
        const auto alignment = turn % 5 == 0 ? mask::align::start : mask::align::end;
        const Case<float> of(shape, Prefix::of(shape, causal, turn % 3 == 1, alignment),
                             static_cast<Layout>(turn % 3));
        of.check_linear();
        if (turn % 2 == 0) of.check_performer(turn % 4 == 0 ? 33 : 8);
        ++turn;
      }
    }
  }
}

TEST_CASE("gradients of scans meet the sum over pairs over spans and blocks") {
  const auto check = [](Index Lq, Index Lk, bool causal, bool padded,
                        mask::align alignment = mask::align::end) {
    const Shape shape{1, 1, 1, Lq, Lk, 3, 2, 4};
    return Case<float>(shape, Prefix::of(shape, causal, padded, alignment), Layout::packed);
  };
  check(1100, 1100, true, false).check_linear();
  check(1030, 2113, true, false).check_linear();
  check(2300, 1025, true, true).check_linear();
  check(1200, 1024, true, false, mask::align::start).check_linear();
  check(3, 2113, false, false).check_linear();
  check(1100, 1200, false, true).check_linear();
  check(1100, 1200, true, false).check_performer(5);
}

TEMPLATE_TEST_CASE("gradients of scans of other types meet the sum over pairs", "", double, Half,
                   BFloat16) {
  const Shape shape{2, 4, 2, 70, 80, 24, 33, 4};
  for (const bool causal : {false, true}) {
    const Case<TestType> of(shape, Prefix::of(shape, causal, true), Layout::blhd);
    of.check_linear();
    of.check_performer(40);
  }
}

// Σ d_out ∘ out.
template <class Out>
double loss_of(const Out& out, const View<const double, 4>& d_out) {
  double loss = 0;
  const auto x = view_of(out);
  for_each_row(x, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < x.extent[3]; ++d) loss += d_out(b, h, i, d) * x(b, h, i, d);
  });
  return loss;
}

template <class G, class Loss>
void require_differences(Case<double>& of, const G& g, const Loss& loss) {
  const auto check =
      inspect::gradcheck(loss, {inspect::gradcheck_input("q", of.in.q.view(), g.d_q),
                                inspect::gradcheck_input("k", of.in.k.view(), g.d_k),
                                inspect::gradcheck_input("v", of.in.v.view(), g.d_v)});
  CAPTURE(check, test::name_of(of.shape), of.prefix.causal, of.prefix.padded);
  REQUIRE(check.ok(1e-6));
}

TEST_CASE("gradients of scans are the differences of their forward calls") {
  const auto square =
      approx::with_derivative([](auto x) { return x * x + 0.1; }, [](auto x) { return 2 * x; });
  int turn = 0;
  for (const Shape& shape : {Shape{1, 1, 1, 5, 7, 3, 4, 4}, Shape{2, 4, 2, 6, 6, 2, 3, 4},
                             Shape{1, 2, 1, 7, 4, 4, 1, 4}}) {
    for (const bool causal : {false, true}) {
      Case<double> of(shape, Prefix::of(shape, causal, turn % 2 == 1),
                      static_cast<Layout>(turn % 3), 1);
      const auto q = of.in.q.cview(), k = of.in.k.cview(), v = of.in.v.cview();
      const auto check = [&](const auto& map) {
        require_differences(of, of.linear(map), [&] {
          return of.prefix.with([&](const auto& mask) {
            return loss_of(approx::linear(q, k, v, map, mask).out, of.d_out.cview());
          });
        });
      };
      check(approx::EluPlusOne{});
      check(square);
      const approx::PerformerOptions options{.scale = turn == 2 ? -0.6 : 0.7, .seed = 5};
      require_differences(of, of.performer(9, options), [&] {
        return of.prefix.with([&](const auto& mask) {
          return loss_of(approx::performer(q, k, v, 9, mask, options).out, of.d_out.cview());
        });
      });
      ++turn;
    }
  }
}

// Both states are inputs: a loss of out and of the state afterwards.
TEST_CASE("gradients of steps are the differences of linear_step, of its state too") {
  const Shape shape{2, 4, 2, 5, 5, 3, 2, 4};
  Case<double> of(shape, Prefix::of(shape, true, false), Layout::gaps, 1);
  const auto q = of.in.q.cview(), k = of.in.k.cview(), v = of.in.v.cview();
  const auto fill = [](approx::LinearState<double>& x, std::uint64_t seed) {
    for (Index n = 0; n < x.S.size(); ++n) x.S.data()[n] = test::uniform(seed, n);
    for (Index n = 0; n < x.z.size(); ++n) x.z.data()[n] = 1.5 + test::uniform(seed + 1, n);
  };
  approx::LinearState<double> before(2, 2, 3, 2), after(2, 2, 3, 2);
  fill(before, 21);
  fill(after, 23);  // the gradient of the state after the steps
  auto d_state = after;
  const auto g = approx::linear_step_backward(d_state, before, of.d_out.cview(), q, k, v);
  const auto loss = [&] {
    auto state = before;
    double sum = loss_of(approx::linear_step(state, q, k, v).out, of.d_out.cview());
    for (Index n = 0; n < state.S.size(); ++n) sum += state.S.data()[n] * after.S.data()[n];
    for (Index n = 0; n < state.z.size(); ++n) sum += state.z.data()[n] * after.z.data()[n];
    return sum;
  };
  require_differences(of, g, loss);
  const auto check = inspect::gradcheck(loss, {inspect::gradcheck_input("S", before.S, d_state.S),
                                               inspect::gradcheck_input("z", before.z, d_state.z)});
  CAPTURE(check);
  REQUIRE(check.ok(1e-6));
  approx::LinearState<double> wrong(2, 2, 3, 7);
  REQUIRE_THAT(test::error_of(
                   [&] { approx::linear_step_backward(wrong, before, of.d_out.cview(), q, k, v); }),
               test::ContainsSubstring("linear_step_backward: the state's dimension is 7"));
}

TEST_CASE("steps back through pieces of a text give the gradients of the whole") {
  const Shape shape{1, 2, 1, 70, 70, 6, 5, 4};
  const Case<float> of(shape, Prefix::of(shape, true, false), Layout::packed);
  const auto whole = of.linear();
  const auto piece = [](View<const float, 4> x, Index begin, Index count) {
    x.data += begin * x.stride[2];
    x.extent[2] = count;
    return x;
  };
  const auto q = of.in.q.cview(), k = of.in.k.cview(), v = of.in.v.cview();
  approx::LinearState<float> state(1, 1, 6, 5), d_state(1, 1, 6, 5);
  std::vector<approx::LinearState<float>> states;
  for (Index t = 0; t < 70; t += 14) {
    states.push_back(state);
    approx::linear_step(state, piece(q, t, 14), piece(k, t, 14), piece(v, t, 14));
  }
  for (Index t = 56; t >= 0; t -= 14) {
    const auto g = approx::linear_step_backward(d_state, states[static_cast<std::size_t>(t / 14)],
                                                piece(of.d_out.cview(), t, 14), piece(q, t, 14),
                                                piece(k, t, 14), piece(v, t, 14));
    for (Index i = 0; i < 14; ++i) {
      for (Index d = 0; d < 6; ++d) {
        REQUIRE(std::abs(g.d_q(0, 1, i, d) - whole.d_q(0, 1, t + i, d)) <= 1e-5f);
        REQUIRE(std::abs(g.d_k(0, 0, i, d) - whole.d_k(0, 0, t + i, d)) <= 1e-5f);
      }
      REQUIRE(std::abs(g.d_v(0, 0, i, 2) - whole.d_v(0, 0, t + i, 2)) <= 1e-5f);
    }
  }
}

TEST_CASE("the bits of a scan's gradients depend on neither threads nor batch") {
  const Shape shape{2, 4, 2, 2100, 2300, 8, 12, 4};  // 4 workers take whole heads, 3 and 5 parts
  test::ThreadPerWorker pool;
  for (const auto& [causal, padded] : {std::pair{false, true}, {true, true}}) {
    CAPTURE(causal, padded);
    const Case<float> of(shape, Prefix::of(shape, causal, padded), Layout::packed);
    const auto one = of.linear(approx::Relu{}, {.threads = 1});
    const auto random = of.performer(12, {.threads = 1});
    for (const int threads : {2, 3, 4, 5}) {
      REQUIRE(same_gradients(one, of.linear(approx::Relu{}, {.threads = threads})));
      REQUIRE(
          same_gradients(one, of.linear(approx::Relu{}, {.threads = threads, .executor = &pool})));
      REQUIRE(same_gradients(random, of.performer(12, {.threads = threads, .executor = &pool})));
    }
  }
  const Case<float> of(shape, Prefix::of(shape, true, false), Layout::packed);
  const auto both = of.linear(approx::EluPlusOne{}, {.threads = 3});
  const auto second = [](View<const float, 4> x) {
    x.data += x.stride[0];
    x.extent[0] = 1;
    return x;
  };
  const auto alone =
      approx::linear_backward(second(of.d_out.cview()), second(of.in.q.cview()),
                              second(of.in.k.cview()), second(of.in.v.cview()), {}, mask::causal());
  REQUIRE(test::same_bits(alone.d_q, Tensor3<float>(both.d_q.chip(1, 0))));
  REQUIRE(test::same_bits(alone.d_k, Tensor3<float>(both.d_k.chip(1, 0))));
  REQUIRE(test::same_bits(alone.d_v, Tensor3<float>(both.d_v.chip(1, 0))));
}

#if !defined(__FAST_MATH__)
// Query 0 sees keys [0, 31); keys from 200 on are padding, and key 150 is seen from query 120 on.
TEST_CASE("what a mask hides changes no bit of a scan's gradients") {
  const Shape shape{1, 2, 1, 150, 180, 16, 9, 4};
  Prefix prefix = Prefix::of(shape, true, true);
  prefix.lengths[0] = 140;
  for (const double poison :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const auto run = [&](const auto& edit, bool random) {
      Case<float> of(shape, prefix, Layout::packed);
      edit(of);
      return random ? of.performer(20, {}) : of.linear();
    };
    for (const bool random : {false, true}) {
      CAPTURE(random);
      const auto clean = run([](auto&) {}, random);
      const auto hidden = run(
          [&](auto& of) {
            of.in.k.view()(0, 0, 150, 2) = static_cast<float>(poison);
            of.in.v.view()(0, 0, 150, 1) = static_cast<float>(poison);
          },
          random);
      REQUIRE(same_gradients(clean, hidden));
      REQUIRE(clean.d_k(0, 0, 150, 2) == 0);
      // Key 100 is seen by the queries from 70 on.
      const auto seen = run(
          [&](auto& of) {
            of.in.k.view()(0, 0, 100, 2) = static_cast<float>(poison);
            of.in.v.view()(0, 0, 100, 1) = static_cast<float>(poison);
          },
          random);
      for (Index i = 0; i < 70; ++i) {
        for (Index d = 0; d < 16; ++d) REQUIRE(seen.d_q(0, 1, i, d) == clean.d_q(0, 1, i, d));
      }
      REQUIRE(!is_finite(seen.d_q(0, 1, 70, 0)));
      // Query 80 sees keys up to 110.
      const auto of_query = run(
          [&](auto& of) {
            of.in.q.view()(0, 1, 80, 2) = static_cast<float>(poison);
            of.d_out.view()(0, 1, 80, 3) = static_cast<float>(poison);
          },
          random);
      for (Index j = 111; j < 140; ++j) {
        for (Index d = 0; d < 16; ++d) REQUIRE(of_query.d_k(0, 0, j, d) == clean.d_k(0, 0, j, d));
        for (Index d = 0; d < 9; ++d) REQUIRE(of_query.d_v(0, 0, j, d) == clean.d_v(0, 0, j, d));
      }
      REQUIRE(!is_finite(of_query.d_k(0, 0, 110, 0)));
      for (Index d = 0; d < 16; ++d) REQUIRE(of_query.d_q(0, 1, 81, d) == clean.d_q(0, 1, 81, d));
    }
  }
}
#endif

TEST_CASE("rows of a scan that see nothing have gradient 0, and wrong calls are named") {
  const Shape shape{1, 1, 1, 70, 40, 4, 4, 4};
  const Case<float> of(shape, Prefix::of(shape, true, false), Layout::packed);
  const auto g = of.linear();
  for (Index i = 0; i < 30; ++i) REQUIRE(g.d_q(0, 0, i, 3) == 0);
  REQUIRE(g.d_q(0, 0, 31, 3) != 0);
  const auto nothing =
      of.linear(approx::with_derivative([](float) { return 0.0f; }, [](float) { return 1.0f; }));
  REQUIRE(test::max_magnitude(nothing.d_q) + test::max_magnitude(nothing.d_v) == 0);

  const Tensor4<float> q(1, 2, 3, 4), k(1, 2, 3, 5);
  REQUIRE_THAT(test::error_of([&] { approx::linear_backward(q, q, k, k); }),
               test::ContainsSubstring("heed::approx::linear_backward: k has dim 5"));
  REQUIRE_THAT(test::error_of([&] { approx::linear_backward(k, q, q, q); }),
               test::ContainsSubstring("d_out [1,2,3,5], out [1,2,3,4]"));
  REQUIRE_THAT(test::error_of([&] { approx::performer_backward(q, q, q, q, 0); }),
               test::ContainsSubstring("heed::approx::performer_backward: features 0"));
  const auto heads = test::uncountable_empty();
  REQUIRE(approx::linear_backward(heads, heads, heads, heads).d_q.size() == 0);
  const test::Small<float> small;  // rank 2
  REQUIRE(approx::linear_backward(small.q, small.q, small.k, small.k).d_k.dimension(0) == 7);
}

// φ(q)·φ(k) = 2e-42 has no reciprocal in float, but gradients all the same: 0 of q and k.
TEST_CASE("gradients of scans whose sums are below the normal numbers") {
  Tensor4<float> q(1, 1, 70, 1), v(1, 1, 70, 3);
  q.setConstant(-48);
  v.setConstant(0.5f);
  const auto g = approx::linear_backward(v, q, q, v, {}, mask::causal());
#if !defined(__FAST_MATH__)  // which takes such sums for 0
  double total = 0;
  for (Index j = 0; j < 70; ++j) total += static_cast<double>(g.d_v(0, 0, j, 0));
  REQUIRE(total == Approx(70 * 0.5).epsilon(2e-3));
#endif
  REQUIRE(test::max_magnitude(g.d_q) <= 1e-2);
}

// φ² is 1.1e-40, and 1.35e-38, a normal number by which d_out·v can't be divided in float.
TEST_CASE("gradients of scans and of steps by sums of which gradients can be larger") {
#if !defined(__FAST_MATH__)
  for (const float x : {-46.0f, -43.6f}) {
    Tensor4<float> q(1, 1, 1, 1), v(1, 1, 1, 64), d_out(1, 1, 1, 64);
    q.setConstant(x);
    v.setConstant(0.5f);
    d_out.setConstant(8);
    approx::LinearState<float> state(1, 1, 1, 64), d_state(1, 1, 1, 64);
    const auto check = [&](const auto& g) {
      CAPTURE(x);
      REQUIRE(g.d_v(0, 0, 0, 3) == Approx(8).epsilon(1e-3));  // out is v, whatever the weight
      REQUIRE(std::abs(g.d_q(0, 0, 0, 0)) < 1);
      REQUIRE(std::abs(g.d_k(0, 0, 0, 0)) < 1);
    };
    check(approx::linear_backward(d_out, q, q, v));
    check(approx::linear_step_backward(d_state, state, d_out, q, q, v));
  }
#endif
}

}  // namespace heed
