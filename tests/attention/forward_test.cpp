// Keys that fill several KV splits: bits depend on the multiples at which they are cut and on
// nothing else, and the softmax over all of them meets the reference.
#include "heed/attention/flash/forward.hpp"

#include "support/contract.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;

template <class T>
struct Outcome {
  Buffer<T> out;
  Tensor3<Accum<T>> lse;
};

template <class T>
FlashPlan plan_of(const Shape& shape, int threads) {
  return flash_plan(shape, packed_flash_kernels<T>(shape, isa()).packed.tile_shape,
                    simd::element_kernels<T>(isa()).tile_shape, true, threads, nullptr);
}

// The call of a plan that may be cut otherwise than heed's own.
template <class T>
Outcome<T> run(const Inputs<T>& in, const Shape& shape, const mask::any& mask,
               const FlashPlan& plan) {
  Outcome<T> outcome{Buffer<T>(shape.B, shape.Hq, shape.Lq, shape.Dv),
                     Tensor3<Accum<T>>(shape.B, shape.Hq, shape.Lq)};
  Problem<T> problem = make_problem(in.q.cview(), in.k.cview(), in.v.cview(), shape, Options{});
  problem.out = outcome.out.view();
  problem.lse = rows_view(outcome.lse);
  const Scratch scratch(static_cast<std::size_t>(flash_workspace_bytes<Accum<T>>(shape, plan)), {});
  flash_forward(problem, kv::Dense<T>{problem.k, problem.v}, mask, score::None{}, plan,
                flash_kernels<T>(plan, shape, isa()), nullptr, scratch.begin());
  return outcome;
}

template <class T>
bool same_outcome(const Outcome<T>& a, const Outcome<T>& b) {
  const auto x = a.out.cview(), y = b.out.cview();
  const auto bytes = static_cast<std::size_t>(x.extent[0] * x.stride[0]) * sizeof(T);
  return std::memcmp(x.data, y.data, bytes) == 0 && test::same_bits(a.lse, b.lse);
}

void cut(FlashPlan& plan, const Shape& shape, int q_block, Index task_splits, int workers) {
  plan.q_block = q_block;
  plan.q_blocks = (shape.Lq + q_block - 1) / q_block;
  plan.task_splits = task_splits;
  plan.tasks = shape.B * shape.Hq / plan.heads_per_task * plan.q_blocks * plan.key_tasks();
  plan.workers = workers;
}

// Masks that leave some splits, or all of them, without a key.
std::vector<mask::any> masks() {
  return {mask::any(), mask::causal(), mask::causal() & mask::window(100),
          [](int i, int j) { return i % 2 == 0 && (j == 4 || j >= 4100); },
          [](int, int j) { return j / 2048 == 1; }};
}

}  // namespace

TEMPLATE_TEST_CASE("bits depend on neither q blocks, the tasks of the keys nor workers", "", float,
                   BFloat16) {
  for (const Index Lq : {2, 40, 3}) {
    const Shape shape = Lq == 3 ? Shape{1, 40, 1, Lq, 11000, 16, 24}  // tasks of 40 heads
                                : Shape{1, 4, 2, Lq, 11000, 16, 24};
    const Inputs<TestType> in(shape, Layout::gaps, 4, 3);
    for (const mask::any& mask : masks()) {
      const FlashPlan plan = plan_of<TestType>(shape, 1);
      const auto expected = run(in, shape, mask, plan);
      for (const int q_block : {16, 40}) {
        for (const Index task_splits : {1, 2, 4, 6}) {
          FlashPlan other = plan;
          if (task_splits == 6 && Lq > 2) other.heads_per_task = 1;
          cut(other, shape, std::min(q_block, static_cast<int>(Lq)), task_splits, 2);
          CAPTURE(Lq, q_block, task_splits);
          REQUIRE(same_outcome(run(in, shape, mask, other), expected));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("several splits of packed keys meet the reference", "", float, Half) {
  const Shape shape = GENERATE(Shape{1, 2, 1, 18, 4200, 16, 12}, Shape{1, 72, 2, 1, 4200, 16, 12});
  const Inputs<TestType> in(shape, Layout::packed, 3, 2);
  const auto q = in.q.cview(), k = in.k.cview();
  auto v = in.v.cview();
  if (shape.Hq == 72) v = k, v.extent[3] = shape.Dv;  // latent attention
  for (const mask::any& mask : masks()) {
    test::require_accurate<TestType>(attention(q, k, v, mask), reference::attention(q, k, v, mask),
                                     reference::attention<double>(q, k, v, mask));
  }
}

// A call and its splits attended apart compute the same m, l and o; merge takes their lse rounded
// to float. A rounded lse is off by u·|lse|, so a level's two factors are by u·(|a| + |b|), with 4
// u for e^x, the sum and the quotient; the factors weigh values.
TEST_CASE("parts cut at a split's multiples merge to the call, but for the rounding of lse") {
  for (const Index Lq : {2, 20}) {
    for (const double size : {1.0, 10.0}) {
      const Shape shape{1, 2, 1, Lq, 8000, 16, 8};
      const Inputs<float> in(shape, Layout::packed, 3, size);
      const auto part = [&](Index first) {
        const auto rows = [&](View<const float, 4> x) {
          x.data += first * x.stride[2];
          x.extent[2] = std::min<Index>(2048, shape.Lk - first);
          return x;
        };
        return attention(in.q.cview(), rows(in.k.cview()), rows(in.v.cview()));
      };
      const auto merged = merge(merge(part(0), part(2048)), merge(part(4096), part(6144)));
      const auto call = attention(in.q.cview(), in.k.cview(), in.v.cview());
      const double levels = 2, u = test::unit_roundoff<float>();
      const double factor = levels * u * (2 * test::max_magnitude(call.lse) + 4);
      CAPTURE(Lq, size, factor);
      CHECK(test::max_difference(merged.out, call.out) <= 2 * factor * 1.0);  // |v| < 1
      CHECK(test::max_difference(merged.lse, call.lse) <= factor);
    }
  }
}

// Each split's sum overflows, and so does their merge; the mean does not.
TEST_CASE("values near the largest number over several splits have a finite mean") {
  for (const Index Lq : {1, 20}) {
    const Shape shape{1, 1, 1, Lq, 5000, 16, 8};
    Inputs<float> in(shape, Layout::packed, 3, 2);
    const auto v = in.v.view();
    for (Index j = 0; j < shape.Lk; ++j) v(0, 0, j, 1) = 3e38F;
    const auto result = attention(in.q.cview(), in.k.cview(), in.v.cview());
    for (Index i = 0; i < Lq; ++i) {
      CHECK(std::abs(result.out(0, 0, i, 1) / 3e38F - 1) < 1e-4F);
      CHECK(std::abs(result.out(0, 0, i, 0)) < 1);
    }
  }
}

#if !defined(__FAST_MATH__)  // which promises nothing of NaN
TEST_CASE("an infinity of one split reaches the rows that see it, and no other") {
  for (const Index Lq : {2, 20}) {
    const Shape shape{1, 1, 1, Lq, 5000, 16, 8};
    const Inputs<float> clean(shape, Layout::packed, 3);
    Inputs<float> dirty = clean;
    dirty.v.view()(0, 0, 2500, 1) = test::inf;
    const mask::any mask = [](int i, int j) { return i != 1 || j != 2500; };
    const auto attend = [&](const Inputs<float>& in) {
      return attention(in.q.cview(), in.k.cview(), in.v.cview(), mask);
    };
    const auto expected = attend(clean), result = attend(dirty);
    CHECK(test::same_bits(result.lse, expected.lse));
    for (Index i = 0; i < Lq; ++i) {
      for (Index d = 0; d < 8; ++d) {
        const bool hit = i != 1 && d == 1;
        CHECK(result.out(0, 0, i, d) == (hit ? test::inf : expected.out(0, 0, i, d)));
      }
    }
  }
}

// The other splits' maxima are so high that this one's factor is 0, and 0 · inf is NaN in one pass.
TEST_CASE("an infinity whose weight is 0 beside other splits is NaN, as in the reference") {
  for (const Index Lq : {2, 20}) {
    for (const int low : {1, 2}) {
      const Shape shape{1, 1, 1, Lq, 5000, 16, 8};
      Inputs<float> in(shape, Layout::packed, 3);
      in.v.view()(0, 0, low * 2048 + 9, 1) = test::inf;
      const auto score = [low](float s, int, int j) { return j / 2048 == low ? s : s + 300; };
      const auto result = attention(in.q.cview(), in.k.cview(), in.v.cview(), {}, score);
      for (Index i = 0; i < Lq; ++i) {
        CHECK(is_nan(result.out(0, 0, i, 1)));
        CHECK(is_finite(result.out(0, 0, i, 0)));
      }
    }
  }
}
#endif

}  // namespace heed
