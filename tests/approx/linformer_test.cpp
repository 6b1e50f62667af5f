// Linformer against its two products written out, and against exact attention.
#include "heed/approx/low_rank/linformer.hpp"

#include "approx/naive.hpp"
#include "heed/approx/compare.hpp"

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

}  // namespace

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
  const Tensor2<float> empty(9, 0);
  CHECK_THAT(test::error_of([&] { approx::linformer(q, q, q, empty, empty); }),
             test::ContainsSubstring("a rank of at least 1"));
}

}  // namespace heed
