// Linear attention against the double sum that it is, and against its own recurrent form.
#include "heed/approx/linear/linear.hpp"

#include "approx/naive.hpp"
#include "heed/approx/linear/linear_state.hpp"
#include "support/sweep.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;
using test::Prefix;

double elu_plus_one(double x) { return x > 0 ? x + 1 : std::exp(x); }
double relu(double x) { return std::max(x, 0.0); }

// Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j), each pair by itself.
template <class T>
test::Oracle naive(const Inputs<T>& in, const Shape& shape, const Prefix& prefix,
                   double (*map)(double)) {
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  test::Oracle out(shape.B, shape.Hq, shape.Lq, shape.Dv);
  out.setZero();
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      for (Index i = 0; i < shape.Lq; ++i) {
        double total = 0;
        for (Index j = 0; j < shape.Lk; ++j) {
          if (!prefix.allows(shape, b, i, j)) continue;
          double weight = 0;
          for (Index d = 0; d < shape.D; ++d) {
            weight += map(static_cast<double>(q(b, h, i, d))) *
                      map(static_cast<double>(k(b, h / shape.group(), j, d)));
          }
          total += weight;
          for (Index n = 0; n < shape.Dv; ++n) {
            out(b, h, i, n) += weight * static_cast<double>(v(b, h / shape.group(), j, n));
          }
        }
        for (Index n = 0; n < shape.Dv && total != 0; ++n) out(b, h, i, n) /= total;
      }
    }
  }
  return out;
}

// All terms are positive, so a result is off by at most its values times the rounding of its sums:
// D products, then 64 keys of a chunk, then chunks and spans.
template <class T>
double tolerance(const Shape& shape) {
  const double sums = test::unit_roundoff<Accum<T>>() * static_cast<double>(shape.D + 128);
  return sums + (sizeof(T) < 4 ? test::unit_roundoff<T>() : 0);
}

template <class T, class Map = approx::EluPlusOne>
void check(const Shape& shape, Layout layout, const Prefix& prefix, const Map& map = {},
           double (*oracle)(double) = elu_plus_one) {
  CAPTURE(test::name_of(shape), prefix.causal, prefix.padded, static_cast<int>(layout));
  const Inputs<T> in(shape, layout, 7, 2);
  const auto expected = naive(in, shape, prefix, oracle);
  const auto result = prefix.with([&](const auto& mask) {
    return approx::linear(in.q.cview(), in.k.cview(), in.v.cview(), map, mask, {.threads = 1});
  });
  REQUIRE(test::max_difference(result.out, expected) <= tolerance<T>(shape));
}

}  // namespace

TEST_CASE("linear attention meets its naive at every length") {
  test::Sweep sweep;
  int turn = 0;
  for (const Index Lq : {0, 1, 5, 63, 64, 65, 130}) {
    for (const Index Lk : {0, 1, 6, 63, 64, 65, 128, 200}) {
      for (const bool causal : {false, true}) {
        const Shape shape{2, 4, 2, Lq, Lk, turn % 3 == 0 ? 16 : 7, turn % 2 == 0 ? 16 : 5, 4};
        const auto layout = static_cast<Layout>(turn % 3);
        const bool padded = turn++ % 2 == 1;
        if (sweep.takes_next()) check<float>(shape, layout, Prefix::of(shape, causal, padded));
      }
    }
  }
}

TEST_CASE("linear attention meets its naive over spans and blocks") {
  test::Sweep sweep;
  for (const Index Lk : {1023, 1024, 1025, 2113}) {
    for (const Index Lq : {Lk, Lk - 77, Lk + 1100, Index{3}}) {
      if (!sweep.takes_next()) continue;
      for (const mask::align alignment : {mask::align::end, mask::align::start}) {
        const Shape shape{1, 2, 1, Lq, Lk, 5, 6, 4};
        check<float>(shape, Layout::packed, Prefix::of(shape, true, Lk == 1025, alignment));
      }
      const Shape shape{1, 1, 1, Lq, Lk, 5, 6, 4};
      check<float>(shape, Layout::packed, Prefix::of(shape, false, Lk == 1025));
    }
  }
}

TEST_CASE("linear attention meets its naive at every head size") {
  test::Sweep sweep;
  for (const Index D : {1, 3, 16, 32, 59, 64, 65, 130}) {
    for (const Index Dv : {0, 1, 15, 16, 31, 63, 64, 79, 80, 129}) {
      if (!sweep.takes_next()) continue;
      const Shape shape{1, 1, 1, 70, 90, D, Dv, 4};
      check<float>(shape, Layout::gaps, Prefix::of(shape, true, false));
      check<double>(shape, Layout::packed, Prefix::of(shape, D % 2 == 0, false));
    }
  }
}

TEMPLATE_TEST_CASE("linear attention of other types meets its naive", "", double, Half, BFloat16) {
  const Shape shape{2, 6, 3, 150, 190, 24, 20, 4};
  for (const bool causal : {false, true}) {
    const Prefix prefix = Prefix::of(shape, causal, true);
    check<TestType>(shape, Layout::blhd, prefix);
  }
}

TEST_CASE("linear attention through other maps meets its naive") {
  const Shape shape{2, 6, 3, 150, 190, 24, 20, 4};
  for (const bool causal : {false, true}) {
    const Prefix prefix = Prefix::of(shape, causal, true);
    check<float>(shape, Layout::gaps, prefix, approx::Relu{}, relu);
    check<float>(
        shape, Layout::packed, prefix, [](float x) { return x * x + 0.25f; },
        [](double x) { return x * x + 0.25; });
  }
}

TEST_CASE("the recurrent form says what causal linear attention says") {
  const Shape shape{2, 4, 2, 150, 150, 12, 10, 4};
  const Inputs<float> in(shape, Layout::packed, 9, 2);
  const auto whole = approx::linear(in.q.cview(), in.k.cview(), in.v.cview(), {}, mask::causal());
  approx::LinearState<float> state(2, 2, 12, 10);
  const auto piece = [](View<const float, 4> x, Index begin, Index count) {
    x.data += begin * x.stride[2];
    x.extent[2] = count;
    return x;
  };
  for (Index t = 0, count = 1; t < 150; t += count, count = t % 3 + 1) {
    count = std::min<Index>(count, 150 - t);
    const auto step =
        approx::linear_step(state, piece(in.q.cview(), t, count), piece(in.k.cview(), t, count),
                            piece(in.v.cview(), t, count));
    for (Index h = 0; h < 4; ++h) {
      for (Index n = 0; n < 10; ++n) {
        CHECK(std::abs(step.out(1, h, count - 1, n) - whole.out(1, h, t + count - 1, n)) <= 2e-6f);
      }
    }
  }
}

TEST_CASE("ranks and layouts of linear attention") {
  const test::Small<float> in;  // rank 2
  const auto flat = approx::linear(in.q, in.k, in.v, approx::Relu{}, mask::causal());
  CHECK(flat.out.dimension(0) == 5);
  const Eigen::MatrixXf x = Eigen::MatrixXf::Random(9, 4);
  const auto of_matrix = approx::linear(x, x, x).out;
  const auto again =
      approx::linear(heed::view(Eigen::MatrixXf(x).data(), {1, 1, 9, 4}, {0, 0, 1, 9}),
                     heed::view(x.data(), {1, 1, 9, 4}, {0, 0, 1, 9}),
                     heed::view(x.data(), {1, 1, 9, 4}, {0, 0, 1, 9}))
          .out;
  for (Index i = 0; i < 9; ++i) {
    for (Index d = 0; d < 4; ++d) CHECK(of_matrix(i, d) == again(0, 0, i, d));
  }
}

TEST_CASE("linear attention has the same bits for any number of threads and any batch") {
  const Shape shape{2, 4, 2, 2100, 2300, 8, 12, 4};  // 4 workers take whole heads, 3 and 5 parts
  const Inputs<float> in(shape, Layout::packed, 5);
  test::ThreadPerWorker pool;
  for (const auto& [causal, padded] : {std::pair{true, false}, {false, true}, {true, true}}) {
    CAPTURE(causal, padded);
    const Prefix prefix = Prefix::of(shape, causal, padded);  // lengths 766 and 1533
    const auto run = [&](const approx::RunOptions& options) {
      return prefix.with([&](const auto& mask) {
        return approx::linear(in.q.cview(), in.k.cview(), in.v.cview(), {}, mask, options);
      });
    };
    const auto one = run({.threads = 1});
    for (const int threads : {0, 2, 3, 4, 5}) {
      CHECK(test::same_bits(one.out, run({.threads = threads}).out));
      CHECK(test::same_bits(one.out, run({.threads = threads, .executor = &pool}).out));
    }
  }
  auto q = in.q.cview();
  auto k = in.k.cview();
  auto v = in.v.cview();
  for (View<const float, 4>* x : {&q, &k, &v}) {
    x->data += x->stride[0];
    x->extent[0] = 1;
  }
  const auto both =
      approx::linear(in.q.cview(), in.k.cview(), in.v.cview(), {}, mask::causal(), {.threads = 3});
  const Tensor3<float> second = both.out.chip(1, 0);
  CHECK(test::same_bits(approx::linear(q, k, v, {}, mask::causal()).out, second));
}

TEST_CASE("NaN or inf in keys that a row of linear attention does not see changes no bit") {
  const Shape shape{1, 2, 1, 300, 300, 16, 16, 4};
  const Inputs<float> clean(shape, Layout::packed, 3);
  const std::vector<int> lengths{200};
  for (const float poison : {test::nan, test::inf, -test::inf}) {
    Inputs<float> dirty = clean;
    for (const Index j : {100, 205}) {
      dirty.k.view()(0, 0, j, 2) = poison;
      dirty.v.view()(0, 0, j, 1) = poison;
    }
    const auto run = [&](const Inputs<float>& in) {
      using mask::operator&;
      return approx::linear(in.q.cview(), in.k.cview(), in.v.cview(), {},
                            mask::causal() & mask::padding(lengths));
    };
    const auto expected = run(clean);
    const auto result = run(dirty);
    for (Index i = 0; i < 100; ++i) {
      for (Index d = 0; d < 16; ++d) CHECK(result.out(0, 1, i, d) == expected.out(0, 1, i, d));
    }
#if !defined(__FAST_MATH__)
    for (Index i = 100; i < 300; ++i) CHECK(!is_finite(result.out(0, 1, i, 1)));
#endif
  }
}

TEST_CASE("rows of linear attention that see nothing are 0") {
  const Shape shape{2, 1, 1, 70, 40, 4, 4, 4};
  const Inputs<float> in(shape, Layout::packed, 2);
  const auto early = approx::linear(in.q.cview(), in.k.cview(), in.v.cview(), {}, mask::causal());
  for (Index i = 0; i < 30; ++i) CHECK(early.out(1, 0, i, 3) == 0);
  CHECK(early.out(1, 0, 30, 3) != 0);
  const std::vector<int> lengths{0, 3};
  const auto padded =
      approx::linear(in.q.cview(), in.k.cview(), in.v.cview(), {}, mask::padding(lengths));
  CHECK(padded.out(0, 0, 5, 0) == 0);
  CHECK(padded.out(1, 0, 5, 0) != 0);
  const auto nothing =
      approx::linear(in.q.cview(), in.k.cview(), in.v.cview(), [](float) { return 0.0f; });
  CHECK(test::max_magnitude(nothing.out) == 0);
}

// φ(q)·φ(k) = 2e-42 has no reciprocal in float, but a mean of values all the same.
TEST_CASE("sums of linear attention below the normal numbers still divide") {
  Tensor4<float> q(1, 1, 70, 1), v(1, 1, 70, 3);
  q.setConstant(-48);
  for (Index n = 0; n < v.size(); ++n) v.data()[n] = static_cast<float>(2 + test::uniform(3, n));
  const auto result = approx::linear(q, q, v, {}, mask::causal());
  approx::LinearState<float> state(1, 1, 1, 3);
  const auto step = approx::linear_step(state, q, q, v);
  for (Index d = 0; d < 3; ++d) {
    double mean = 0;
    for (Index i = 0; i < 70; ++i) {
      mean += (static_cast<double>(v(0, 0, i, d)) - mean) / static_cast<double>(i + 1);
      CAPTURE(d, i);
#if !defined(__FAST_MATH__)  // which takes such sums for 0
      CHECK(result.out(0, 0, i, d) == Approx(mean).epsilon(2e-3));
      CHECK(step.out(0, 0, i, d) == Approx(mean).epsilon(2e-3));
#endif
    }
  }
}

TEST_CASE("linear attention of degenerate inputs is finite, and exact where weights are level") {
  for (const test::Degenerate& p : test::degenerate_problems()) {
    if (p.name == std::string("scale 0")) continue;  // there is no scale
    CAPTURE(p.name);
    const auto result = approx::linear(p.in.q.cview(), p.in.k.cview(), p.in.v.cview());
    const auto exact = attention(p.in.q.cview(), p.in.k.cview(), p.in.v.cview());
    const double error = test::max_difference(result.out, exact.out);
    const bool level_features = p.level && p.name != std::string("q = 0");  // φ(k) is not level
    CHECK(error <= (level_features ? 1e-6 : 1.0));
  }
}

TEST_CASE("wrong calls of linear attention are named") {
  const Tensor4<float> q(1, 2, 3, 4), k(1, 2, 3, 5);
  CHECK_THAT(test::error_of([&] { approx::linear(q, k, k); }),
             test::ContainsSubstring("heed::approx::linear: k has dim 5"));
  CHECK_THAT(test::error_of([&] { approx::linear(q, q, q, {}, {}, {.threads = -3}); }),
             test::ContainsSubstring("-3 threads"));
  approx::LinearState<float> state(1, 2, 4, 5);
  CHECK_THAT(test::error_of([&] { approx::linear_step(state, q, q, q); }),
             test::ContainsSubstring("the state's dimension is 5 but k and v want 4"));
  CHECK_THAT(test::error_of([] { approx::LinearState<float>(1, 2, -4, 5); }),
             test::ContainsSubstring("D -4"));
  const auto heads = test::uncountable_empty();
  CHECK(approx::linear(heads, heads, heads).out.size() == 0);
  const Tensor4<float> none(0, 2, 3, 4);
  CHECK(approx::linear(none, none, none).out.size() == 0);
}

}  // namespace heed
