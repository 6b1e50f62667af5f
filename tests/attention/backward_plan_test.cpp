// A shape and its cut for a backward call: spans by the keys alone, waves by the threads, memory by
// the wave.
#include "heed/attention/flash/backward_plan.hpp"

#include "heed/attention/flash/backward_scores.hpp"
#include "heed/core/eigen.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/relative.hpp"
#include "support/catch.hpp"

namespace heed {
namespace {

constexpr simd::TileShape tiles{8, 32, 16};

BackwardPlan plan_of(const Shape& shape, int threads) {
  return backward_plan(shape, tiles, tiles, threads, nullptr);
}

}  // namespace

TEST_CASE("spans depend on the length of the keys alone") {
  struct Cut {
    Index Lk, span, spans;
  };
  for (const Cut& cut : {Cut{0, 1024, 1}, Cut{1, 1024, 1}, Cut{1024, 1024, 1}, Cut{1025, 1024, 2},
                         Cut{8192, 1024, 8}, Cut{8193, 1280, 7}, Cut{32768, 4096, 8}}) {
    for (const int threads : {1, 4}) {
      for (const Index B : {1, 3}) {
        const BackwardPlan plan = plan_of({B, 4, 2, 100, cut.Lk, 64, 64, 4}, threads);
        CAPTURE(cut.Lk, threads, B);
        REQUIRE(plan.spans == cut.spans);
        if (cut.Lk > 1024) REQUIRE(plan.span == cut.span);
        REQUIRE(plan.spans * plan.span >= cut.Lk);
        REQUIRE((plan.block == 0 || plan.span % plan.block == 0));
      }
    }
  }
}

TEST_CASE("one thread holds one head and two d_q, whatever the batch and the spans") {
  const Shape shape{16, 8, 8, 4096, 32768, 64, 64, 4};
  const BackwardPlan plan = plan_of(shape, 1);
  REQUIRE(plan.heads == 1);
  REQUIRE(plan.adds_spans);
  const Index d_q = 4096 * 64 * 4;
  REQUIRE(backward_wave_bytes<float>(shape, plan) >= 2 * d_q);
  REQUIRE(backward_wave_bytes<float>(shape, plan) < 2 * d_q + d_q / 8);
}

TEST_CASE("rows that pass a KV block are whole row tiles") {
  for (const int mr : {4, 6, 8, 16}) {
    const BackwardPlan plan =
        backward_plan({1, 1, 1, 500, 500, 64, 64, 4}, {mr, 32, 16}, {mr, 32, 16}, 1, nullptr);
    REQUIRE(plan.rows % mr == 0);
    REQUIRE(plan.rows >= mr);
    REQUIRE(plan.head_rows({1, 1, 1, 500, 500, 64, 64, 4}) >= 500);
  }
}

// Heads of a wave run at the same time: none of them adds to the memory of another, unless their KV
// blocks take turns.
TEST_CASE("heads that share the gradient of a dense bias are in different waves, or take turns") {
  const Shape shape{3, 8, 4, 5, 7, 8, 8, 4};
  for (const Index B : {1, 3}) {
    for (const Index H : {1, 8}) {
      CAPTURE(B, H);
      Tensor4<float> bias(B, H, 5, 7), d_bias(B, H, 5, 7);
      bias.setZero();
      BackwardPlan plan = plan_of(shape, 4);
      const auto score = score::with_gradient(score::bias(bias), d_bias);
      keep_heads_apart<float>(plan, score, shape);
      REQUIRE(plan.heads <= plan.apart);
      for (Index n = 0; n < 12; ++n) {
        const auto one = plan.place(shape, n);
        for (Index m = n + 1; m < 12 && m / plan.apart == n / plan.apart; ++m) {
          const auto other = plan.place(shape, m);
          REQUIRE(((B == 3 && one.b != other.b) || (H == 8 && one.kv_head != other.kv_head)));
        }
      }
      if (B == 3 && H == 8) REQUIRE(plan.apart > 12);
    }
  }
  const Shape long_shape{1, 32, 32, 2, 2048, 8, 8, 4};
  Tensor2<float> shared(2, 2048), d_shared(2, 2048);
  shared.setZero();
  const auto learned = score::with_gradient(score::bias(shared), d_shared);
  for (const int threads : {1, 2, 64}) {  // two spans: more than two workers need more heads
    BackwardPlan plan = plan_of(long_shape, threads);
    keep_heads_apart<float>(plan, learned, long_shape);
    CAPTURE(threads);
    REQUIRE(plan.apart == 1);
    REQUIRE(plan.blocks(long_shape) > 1);
    REQUIRE((plan.heads > plan.apart) == (threads == 64));
  }
  Tensor2<float> table(1, 5), d_table(1, 5);
  table.setZero();
  BackwardPlan plan = plan_of(shape, 4);
  keep_heads_apart<float>(plan, score::with_gradient(score::relative(table), d_table), shape);
  REQUIRE(plan.apart > 12);  // tasks have sums of their own
}

}  // namespace heed
