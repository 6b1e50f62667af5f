// Top-k attention against a naive that sorts all scores of a row, and against exact attention.
#include "heed/approx/top_k/top_k.hpp"

#include <numeric>

#include "approx/naive.hpp"
#include "heed/approx/compare.hpp"
#include "heed/approx/top_k/top_k_backward.hpp"
#include "heed/inspect/gradcheck.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;

// Multiples of 1/4 between −1 and 1: every dot of such numbers is exact in float, so that scores
// are equal where they should be.
template <class T>
Inputs<T> on_grid(const Shape& shape, Layout layout, std::uint64_t seed) {
  Inputs<T> in(shape, layout, seed);
  for (View<T, 4> x : {in.q.view(), in.k.view()}) {
    for (Index b = 0; b < x.extent[0]; ++b) {
      for (Index h = 0; h < x.extent[1]; ++h) {
        for (Index i = 0; i < x.extent[2]; ++i) {
          for (Index d = 0; d < x.extent[3]; ++d) {
            T& value = x(b, h, i, d);
            value =
                static_cast<T>(static_cast<float>(std::round(4 * static_cast<double>(value)) / 4));
          }
        }
      }
    }
  }
  return in;
}

// The mask of all but the best `keep` keys of a row: its scores are sorted, equal ones by key.
// `score` and `mask` as in the call.
template <class T, class M, class S>
auto kept_keys(const Inputs<T>& in, const Shape& shape, Index keep, const M& the_mask,
               const S& the_score) {
  const auto all = reference::attention<double>(in.q.cview(), in.k.cview(), in.v.cview());
  std::vector<bool> kept(static_cast<std::size_t>(shape.B * shape.Hq * shape.Lq * shape.Lk));
  const auto at = [&](Index b, Index h, Index i, Index j) {
    return static_cast<std::size_t>(((b * shape.Hq + h) * shape.Lq + i) * shape.Lk + j);
  };
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      const auto mask = mask::bind(as_mask(the_mask), shape, b, h);
      const auto score = score::bind(as_score(the_score), shape, b, h);
      for (int i = 0; i < shape.Lq; ++i) {
        std::vector<int> order;
        for (int j = 0; j < shape.Lk; ++j) {
          if (mask.allows(i, j)) order.push_back(j);
        }
        std::stable_sort(order.begin(), order.end(), [&](int a, int c) {
          return score.value(all.scores(b, h, i, a), i, a) >
                 score.value(all.scores(b, h, i, c), i, c);
        });
        for (std::size_t n = 0; n < order.size() && static_cast<Index>(n) < keep; ++n) {
          kept[at(b, h, i, order[n])] = true;
        }
      }
    }
  }
  return [kept, shape](int b, int h, int i, int j) {
    return bool{kept[static_cast<std::size_t>(((b * shape.Hq + h) * shape.Lq + i) * shape.Lk + j)]};
  };
}

// Attention with all other keys masked.
template <class T, class M, class S>
auto naive(const Inputs<T>& in, const Shape& shape, Index keep, const M& the_mask,
           const S& the_score) {
  return reference::attention<double>(in.q.cview(), in.k.cview(), in.v.cview(),
                                      kept_keys(in, shape, keep, the_mask, the_score), the_score);
}

template <class A, class B>
bool same_gradients(const A& a, const B& b) {
  return test::same_bits(a.d_q, b.d_q) && test::same_bits(a.d_k, b.d_k) &&
         test::same_bits(a.d_v, b.d_v);
}

template <class T, class M = mask::None, class S = score::None>
void check(const Shape& shape, Index keep, Layout layout, const M& mask = {}, const S& score = {}) {
  CAPTURE(test::name_of(shape), keep, static_cast<int>(layout));
  const Inputs<T> in = on_grid<T>(shape, layout, 5);
  const auto truth = naive(in, shape, keep, mask, score);
  const auto result = approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), keep, mask, score);
  const double sums =
      test::unit_roundoff<Accum<T>>() * (16 + 8 * test::max_magnitude(truth.scores));
  REQUIRE(test::max_difference(result.out, truth.out) <=
          sums + (sizeof(T) < 4 ? test::unit_roundoff<T>() : 0));
  REQUIRE(test::max_difference(result.lse, truth.lse) <= sums * 4);
}

// At most twice as far from the truth as the obvious code in T, plus what any order of summation
// may cost beside the largest term, and half a step of T.
template <class T, class Out, class Own, class Truth>
void require_near(double terms, const Out& out, const Own& own, const Truth& truth) {
  const double size = test::max_magnitude(truth) + 1;
  const double rounding = sizeof(T) < 4 ? test::unit_roundoff<T>() * size : 0.0;
  REQUIRE(test::max_difference(out, truth) <= 2 * test::max_difference(own, truth) +
                                                  terms * test::unit_roundoff<Accum<T>>() * size +
                                                  rounding);
}

template <class T, class M = mask::None, class S = score::None>
void check_gradients(const Shape& shape, Index keep, Layout layout, const M& mask = {},
                     const S& score = {}) {
  CAPTURE(test::name_of(shape), keep, static_cast<int>(layout));
  const Inputs<T> in = on_grid<T>(shape, layout, 5);
  test::Buffer<T> d_out(shape.B, shape.Hq, shape.Lq, shape.Dv, layout);
  d_out.fill(8);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  const mask::any kept = kept_keys(in, shape, keep, mask, score);
  const auto truth = reference::attention_backward<double>(d_o, q, k, v, kept, score);
  const auto own = reference::attention_backward(d_o, q, k, v, kept, score);
  const auto g = approx::top_k_backward(d_o, q, k, v, keep, mask, score);
  require_near<T>(64, g.d_q, own.d_q, truth.d_q);
  require_near<T>(64, g.d_k, own.d_k, truth.d_k);
  require_near<T>(64, g.d_v, own.d_v, truth.d_v);
}

}  // namespace

TEST_CASE("gradients of top-k meet the textbook's over the kept keys, ties to the first") {
  const mask::any masks[] = {mask::None{}, mask::causal(), mask::bigbird(8, 1, 2, 3),
                             [](int i, int j) { return i % 3 != 0 && j % 2 == 0; }};
  Index turn = 0;
  for (const Index Lq : {0, 1, 70}) {
    for (const Index Lk : {0, 1, 63, 64, 300}) {
      for (const Index keep : {0, 1, 31, 65, 299, 300}) {
        const Shape shape{1, 4, 2, Lq, Lk, turn % 3 == 0 ? 16 : 5, turn % 2 == 0 ? 16 : 7, 4};
        check_gradients<float>(shape, keep, static_cast<Layout>(turn % 3), masks[turn % 4]);
        ++turn;
      }
    }
  }
}

TEMPLATE_TEST_CASE("gradients of top-k in other types", "", double, Half, BFloat16) {
  const mask::any causal = mask::causal();
  check_gradients<TestType>({2, 4, 1, 50, 200, 12, 20, 4}, 9, Layout::blhd, causal);
}

TEST_CASE("gradients of top-k through modified scores are the differences of its forward call") {
  const Shape shape{2, 4, 2, 5, 12, 4, 3, 4};
  const std::vector<float> slopes = score::alibi_slopes(4);
  const mask::any masks[] = {mask::None{}, mask::causal(mask::align::start)};
  const auto score = score::soft_cap(1.5) >> score::alibi(slopes);
  const approx::Options options{.scale = -0.7};
  const Inputs<double> in(shape, Layout::gaps, 3);
  test::Buffer<double> d_out(2, 4, 5, 3);
  d_out.fill(9);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  for (const mask::any& mask : masks) {
    for (const Index keep : {2, 5, 12}) {
      const auto g = approx::top_k_backward(d_o, q, k, v, keep, mask, score, options);
      const auto loss = [&] {
        const auto out = approx::top_k(q, k, v, keep, mask, score, options).out;
        double sum = 0;
        for_each_row(d_o, [&](Index b, Index h, Index i) {
          for (Index d = 0; d < 3; ++d) sum += d_o(b, h, i, d) * out(b, h, i, d);
        });
        return sum;
      };
      using inspect::gradcheck_input;
      const auto check = inspect::gradcheck(
          loss, {gradcheck_input("q", in.q.view(), g.d_q), gradcheck_input("k", in.k.view(), g.d_k),
                 gradcheck_input("v", in.v.view(), g.d_v)});
      CAPTURE(keep, check);
      REQUIRE(check.ok(1e-6));
    }
  }
}

TEST_CASE("top-k meets its naive at every length and k, ties to the first key") {
  const mask::any masks[] = {mask::None{}, mask::causal(), mask::bigbird(8, 1, 2, 3),
                             [](int i, int j) { return i % 3 != 0 && j % 2 == 0; }};
  Index turn = 0;
  for (const Index Lq : {0, 1, 5, 70}) {
    for (const Index Lk : {0, 1, 2, 63, 64, 65, 300}) {
      for (const Index keep : {0, 1, 2, 31, 64, 65, 200, 299, 300, 1000}) {
        const Shape shape{1, 4, 2, Lq, Lk, turn % 3 == 0 ? 16 : 5, turn % 2 == 0 ? 16 : 7, 4};
        check<float>(shape, keep, static_cast<Layout>(turn % 3), masks[turn % 4]);
        ++turn;
      }
    }
  }
}

TEMPLATE_TEST_CASE("top-k of another type meets its naive", "", double, Half, BFloat16) {
  const mask::any causal = mask::causal();
  check<TestType>({2, 4, 1, 50, 400, 12, 20, 4}, 9, Layout::blhd, causal);
}

TEST_CASE("top-k keeps the best of modified scores") {
  const std::vector<float> slopes = score::alibi_slopes(4);
  const mask::any causal = mask::causal();
  for (const Index keep : {1, 17, 100}) {
    check<float>({1, 4, 2, 90, 300, 16, 8, 4}, keep, Layout::packed, causal, score::alibi(slopes));
  }
}

TEST_CASE("top-k of random numbers keeps what double keeps") {
  const Shape shape{1, 2, 1, 200, 3000, 16, 8, 4};
  const Inputs<double> in(shape, Layout::packed, 8, 2);
  const auto truth = naive(in, shape, 40, mask::None{}, score::None{});
  const auto result = approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), 40);
  CHECK(test::max_difference(result.out, truth.out) <= 1e-13);
  CHECK(test::max_difference(result.lse, truth.lse) <= 1e-13);
}

TEST_CASE("k at or beyond the keys is exact attention, and more keys are never further off") {
  const Shape shape{1, 2, 1, 60, 130, 16, 8, 4};
  const Inputs<float> in(shape, Layout::packed, 8, 2);
  const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview(), mask::causal());
  const auto all = approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), 130, mask::causal());
  CHECK(test::same_bits(all.out, exact.out));
  CHECK(test::same_bits(all.lse, exact.lse));
  Tensor3<float> before = exact.lse;
  before.setConstant(-1e30f);
  for (Index keep = 1; keep < 130; keep += 8) {
    const auto some = approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), keep, mask::causal());
    for (Index n = 0; n < before.size(); ++n) {
      CHECK(some.lse.data()[n] >= before.data()[n]);
      CHECK(some.lse.data()[n] <= exact.lse.data()[n] + 1e-5f);
    }
    before = some.lse;
  }
}

TEST_CASE("scales of top-k that turn scores around or level them") {
  const Shape shape{1, 1, 1, 20, 90, 8, 4, 4};
  Inputs<float> in = on_grid<float>(shape, Layout::packed, 4);
  const auto run = [&](double scale, const auto& score) {
    return approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), 7, {}, score, {.scale = scale});
  };
  const auto same = [](float s, int, int) { return s; };  // takes the path of modified scores
  for (const double scale : {-0.25, 0.0, 0.5}) {
    const auto plain = run(scale, score::None{});
    const auto modified = run(scale, same);
    CHECK(test::max_difference(plain.out, modified.out) <= 1e-6);
    CHECK(test::max_difference(plain.lse, modified.lse) <= 1e-6);
  }
  // Level scores keep the first seven keys.
  const auto level = run(0, score::None{});
  float mean = 0;
  for (Index j = 0; j < 7; ++j) mean += in.v.cview()(0, 0, j, 2) / 7;
  CHECK(level.out(0, 0, 3, 2) == Approx(mean).margin(1e-6));
}

TEST_CASE("top-k has the same bits for any number of threads") {
  const Shape shape{2, 4, 2, 300, 700, 16, 12, 4};
  const Inputs<float> in(shape, Layout::packed, 5);
  test::ThreadPerWorker pool;
  const auto run = [&](int threads, Executor* executor) {
    return approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), 24, mask::causal(), {},
                         {.threads = threads, .executor = executor});
  };
  const auto one = run(1, nullptr);
  const auto gradients = [&](int threads) {
    return approx::top_k_backward(in.q.cview(), in.q.cview(), in.k.cview(), in.k.cview(), 24,
                                  mask::causal(), {}, {.threads = threads, .executor = &pool});
  };
  const auto g = gradients(1);
  for (const int threads : {2, 3, 5}) {
    const auto many = run(threads, &pool);
    CHECK(test::same_bits(one.out, many.out));
    CHECK(test::same_bits(one.lse, many.lse));
    CHECK(same_gradients(g, gradients(threads)));
  }
}

TEST_CASE("NaN or inf behind a mask changes no bit of top-k") {
  const Shape shape{1, 2, 1, 70, 150, 16, 16, 4};
  const Inputs<float> clean(shape, Layout::packed, 3);
  const auto sees = [](int, int j) { return j != 5 && j != 77 && j < 140; };
  for (const float poison : {test::nan, -test::nan, test::inf, -test::inf}) {
    Inputs<float> dirty = clean;
    for (const Index j : {5, 77, 145}) {
      dirty.k.view()(0, 0, j, 2) = poison;
      dirty.v.view()(0, 0, j, 1) = poison;
    }
    const auto expected =
        approx::top_k(clean.q.cview(), clean.k.cview(), clean.v.cview(), 12, sees);
    const auto result = approx::top_k(dirty.q.cview(), dirty.k.cview(), dirty.v.cview(), 12, sees);
    CHECK(test::same_bits(expected.out, result.out));
    CHECK(test::same_bits(expected.lse, result.lse));
    const auto gradients = [&](const Inputs<float>& in) {
      return approx::top_k_backward(clean.q.cview(), in.q.cview(), in.k.cview(), in.v.cview(), 12,
                                    sees);
    };
    const auto g = gradients(dirty);
    CHECK(same_gradients(gradients(clean), g));
    CHECK(g.d_k(0, 0, 77, 2) == 0);
  }
}

TEST_CASE("a key whose score the scale makes -inf has gradient 0 in top-k") {
  Inputs<float> in({1, 1, 1, 1, 3, 1, 1, 4}, Layout::packed, 3);
  in.q.view()(0, 0, 0, 0) = 1;
  for (const Index j : {0, 1, 2}) in.k.view()(0, 0, j, 0) = j == 1 ? -1e38f : 0.5f;
  const float d_out = test::nan;
  const auto sees = [](int, int j) { return j < 2; };
  const auto g = approx::top_k_backward(heed::view(&d_out, {1, 1, 1, 1}), in.q.cview(),
                                        in.k.cview(), in.v.cview(), 2, sees, {}, {.scale = 10.0});
  CHECK(is_nan(g.d_v(0, 0, 0, 0)));  // what d_out holds reaches the key that is seen
  CHECK(g.d_v(0, 0, 1, 0) == 0);
  CHECK(g.d_k(0, 0, 1, 0) == 0);
}

#if !defined(__FAST_MATH__)
TEST_CASE("a NaN that a row of top-k sees comes out") {
  const Shape shape{1, 1, 1, 70, 150, 16, 16, 4};
  for (const float poison : {test::nan, -test::nan}) {
    Inputs<float> in(shape, Layout::packed, 3);
    in.k.view()(0, 0, 120, 3) = poison;
    const auto result = approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), 5, mask::causal());
    for (Index i = 0; i < 70; ++i) CHECK(is_nan(result.out(0, 0, i, 0)) == (i + 80 >= 120));
  }
}
#endif

TEST_CASE("top-k of degenerate inputs is finite, and exact where it keeps all") {
  for (const test::Degenerate& p : test::degenerate_problems()) {
    const auto exact =
        attention(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), {}, {}, {.scale = p.scale});
    for (const Index keep : {Index{1}, Index{7}, p.shape.Lk}) {
      CAPTURE(p.name, keep);
      const auto result = approx::top_k(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), keep, {},
                                        {}, {.scale = p.scale});
      CHECK(test::max_difference(result.out, exact.out) <= (keep < p.shape.Lk ? 2.0 : 0.0));
      CHECK(test::max_difference(result.lse, exact.lse) <= std::log(30.0) + 1e-6);
    }
  }
}

TEST_CASE("rows of top-k that see nothing are 0, and wrong calls are named") {
  const Shape shape{1, 1, 1, 70, 40, 4, 4, 4};
  const Inputs<float> in(shape, Layout::packed, 2);
  const auto early = approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), 6, mask::causal());
  for (Index i = 0; i < 30; ++i) {
    CHECK(early.out(0, 0, i, 3) == 0);
    CHECK(is_masked(early.lse(0, 0, i)));
  }
  CHECK(early.out(0, 0, 30, 3) != 0);
  CHECK_THAT(test::error_of([&] { approx::top_k(in.q.cview(), in.k.cview(), in.v.cview(), -2); }),
             test::ContainsSubstring("heed::approx::top_k: keep -2"));
  const auto g = approx::top_k_backward(in.q.cview(), in.q.cview(), in.k.cview(), in.v.cview(), 6,
                                        mask::causal());
  for (Index d = 0; d < 4; ++d) CHECK(g.d_q(0, 0, 29, d) == 0);
  CHECK(g.d_q(0, 0, 33, 3) != 0);
  CHECK_THAT(test::error_of([&] {
               approx::top_k_backward(in.q.cview(), in.q.cview(), in.k.cview(), in.v.cview(), -2);
             }),
             test::ContainsSubstring("heed::approx::top_k_backward: keep -2"));
  CHECK_THAT(test::error_of([&] {
               approx::top_k_backward(in.k.cview(), in.q.cview(), in.k.cview(), in.v.cview(), 2);
             }),
             test::ContainsSubstring("d_out [1,1,40,4], out [1,1,70,4]"));
  const auto heads = test::uncountable_empty();
  CHECK(approx::top_k(heads, heads, heads, 3).out.size() == 0);
  const test::Small<float> small;
  CHECK(approx::top_k(small.q, small.k, small.v, 3).out.dimension(1) == 3);
}

}  // namespace heed
