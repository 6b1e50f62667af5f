// The cut of a flash call: every query of every head is computed once over every key, and what bits
// depend on follows from the lengths, the head sizes and the kernels alone.
#include "heed/attention/flash/plan.hpp"

#include <vector>

#include "support/catch.hpp"

namespace heed {
namespace {

constexpr simd::TileShape avx512{8, 32, 16}, avx2{6, 16, 8}, amx{16, 32, 16, 2, 16, 3, 65536, 6144};

FlashPlan plan_of(const Shape& shape, const simd::TileShape& tile_shape, int threads) {
  return flash_plan(shape, tile_shape, avx512, true, threads, nullptr);
}

// Tasks that compute each query of each head, [B, Hq, Lq].
std::vector<Index> times_computed(const FlashPlan& plan, const Shape& shape) {
  std::vector<Index> times(static_cast<std::size_t>(shape.B * shape.Hq * shape.Lq), 0);
  for (Index task = 0; task < plan.tasks; ++task) {
    const QueryBlock block = query_block_of(plan, shape, task);
    for (int head = 0; head < block.heads; ++head) {
      for (int i = 0; i < block.queries; ++i) {
        const Index row = (block.b * shape.Hq + block.first_head + head) * shape.Lq;
        ++times[static_cast<std::size_t>(row + block.q_begin + i)];
      }
    }
  }
  return times;
}

}  // namespace

TEST_CASE("plan: every query of every head is computed once over every split of the keys") {
  for (const simd::TileShape& tile_shape : {avx512, avx2, amx}) {
    for (const Index Lq : {1, 2, 7, 16, 17, 48, 300, 1025, 2100}) {
      for (const Index Lk : {1, 63, 64, 2048, 2049, 5000}) {
        for (const Index group : {1, 3, 4}) {
          for (const int threads : {1, 2, 7}) {
            const Shape shape{2, 2 * group, 2, Lq, Lk, 64, 48};
            CAPTURE(Lq, Lk, group, threads, tile_shape.mr);
            const FlashPlan plan = plan_of(shape, tile_shape, threads);
            const auto times = times_computed(plan, shape);
            REQUIRE(std::all_of(times.begin(), times.end(),
                                [&](Index count) { return count == plan.key_tasks(); }));
            REQUIRE(plan.splits * plan.split_keys >= Lk);
            REQUIRE((plan.splits - 1) * plan.split_keys < Lk);
            REQUIRE(plan.block % plan.tile_shape.nr == 0);
            REQUIRE(plan.mask_window() % plan.block == 0);
            REQUIRE(shape.group() % plan.heads_per_task == 0);
          }
        }
      }
    }
  }
}

TEST_CASE("plan: bits depend on neither threads nor batch nor the number of key heads") {
  for (const Index Lq : {1, 5, 40, 900}) {
    for (const Index Lk : {40, 64, 3000}) {
      const FlashPlan alone = plan_of({1, 4, 1, Lq, Lk, 64, 64}, avx512, 1);
      for (const int threads : {1, 2, 3, 8}) {
        for (const Index B : {1, 5}) {
          for (const Index Hkv : {1, 2, 3}) {
            CAPTURE(Lq, Lk, threads, B, Hkv);
            const FlashPlan plan = plan_of({B, 4 * Hkv, Hkv, Lq, Lk, 64, 64}, avx512, threads);
            CHECK(plan.block == alone.block);
            CHECK(plan.splits == alone.splits);
            CHECK(plan.split_keys == alone.split_keys);
            if (plan.unpacked) CHECK(plan.task_splits == alone.task_splits);
            CHECK(plan.unpacked == alone.unpacked);
          }
        }
      }
    }
  }
}

TEST_CASE("plan: a few queries over a long cache are decoded without packing, in splits of 2048") {
  const FlashPlan decode = plan_of({1, 8, 2, 1, 5000, 64, 64}, amx, 1);
  CHECK(decode.unpacked);
  CHECK(decode.tile_shape.mr == avx512.mr);
  CHECK(decode.heads_per_task == 4);
  CHECK(decode.key_tasks() == 3);
  CHECK(decode.tasks == 6);
  CHECK_FALSE(plan_of({1, 8, 2, 5, 5000, 64, 64}, avx512, 1).unpacked);  // 20 rows a key head
  CHECK_FALSE(plan_of({1, 8, 2, 1, 63, 64, 64}, avx512, 1).unpacked);    // a short text
  CHECK_FALSE(flash_plan({1, 8, 2, 1, 5000, 64, 64}, avx512, avx512, false, 1, nullptr).unpacked);
}

TEST_CASE("plan: few queries of many heads share their packed keys, and tasks the KV splits") {
  const FlashPlan latent = plan_of({1, 128, 1, 1, 5000, 576, 512}, avx512, 2);
  CHECK_FALSE(latent.unpacked);
  CHECK(latent.heads_per_task == 128);
  CHECK(latent.key_tasks() == 3);
  CHECK(latent.tasks == 3);
  CHECK(plan_of({1, 36, 3, 4, 5000, 128, 128}, avx512, 2).heads_per_task == 12);  // 48 rows
  CHECK(plan_of({1, 96, 1, 3, 5000, 128, 128}, avx512, 2).heads_per_task == 32);  // 96 of 288
  CHECK(plan_of({1, 128, 1, 1, 2000, 576, 512}, avx512, 1).key_tasks() == 1);
  const Shape batch{32, 128, 1, 16, 131072, 576, 512};  // no state a task that no worker waits for
  CHECK(plan_of(batch, avx512, 1).key_tasks() == 1);
  CHECK(plan_of(batch, avx512, 16).key_tasks() == 1);
  CHECK(plan_of({2, 40, 1, 2, 11000, 16, 24}, avx512, 1).key_tasks() == 2);
}

TEST_CASE("scheduler: late queries, which see most under a causal mask, come first") {
  const Shape shape{1, 1, 1, 5000, 5000, 64, 64};
  const FlashPlan plan = plan_of(shape, avx512, 1);
  REQUIRE(plan.q_blocks > 1);
  for (Index task = 1; task < plan.tasks; ++task) {
    CHECK(query_block_of(plan, shape, task).q_begin <
          query_block_of(plan, shape, task - 1).q_begin);
  }
  CHECK(query_block_of(plan, shape, plan.tasks - 1).q_begin == 0);
}

TEST_CASE("plan: KV blocks of a split cover it from its first key on, and none crosses its end") {
  for (const simd::TileShape& tile_shape : {avx512, avx2, amx}) {
    for (const Index D : {8, 64, 80, 96, 128, 200}) {
      const Index Lk = 5003;
      const FlashPlan plan = plan_of({1, 1, 1, 300, Lk, D, D}, tile_shape, 1);
      REQUIRE(plan.splits == 3);
      REQUIRE(plan.key_tasks() == 1);
      REQUIRE(plan.states() == 3);
      REQUIRE(plan.mask_window() % plan.split_keys == 0);
      REQUIRE(plan.split_keys % tile_shape.nr == 0);
      Index keys = 0;
      for (Index begin = 0; begin < Lk; begin += keys) {
        keys = plan.block_keys(begin, Lk);
        REQUIRE(keys > 0);
        REQUIRE(begin / plan.split_keys == (begin + keys - 1) / plan.split_keys);
        if (begin % plan.split_keys == 0) continue;
        REQUIRE(begin % plan.split_keys % plan.block == 0);  // as in a call over this split alone
      }
    }
  }
}

}  // namespace heed
