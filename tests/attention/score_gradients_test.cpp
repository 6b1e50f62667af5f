// Gradients of what a score holds: against central differences in double, against the textbook, and
// the laws of a backward call.
#include "heed/attention/score_gradients.hpp"

#include <limits>
#include <vector>

#include "support/draw.hpp"
#include "support/error.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

using score::operator>>;
using score::with_gradient;
using test::Buffer;
using test::Inputs;
using test::Layout;

// A score of a user: cos(w[h]) · s + w[h]² · (j mod 3).
struct Turned {
  const std::vector<double>& w;  // [Hq]

  struct Bound {
    Index h;
    double w;

    template <class R>
    R value(R s, int, int j) const {
      return static_cast<R>(std::cos(w)) * s + static_cast<R>(w * w * (j % 3));
    }
    template <class R>
    R derivative(R, int, int) const {
      return static_cast<R>(std::cos(w));
    }
    void add_gradient(const View<double, 2>& sums, double d, double s, int, int j) const {
      sums(0, 0) += d * (2 * w * (j % 3) - std::sin(w) * s);
    }
  };

  Bound bind(const Shape&, Index, Index h) const { return {h, w[static_cast<std::size_t>(h)]}; }
  View<const double, 4> parameters(const Shape& shape) const {
    return view(w.data(), {1, shape.Hq, 1, 1});
  }
};

constexpr Shape small{2, 4, 2, 5, 7, 3, 2, 4};

// Σ d_out ∘ out of the fused call, and its gradients.
template <class S>
struct Loss {
  const Inputs<double>& in;
  const Buffer<double>& d_out;
  const mask::any& mask;
  const S& score;
  Options options;

  double operator()() const {
    const auto out = attention(in.q.cview(), in.k.cview(), in.v.cview(), mask, score, options).out;
    const auto x = view_of(out);
    double sum = 0;
    for_each_row(x, [&](Index b, Index h, Index i) {
      for (Index d = 0; d < x.extent[3]; ++d) sum += d_out.cview()(b, h, i, d) * x(b, h, i, d);
    });
    return sum;
  }
  void differentiate() const {
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
    const auto result = attention(q, k, v, mask, score, options);
    attention_backward(d_out.cview(), q, k, v, result, mask, score, options);
  }
};

// At most twice as far from the truth as the obvious code in T, plus the rounding of d_out·v, whose
// largest is 1, times the weights of so many rows, and half a step of T.
template <class T>
void require_close(const View<T, 4>& fused, const View<T, 4>& naive, const View<double, 4>& truth,
                   Index rows) {
  double off = 0, naive_off = 0, size = 0;
  for_each_row(truth, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < truth.extent[3]; ++d) {
      const double t = truth(b, h, i, d);
      off = std::max(off, std::abs(static_cast<double>(fused(b, h, i, d)) - t));
      naive_off = std::max(naive_off, std::abs(static_cast<double>(naive(b, h, i, d)) - t));
      size = std::max(size, std::abs(t));
    }
  });
  const double sums = 64 * test::unit_roundoff<Accum<T>>() * std::sqrt(static_cast<double>(rows));
  CAPTURE(off, naive_off, size, rows);
  REQUIRE(off <= 2 * naive_off + sums + test::unit_roundoff<T>() * size);
}

// Gradcheck of a score's parameters x, whose gradient it writes.
template <class S, class X, class G>
void require_differences(int n, const S& score, X&& x, const G& gradient) {
  const mask::any masks[] = {mask::None{}, mask::causal(), mask::window(2, 1)};
  CAPTURE(n);
  const Inputs<double> in(small, static_cast<Layout>(n % 3), static_cast<std::uint64_t>(n) + 1);
  Buffer<double> d_out(small.B, small.Hq, small.Lq, small.Dv);
  d_out.fill(77);
  Options options;
  if (n % 2 == 1) options.dropout = 0.3;
  if (n % 3 == 0) options.scale = -0.7;
  const Loss<S> loss{in, d_out, masks[n % 3], score, options};
  loss.differentiate();
  const auto check =
      inspect::gradcheck(loss, {inspect::gradcheck_input("parameters", x, gradient)});
  CAPTURE(check);
  // One number on all keys of a row changes no weight: the gradient is 0, and so is the largest.
  const bool is_zero = gradient.extent[3] == 1 && gradient.extent[2] > 0 && n >= 8;
  REQUIRE((is_zero ? std::abs(check.gradient - check.difference) < 1e-10 : check.ok(1e-6)));
  std::vector<double> fused;
  for_each_row(gradient, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < gradient.extent[3]; ++d) fused.push_back(gradient(b, h, i, d));
  });
  reference::attention_backward(d_out.cview(), in.q.cview(), in.k.cview(), in.v.cview(),
                                masks[n % 3], score, options);
  std::size_t at = 0;
  for_each_row(gradient, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < gradient.extent[3]; ++d) {
      REQUIRE(gradient(b, h, i, d) == Approx(fused[at++]).epsilon(1e-9).margin(1e-12));
    }
  });
}

}  // namespace

TEST_CASE("the gradient of a bias is the difference quotient, along every broadcast") {
  for (int n = 0; n < 16; ++n) {
    const Index B = n & 1 ? 1 : small.B, H = n & 2 ? 1 : small.Hq, Lq = n & 4 ? 1 : small.Lq,
                Lk = n & 8 ? 1 : small.Lk;
    const auto layout = static_cast<Layout>(n % 3);
    Buffer<double> x(B, H, Lq, Lk, layout), d_x(B, H, Lq, Lk, static_cast<Layout>((n + 1) % 3));
    x.fill(5);
    const auto score = with_gradient(score::bias(x.view()), d_x.view());
    require_differences(n, score, x.view(), d_x.view());
    REQUIRE(d_x.margins_intact());
  }
}

TEST_CASE("gradients pass through chains: caps, relative positions, biases, a user's score") {
  std::vector<double> w{0.3, -0.8, 1.1, 0.5}, d_w(4);
  Tensor2<double> table(4, 7), d_table(4, 7), keys(2, 7), d_keys(2, 7);
  test::randomise(table, 8);
  test::randomise(keys, 9);
  const auto score = score::soft_cap(0.9) >> with_gradient(score::relative(table), d_table) >>
                     (with_gradient(Turned{w}, d_w) >> score::soft_cap(1.3)) >>
                     with_gradient(score::bias(keys, score::axes::keys), d_keys);
  for (int n = 0; n < 3; ++n) {
    const auto of_w = view(w.data(), {1, 1, 1, 4}), of_d_w = view(d_w.data(), {1, 1, 1, 4});
    require_differences(n, score, lift(mutable_view_of(table)), lift(mutable_view_of(d_table)));
    require_differences(n, score, lift(mutable_view_of(keys)), lift(mutable_view_of(d_keys)));
    require_differences(n, score, of_w, of_d_w);
  }
}

TEST_CASE("gradients of a table at given positions, and of T5's buckets") {
  const score::T5Options options{.buckets = 6, .max_distance = 4, .bidirectional = true};
  Tensor2<double> buckets(1, 6), d_table(1, 9);
  test::randomise(buckets, 8);
  Tensor2<double> table = score::t5_table(buckets, options);
  const std::vector<int> offsets{3, 0};
  const auto score = score::at(offsets, with_gradient(score::relative(table), d_table));
  require_differences(0, score, lift(mutable_view_of(table)), lift(mutable_view_of(d_table)));
  const Inputs<double> in(small, Layout::packed, 3);
  Buffer<double> d_out(small.B, small.Hq, small.Lq, small.Dv);
  d_out.fill(4);
  const mask::any mask = mask::None{};
  const Loss<std::remove_const_t<decltype(score)>> loss{in, d_out, mask, score, {}};
  loss.differentiate();
  const Tensor2<double> d_buckets = score::t5_table_backward(d_table, options);
  const auto check = inspect::gradcheck(
      [&] {
        const auto changed = score::t5_table(buckets, options);
        std::copy_n(changed.data(), changed.size(), table.data());
        return loss();
      },
      {inspect::gradcheck_input("buckets", buckets, d_buckets)});
  CAPTURE(check);
  REQUIRE(check.ok(1e-6));
  REQUIRE_THROWS_WITH(score::t5_table_backward(d_table),
                      test::ContainsSubstring("distances 9 but the options make 257"));
}

// A cap, a bias and a table with their gradients: one type of calls.
template <class T, class G>
auto biased(const Buffer<T>& bias, const Buffer<G>& d_bias, const Buffer<T>& table,
            const Buffer<G>& d_table) {
  return score::soft_cap(2) >> with_gradient(score::bias(bias.view()), d_bias.view()) >>
         with_gradient(score::relative(table.view().matrix(0, 0)), d_table.view().matrix(0, 0));
}

TEMPLATE_TEST_CASE("gradients of biases and tables meet the oracle", "", float, BFloat16) {
  using T = TestType;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    Shape shape = test::draw_shape(seed);
    if (seed % 8 == 0) shape.Lq = 17, shape.Lk = 2100;  // three spans
    const auto shared = [&](std::uint32_t axis) { return test::draw(seed, 20 + axis, 3) == 0; };
    const Index B = shared(0) ? 1 : shape.B, H = shared(1) ? 1 : shape.Hq,
                Lq = shared(2) ? 1 : shape.Lq, Lk = shared(3) ? 1 : shape.Lk,
                distances = seed % 2 == 0 ? 7 : 141;
    const auto layout = static_cast<Layout>(seed % 3);
    CAPTURE(seed, test::name_of(shape), B, H, Lq, Lk, distances);
    const Inputs<T> in(shape, layout, seed);
    Buffer<T> bias(B, H, Lq, Lk, layout), d_out(shape.B, shape.Hq, shape.Lq, shape.Dv, layout),
        table(1, 1, shape.Hq, distances), d_bias(B, H, Lq, Lk, layout), naive_bias(d_bias),
        d_table(1, 1, shape.Hq, distances, Layout::gaps), naive_table(d_table);
    Buffer<double> true_bias(B, H, Lq, Lk), true_table(1, 1, shape.Hq, distances);
    bias.fill(seed + 50);
    d_out.fill(seed + 51);
    table.fill(seed + 52);
    const auto score_of = [&](const auto& of_bias, const auto& of_table) {
      return biased(bias, of_bias, table, of_table);
    };
    const mask::any masks[] = {mask::causal(), mask::window(40, 20), mask::None{},
                               mask::strided(3)};
    const mask::any& mask = masks[seed % 4];
    Options options;
    if (seed % 3 == 0) options.dropout = 0.2;
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
    reference::attention_backward<double>(d_o, q, k, v, mask, score_of(true_bias, true_table),
                                          options);
    reference::attention_backward(d_o, q, k, v, mask, score_of(naive_bias, naive_table), options);
    const auto score = score_of(d_bias, d_table);
    const auto result = attention(q, k, v, mask, score, options);
    attention_backward(d_o, q, k, v, result, mask, score, options);
    REQUIRE(d_bias.margins_intact());
    REQUIRE(d_table.margins_intact());
    const Index rows = shape.B * shape.Lq;
    require_close(d_bias.view(), naive_bias.view(), true_bias.view(),
                  rows * shape.Hq / (B * H * Lq));
    require_close(d_table.view(), naive_table.view(), true_table.view(), rows);
  }
}

TEST_CASE("the gradient of slopes weighs each pair by its distance") {
  const Shape shape{2, 2, 1, 70, 90, 8, 8, 4};
  const Inputs<double> in(shape, Layout::packed, 3);
  Buffer<double> d_out(2, 2, 70, 8);
  d_out.fill(4);
  const std::vector<float> slopes{0.25F, 0.5F, 0.125F, 1};  // of two batch entries
  std::vector<double> d_slopes(4);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  const mask::any mask = mask::causal();
  const auto score = with_gradient(score::alibi(slopes), d_slopes);
  attention_backward(d_o, q, k, v, attention(q, k, v, mask, score), mask, score);
  const auto truth = reference::attention_backward(d_o, q, k, v, mask, score::alibi(slopes));
  for (Index n = 0; n < 4; ++n) {
    double sum = 0;
    for (Index i = 0; i < 70; ++i) {
      for (Index j = 0; j < 90; ++j) {
        sum -= static_cast<double>(std::abs(j - i - 20)) * truth.d_scores(n / 2, n % 2, i, j);
      }
    }
    REQUIRE(d_slopes[static_cast<std::size_t>(n)] == Approx(sum).epsilon(1e-9));
  }
}

namespace {

// Calls with a user's score, a bias shared by the batch and one of the keys, and their gradients.
struct Calls {
  Shape shape{2, 4, 2, 90, 1300, 8, 8, 4};
  Inputs<float> in{shape, Layout::packed, 5};
  Buffer<float> d_out{2, 4, 90, 8}, bias, keys{2, 1, 1, 1300};
  std::vector<double> w{0.3, -0.8, 1.1, 0.5}, d_w = std::vector<double>(4);
  Tensor4<float> d_bias, d_keys{2, 1, 1, 1300};
  mask::any mask = mask::causal() & mask::window(300, 0);

  explicit Calls(Index heads = 4) : bias(1, heads, 90, 1300), d_bias(1, heads, 90, 1300) {
    d_out.fill(6);
    bias.fill(7);
    keys.fill(8);
  }
  auto score() {
    return with_gradient(Turned{w}, d_w) >> with_gradient(score::bias(bias.view()), d_bias) >>
           with_gradient(score::bias(keys.view()), d_keys) >> score::soft_cap(3);
  }
  void run(const Options& options = {}) {
    d_bias.setConstant(1e9F);
    d_keys.setConstant(1e9F);
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
    attention_backward(d_out.cview(), q, k, v, attention(q, k, v, mask, score(), options), mask,
                       score(), options);
  }
  bool same(const Calls& other) const {
    return test::same_bits(d_bias, other.d_bias) && test::same_bits(d_keys, other.d_keys) &&
           d_w == other.d_w;
  }
};

}  // namespace

TEST_CASE("bits of a score's gradients depend on neither threads nor masked numbers") {
  for (const Index heads : {1, 4}) {
    Calls calls(heads);
    calls.run({.threads = 1});
    const Calls expected = calls;
    for (const int threads : {2, 3, 8}) {
      for (int repeat = 0; repeat < 3; ++repeat) {
        calls.run({.threads = threads});
        REQUIRE(calls.same(expected));
      }
    }
  }
  Calls calls;
  calls.run();
  REQUIRE(calls.d_bias(0, 1, 3, 1299) == 0);  // behind causal
  REQUIRE(calls.d_bias(0, 1, 3, 20) == 0);    // in tiles that are not computed
  REQUIRE(calls.d_keys(1, 0, 0, 20) == 0);
  REQUIRE(calls.d_keys(1, 0, 0, 1200) != 0);
#if !defined(__FAST_MATH__)
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const auto hides = mask::any([](int i, int j) { return i != 11 && j != 1213; });
  calls.mask = hides;
  calls.run();
  const Calls before = calls;
  for (Index h = 0; h < 4; ++h) {
    for (Index d = 0; d < 8; ++d) {
      calls.in.q.view()(1, h, 11, d) = calls.d_out.view()(1, h, 11, d) = nan;
      calls.in.k.view()(1, h / 2, 1213, d) = calls.in.v.view()(1, h / 2, 1213, d) = nan;
    }
    calls.bias.view()(0, h, 11, 7) = calls.bias.view()(0, h, 7, 1213) = nan;
  }
  calls.keys.view()(1, 0, 0, 1213) = nan;
  calls.run();
  REQUIRE(calls.same(before));
#endif
}

TEST_CASE("a batch entry's own gradient does not depend on the others, nor d_q on it") {
  const Shape shape{3, 4, 2, 40, 70, 8, 8, 4};
  const Inputs<float> in(shape, Layout::packed, 5);
  Buffer<float> d_out(3, 4, 40, 8), bias(3, 1, 40, 70), d_bias(3, 1, 40, 70), alone(1, 1, 40, 70);
  d_out.fill(6);
  bias.fill(7);
  const auto run = [&](Index b, Index count, const View<float, 4>& to) {
    const auto part = [&](View<const float, 4> x) {
      x.data += b * x.stride[0];
      x.extent[0] = count;
      return x;
    };
    const auto plain = score::bias(part(bias.cview()));
    const auto score = with_gradient(plain, to);
    const auto q = part(in.q.cview()), k = part(in.k.cview()), v = part(in.v.cview());
    const auto d_o = part(d_out.cview());
    const auto result = attention(q, k, v, {}, plain);
    const auto g = attention_backward(d_o, q, k, v, result, {}, score);
    REQUIRE(test::same_bits(g.d_q, attention_backward(d_o, q, k, v, result, {}, plain).d_q));
  };
  run(0, 3, d_bias.view());
  for (Index b = 0; b < 3; ++b) {
    run(b, 1, alone.view());
    REQUIRE(std::equal(&alone.view()(0, 0, 0, 0), &alone.view()(0, 0, 0, 0) + 2800,
                       &d_bias.view()(b, 0, 0, 0)));
  }
}

TEST_CASE("gradients of a score in calls without queries, keys or heads are 0") {
  for (int empty = 0; empty < 4; ++empty) {
    CAPTURE(empty);
    Shape shape{2, 2, 1, 5, 7, 4, 3, 4};
    Index* const extents[] = {&shape.B, &shape.Hq, &shape.Lq, &shape.Lk};
    *extents[empty] = 0;
    const Inputs<float> in(shape, Layout::packed, 12);
    Buffer<float> d_out(shape.B, shape.Hq, shape.Lq, shape.Dv);
    Buffer<float> table(1, 1, 1, 5), d_table(1, 1, 1, 5), bias(1, 1, shape.Lq, shape.Lk),
        d_bias(1, 1, shape.Lq, shape.Lk);
    for (Buffer<float>* x : {&table, &d_table, &bias, &d_bias}) x->fill(3);
    const auto score = biased(bias, d_bias, table, d_table);
    const mask::any mask = mask::None{};
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
    attention_backward(d_out.cview(), q, k, v, attention(q, k, v, mask, score), mask, score);
    for (const Buffer<float>* x : {&d_table, &d_bias}) {
      for_each_row(x->view(), [&](Index, Index, Index i) {
        for (Index j = 0; j < x->view().extent[3]; ++j) REQUIRE(x->view()(0, 0, i, j) == 0);
      });
    }
  }
}

TEST_CASE("a padded bias has a gradient of the keys it has") {
  const Shape shape{1, 1, 1, 5, 7, 4, 3, 4};
  const Inputs<double> in(shape, Layout::packed, 12);
  Buffer<double> d_out(1, 1, 5, 3);
  d_out.fill(13);
  Tensor2<double> bias(5, 4), d_bias(5, 4);
  test::randomise(bias, 14);
  const auto score =
      with_gradient(score::bias(bias, score::axes::by_rank, score::missing::masked), d_bias);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  attention_backward(d_out.cview(), q, k, v, attention(q, k, v, {}, score), {}, score);
  const auto truth = reference::attention_backward(d_out.cview(), q, k, v, {}, score).d_scores;
  for (Index i = 0; i < 5; ++i) {
    for (Index j = 0; j < 4; ++j) REQUIRE(d_bias(i, j) == Approx(truth(0, 0, i, j)));
  }
}

TEST_CASE("a gradient of another shape, or on memory of the call, is refused; nothing is written") {
  using test::ContainsSubstring;
  const Shape shape{1, 2, 1, 5, 7, 16, 16, 4};
  Inputs<float> in(shape, Layout::packed, 16);
  Buffer<float> d_out(1, 2, 5, 16), bias(1, 2, 5, 7);
  d_out.fill(17);
  bias.fill(18);
  std::vector<float> memory(300, 4);
  const auto q = in.q.view(), k = in.k.view(), v = in.v.view();
  auto result = attention(q, k, v, {}, score::bias(bias.view()));
  auto g = attention_backward(d_out.cview(), q, k, v, result, {}, score::bias(bias.view()));
  const auto before = g;
  const auto run = [&](const View<float, 4>& to, const View<float, 4>& other) {
    const auto score = with_gradient(score::bias(bias.view()), to) >>
                       with_gradient(score::bias(bias.view()), other);
    const std::string text = test::error_of(
        [&] { attention_backward_into(g, d_out.cview(), q, k, v, result, {}, score); });
    REQUIRE(test::same_bits(g.d_q, before.d_q));
    REQUIRE(std::count(memory.begin(), memory.end(), 4.0F) == 300);
    return text;
  };
  const auto good = view(memory.data(), {1, 2, 5, 7}),
             over = view(memory.data() + 150, {1, 2, 5, 7});
  REQUIRE_THAT(run(good, view(memory.data() + 100, {1, 2, 7, 5})),
               ContainsSubstring("gradient [1,2,7,5], parameters [1,2,5,7]"));
  REQUIRE_THAT(run(good, view(memory.data() + 69, {1, 2, 5, 7})),
               ContainsSubstring("another gradient [1,2,5,7]"));
  REQUIRE_THAT(run(view(memory.data(), {1, 2, 5, 7}, {70, 35, 0, 1}), over),
               ContainsSubstring("repeats elements"));
  const auto on = [](float* data) { return view(data, {1, 2, 5, 7}); };
  REQUIRE_THAT(run(good, on(bias.view().data)),
               ContainsSubstring("parameters of a score [1,2,5,7]"));
  REQUIRE_THAT(run(good, on(q.data)), ContainsSubstring("; q [1,2,5,16]"));
  REQUIRE_THAT(run(good, on(k.data)), ContainsSubstring("; k [1,1,7,16]"));
  REQUIRE_THAT(run(good, on(v.data)), ContainsSubstring("; v [1,1,7,16]"));
  REQUIRE_THAT(run(good, on(d_out.view().data)), ContainsSubstring("; d_out [1,2,5,16]"));
  REQUIRE_THAT(run(good, on(result.out.data())), ContainsSubstring("; out [1,2,5,16]"));
  REQUIRE_THAT(run(good, on(result.lse.data())),
               ContainsSubstring("overlaps other memory of the call"));
  REQUIRE_THAT(run(good, on(g.d_q.data())), ContainsSubstring("; d_q [1,2,5,16]"));
  REQUIRE_THAT(run(good, on(g.d_k.data())), ContainsSubstring("; d_k [1,1,7,16]"));
  REQUIRE_THAT(run(good, on(g.d_v.data())), ContainsSubstring("; d_v [1,1,7,16]"));
}

}  // namespace heed
