// Linformer against its two products written out, and against exact attention.
#include "heed/approx/low_rank/linformer.hpp"

#include "approx/naive.hpp"
#include "heed/approx/compare.hpp"
#include "heed/approx/low_rank/linformer_backward.hpp"
#include "heed/inspect/gradcheck.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;

// [B, Hkv, rank, D] in double: Σ_j e(h, j, n) x(b, h, j, d) over the keys before the end.
template <class T>
test::Oracle projected(const View<const T, 4>& x, const View<const T, 3>& e,
                       const std::vector<int>& lengths) {
  test::Oracle to(x.extent[0], x.extent[1], e.extent[2], x.extent[3]);
  to.setZero();
  for (Index b = 0; b < x.extent[0]; ++b) {
    for (Index h = 0; h < x.extent[1]; ++h) {
      for (Index j = 0; j < lengths[static_cast<std::size_t>(b)]; ++j) {
        for (Index n = 0; n < e.extent[2]; ++n) {
          for (Index d = 0; d < x.extent[3]; ++d) {
            to(b, h, n, d) += static_cast<double>(e(h, j, n)) * static_cast<double>(x(b, h, j, d));
          }
        }
      }
    }
  }
  return to;
}

template <class T>
Tensor4<double> as_double(const View<const T, 4>& x) {
  Tensor4<double> to(x.extent[0], x.extent[1], x.extent[2], x.extent[3]);
  for (Index b = 0; b < x.extent[0]; ++b) {
    for (Index h = 0; h < x.extent[1]; ++h) {
      for (Index i = 0; i < x.extent[2]; ++i) {
        for (Index d = 0; d < x.extent[3]; ++d) to(b, h, i, d) = static_cast<double>(x(b, h, i, d));
      }
    }
  }
  return to;
}

template <class T>
void check(const Shape& shape, Index rank, Layout layout, bool padded) {
  CAPTURE(test::name_of(shape), rank, padded, static_cast<int>(layout));
  const Inputs<T> in(shape, layout, 5);
  Tensor3<T> e(shape.Hkv, shape.Lk, rank), f(shape.Hkv, shape.Lk, rank);
  const double deviation = 1 / std::sqrt(static_cast<double>(rank));
  for (Index n = 0; n < e.size(); ++n) {
    e.data()[n] = static_cast<T>(static_cast<float>(deviation * test::uniform(8, n)));
    f.data()[n] = static_cast<T>(static_cast<float>(deviation * test::uniform(9, n)));
  }
  std::vector<int> lengths;
  for (Index b = 0; b < shape.B; ++b) {
    lengths.push_back(static_cast<int>(padded ? shape.Lk * b / shape.B : shape.Lk));
  }
  const Tensor4<double> q = as_double(in.q.cview());
  const auto truth = reference::attention(q, projected(in.k.cview(), view_of(e), lengths),
                                          projected(in.v.cview(), view_of(f), lengths));
  const auto result = padded ? approx::linformer(in.q.cview(), in.k.cview(), in.v.cview(), e, f,
                                                 mask::padding(lengths))
                             : approx::linformer(in.q.cview(), in.k.cview(), in.v.cview(), e, f);
  const double size = std::max(1.0, test::max_magnitude(truth.out));
  const double sums = test::unit_roundoff<Accum<T>>() * size *
                      (static_cast<double>(128 + shape.Lk) + 8 * test::max_magnitude(truth.scores));
  REQUIRE(test::max_difference(result.out, truth.out) <=
          sums + (sizeof(T) < 4 ? test::unit_roundoff<T>() * size : 0));
}

// The chain rule written out, in W; the textbook has the gradients of attention.
template <class W>
struct NaiveGradients {
  Tensor4<W> d_q, d_k, d_v;
  Tensor2<W> d_e, d_f;
};

template <class W, class T, int Rank>
auto as(const View<const T, Rank>& x) {
  auto to = heed::make_tensor<W, Rank, Eigen::RowMajor>(x.extent);
  Index n = 0;
  const auto all = lift(x);
  for_each_row(all, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < all.extent[3]; ++d) to.data()[n++] = static_cast<W>(all(b, h, i, d));
  });
  return to;
}

// Σ_j by(j, n) x(b, h, j, d) of keys before the end, then the gradients of x and by.
template <class W>
Tensor4<W> times(const Tensor2<W>& by, const Tensor4<W>& x, const std::vector<int>& lengths) {
  Tensor4<W> to(x.dimension(0), x.dimension(1), by.dimension(1), x.dimension(3));
  to.setZero();
  for_each_row(view_of(x), [&](Index b, Index h, Index j) {
    if (j >= lengths[static_cast<std::size_t>(b)]) return;
    for (Index n = 0; n < by.dimension(1); ++n) {
      for (Index d = 0; d < x.dimension(3); ++d) to(b, h, n, d) += by(j, n) * x(b, h, j, d);
    }
  });
  return to;
}
template <class W>
void times_backward(const Tensor2<W>& by, const Tensor4<W>& x, const Tensor4<W>& d,
                    const std::vector<int>& lengths, Tensor4<W>& d_x, Tensor2<W>& d_by) {
  d_x = x;
  d_x.setZero();
  d_by = by;
  d_by.setZero();
  for_each_row(view_of(x), [&](Index b, Index h, Index j) {
    if (j >= lengths[static_cast<std::size_t>(b)]) return;
    for (Index n = 0; n < by.dimension(1); ++n) {
      for (Index c = 0; c < x.dimension(3); ++c) {
        d_x(b, h, j, c) += by(j, n) * d(b, h, n, c);
        d_by(j, n) += x(b, h, j, c) * d(b, h, n, c);
      }
    }
  });
}

template <class W, class T>
NaiveGradients<W> naive_gradients(const Inputs<T>& in, const View<const T, 4>& d_out,
                                  const Tensor2<T>& e, const Tensor2<T>& f,
                                  const std::vector<int>& lengths) {
  const auto q = as<W>(in.q.cview()), k = as<W>(in.k.cview()), v = as<W>(in.v.cview());
  const auto of_e = as<W>(view_of(e)), of_f = as<W>(view_of(f));
  const auto inner = reference::attention_backward(as<W>(d_out), q, times(of_e, k, lengths),
                                                   times(of_f, v, lengths));
  NaiveGradients<W> g;
  g.d_q = inner.d_q;
  times_backward<W>(of_e, k, inner.d_k, lengths, g.d_k, g.d_e);
  times_backward<W>(of_f, v, inner.d_v, lengths, g.d_v, g.d_f);
  return g;
}

// At most twice as far from the truth as the obvious code, plus the rounding of `terms` numbers of
// the size of `term`, and half a step of T.
template <class T, class Out, class Own, class Truth>
void require_near(double term, Index terms, const Out& out, const Own& own, const Truth& truth) {
  const double size = term + test::max_magnitude(truth);
  const double sums = (32 + static_cast<double>(terms)) * test::unit_roundoff<Accum<T>>() * size;
  const double rounding = sizeof(T) < 4 ? test::unit_roundoff<T>() * size : 0.0;
  REQUIRE(test::max_difference(out, truth) <=
          2 * test::max_difference(own, truth) + sums + rounding);
}

template <class T>
void check_gradients(const Shape& shape, Index rank, Layout layout, bool padded) {
  CAPTURE(test::name_of(shape), rank, padded, static_cast<int>(layout));
  const Inputs<T> in(shape, layout, 5, 2);
  test::Buffer<T> d_out(shape.B, shape.Hq, shape.Lq, shape.Dv, layout);
  d_out.fill(31);
  const auto e = approx::linformer_projection<T>(shape.Lk, rank, 1);
  const auto f = approx::linformer_projection<T>(shape.Lk, rank, 2);
  std::vector<int> lengths;
  for (Index b = 0; b < shape.B; ++b) {
    lengths.push_back(static_cast<int>(padded ? shape.Lk * b / shape.B : shape.Lk));
  }
  const auto g = approx::linformer_backward(d_out.cview(), in.q.cview(), in.k.cview(), in.v.cview(),
                                            e, f, mask::padding(lengths));
  const auto truth = naive_gradients<double>(in, d_out.cview(), e, f, lengths);
  const auto own = naive_gradients<Accum<T>>(in, d_out.cview(), e, f, lengths);
  const double term =
      1 + test::max_magnitude(times(as<double>(view_of(e)), as<double>(in.k.cview()), lengths)) *
              test::max_magnitude(times(as<double>(view_of(f)), as<double>(in.v.cview()), lengths));
  const Index terms = rank + shape.Lk, rows = terms + shape.group() * shape.Lq;
  require_near<T>(term, terms, g.d_q, own.d_q, truth.d_q);
  require_near<T>(term, rows, g.d_k, own.d_k, truth.d_k);
  require_near<T>(term, rows, g.d_v, own.d_v, truth.d_v);
  require_near<T>(term, rows * shape.B, g.d_e, own.d_e, truth.d_e);
  require_near<T>(term, rows * shape.B, g.d_f, own.d_f, truth.d_f);
}

}  // namespace

TEST_CASE("gradients of Linformer meet the chain rule written out") {
  Index turn = 0;
  for (const Index Lq : {0, 1, 70}) {
    for (const Index Lk : {0, 1, 63, 300}) {
      for (const Index rank : {1, 20}) {
        const Shape shape{2, 4, turn % 2 == 0 ? 4 : 2, Lq, Lk, 12, 9, 4};
        check_gradients<float>(shape, rank, static_cast<Layout>(turn % 3), turn % 3 == 1);
        ++turn;
      }
    }
  }
}

TEMPLATE_TEST_CASE("gradients of Linformer in other types", "", double, Half, BFloat16) {
  check_gradients<TestType>({2, 4, 2, 60, 90, 24, 16, 4}, 20, Layout::blhd, true);
}

TEST_CASE("gradients of Linformer are the differences of its forward call") {
  const Shape shape{2, 4, 2, 4, 6, 3, 2, 4};
  const Inputs<double> in(shape, Layout::gaps, 3);
  test::Buffer<double> d_out(2, 4, 4, 2);
  d_out.fill(9);
  Tensor3<double> e(2, 6, 3);  // one a head
  auto f = approx::linformer_projection<double>(6, 3, 2);
  for (Index n = 0; n < e.size(); ++n) e.data()[n] = test::uniform(8, n);
  const std::vector<int> lengths{4, 6};
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  const approx::Options options{.scale = 0.8};
  const auto g = approx::linformer_backward(d_o, q, k, v, e, f, mask::padding(lengths), options);
  const auto loss = [&] {
    const auto out = approx::linformer(q, k, v, e, f, mask::padding(lengths), options).out;
    double sum = 0;
    for_each_row(d_o, [&](Index b, Index h, Index i) {
      for (Index d = 0; d < 2; ++d) sum += d_o(b, h, i, d) * out(b, h, i, d);
    });
    return sum;
  };
  using inspect::gradcheck_input;
  const auto check = inspect::gradcheck(
      loss, {gradcheck_input("q", in.q.view(), g.d_q), gradcheck_input("k", in.k.view(), g.d_k),
             gradcheck_input("v", in.v.view(), g.d_v), gradcheck_input("e", e, g.d_e),
             gradcheck_input("f", f, g.d_f)});
  CAPTURE(check);
  REQUIRE(check.ok(1e-6));
}

TEST_CASE("Linformer meets its naive at every length and rank") {
  Index turn = 0;
  for (const Index Lq : {0, 1, 40, 70}) {
    for (const Index Lk : {0, 1, 63, 300, 515}) {
      for (const Index rank : {1, 5, 64, 70}) {
        const Shape shape{2, 4, turn % 2 == 0 ? 4 : 2, Lq, Lk, 12, 9, 4};
        check<float>(shape, rank, static_cast<Layout>(turn % 3), turn % 3 == 1);
        ++turn;
      }
    }
  }
}

TEMPLATE_TEST_CASE("Linformer of another type meets its naive", "", double, Half, BFloat16) {
  check<TestType>({2, 4, 2, 60, 90, 24, 16, 4}, 20, Layout::blhd, true);
}

TEST_CASE("projections that change nothing leave exact attention; one serves all heads") {
  const Shape shape{1, 4, 2, 30, 40, 16, 8, 4};
  const Inputs<float> in(shape, Layout::packed, 4, 2);
  const Eigen::MatrixXf one = Eigen::MatrixXf::Identity(40, 40);
  const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview());
  const auto result = approx::linformer(in.q.cview(), in.k.cview(), in.v.cview(), one, one);
  CHECK(test::max_difference(result.out, exact.out) <= 1e-6);
}

TEST_CASE("Linformer of degenerate inputs is exact with projections that change nothing") {
  for (const test::Degenerate& p : test::degenerate_problems()) {
    CAPTURE(p.name);
    const Eigen::MatrixXf one = Eigen::MatrixXf::Identity(p.shape.Lk, p.shape.Lk);
    const auto exact =
        attention(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), {}, {}, {.scale = p.scale});
    const auto result = approx::linformer(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), one, one,
                                          {}, {.scale = p.scale});
    CHECK(test::max_difference(result.out, exact.out) <= 1e-6);
  }
}

TEST_CASE("a random projection keeps lengths in the mean") {
  const Index L = 500, rank = 100;
  const auto e = approx::linformer_projection<float>(L, rank, 6);
  double squares = 0;
  for (Index n = 0; n < e.size(); ++n) {
    squares += static_cast<double>(e.data()[n]) * static_cast<double>(e.data()[n]);
  }
  CHECK(std::abs(squares / static_cast<double>(L) - 1) < 0.03);  // 4 deviations: 0.025
  CHECK(test::error_of([] { approx::linformer_projection<float>(5, 0, 1); }) != "");
}

TEST_CASE("Linformer has the same bits for any number of threads, and padding hides NaN") {
  const Shape shape{3, 4, 2, 100, 300, 16, 12, 4};
  const Inputs<float> in(shape, Layout::packed, 5);
  test::ThreadPerWorker pool;
  const auto e = approx::linformer_projection<float>(300, 24, 1);
  const auto f = approx::linformer_projection<float>(300, 24, 2);
  const std::vector<int> lengths{0, 300, 200};
  test::Buffer<float> d_out(3, 4, 100, 12);
  d_out.fill(6);
  d_out.view()(0, 1, 3, 2) = test::nan;  // of a text without keys
  const auto run = [&](const Inputs<float>& inputs, int threads, Executor* executor) {
    return approx::linformer(inputs.q.cview(), inputs.k.cview(), inputs.v.cview(), e, f,
                             mask::padding(lengths), {.threads = threads, .executor = executor});
  };
  const auto expected = run(in, 1, nullptr);
  for (const int threads : {2, 3, 5}) {
    CHECK(test::same_bits(expected.out, run(in, threads, &pool).out));
  }
  Inputs<float> dirty = in;
  dirty.v.view()(2, 1, 200, 3) = test::nan;
  dirty.k.view()(0, 1, 0, 3) = test::inf;
  CHECK(test::same_bits(expected.out, run(dirty, 1, nullptr).out));
  CHECK(expected.out(0, 0, 5, 5) == 0);

  const auto gradients = [&](const Inputs<float>& inputs, int threads) {
    return approx::linformer_backward(d_out.cview(), inputs.q.cview(), inputs.k.cview(),
                                      inputs.v.cview(), e, f, mask::padding(lengths),
                                      {.threads = threads, .executor = &pool});
  };
  const auto one = gradients(in, 1);
  const auto same = [&](const auto& g) {
    return test::same_bits(g.d_q, one.d_q) && test::same_bits(g.d_k, one.d_k) &&
           test::same_bits(g.d_v, one.d_v) && test::same_bits(g.d_e, one.d_e) &&
           test::same_bits(g.d_f, one.d_f);
  };
  for (const int threads : {2, 3, 5}) CHECK(same(gradients(in, threads)));
  CHECK(same(gradients(dirty, 2)));
  CHECK(one.d_q(0, 1, 3, 2) == 0);
  CHECK(one.d_v(2, 1, 200, 3) == 0);
}

TEST_CASE("wrong calls of Linformer are named") {
  const Tensor4<float> q(1, 2, 9, 4);
  const Tensor2<float> e(9, 3), other(8, 3), narrow(9, 2);
  CHECK_THAT(test::error_of([&] { approx::linformer(q, q, q, other, e); }),
             test::ContainsSubstring("e, as [Hkv,Lk,rank] [2,8,3], does not fit 2 key heads of 9"));
  CHECK_THAT(test::error_of([&] { approx::linformer(q, q, q, e, narrow); }),
             test::ContainsSubstring("e has rank 3 but f has rank 2"));
  const auto heads = test::uncountable_empty();
  const Tensor2<float> of_none(0, 3);
  CHECK(approx::linformer(heads, heads, heads, of_none, of_none).out.size() == 0);
  CHECK_THAT(test::error_of([&] { approx::linformer_backward(q, q, q, q, other, e); }),
             test::ContainsSubstring("heed::approx::linformer_backward: e, as"));
  const Tensor4<float> wrong(1, 2, 9, 3);
  CHECK_THAT(test::error_of([&] { approx::linformer_backward(wrong, q, q, q, e, e); }),
             test::ContainsSubstring("d_out [1,2,9,3], out [1,2,9,4]"));
  CHECK(approx::linformer_backward(heads, heads, heads, heads, of_none, of_none).d_q.size() == 0);
  const Tensor2<float> empty(9, 0);
  CHECK_THAT(test::error_of([&] { approx::linformer(q, q, q, empty, empty); }),
             test::ContainsSubstring("a rank of at least 1"));
}

}  // namespace heed
