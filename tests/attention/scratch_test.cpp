// Scratch of a flash call: what it holds, and sizes that no machine has.
#include "heed/attention/flash/scratch.hpp"

#include <algorithm>

#include "support/catch.hpp"

namespace heed {
namespace {

constexpr simd::TileShape avx512{8, 32, 16};

FlashPlan plan_of(const Shape& shape) {
  return flash_plan(shape, avx512, avx512, true, 1, nullptr);
}

}  // namespace

TEST_CASE("scratch: a state for each level of the tree of KV splits") {
  const auto bytes = [](Index Lk) {
    const Shape shape{1, 1, 1, 100, Lk, 64, 64};
    return flash_scratch_bytes<float>(shape, plan_of(shape));
  };
  const Index state = 104 * 64 * 4 + 2 * 448;  // 104 rows; m and l in whole cache lines
  const Index one = bytes(2048);
  const auto more_mask = [](Index Lk) { return (Lk - 2048) / 32 * 13; };  // a byte a tile
  CHECK(bytes(2049) > one);
  CHECK(std::abs(bytes(4096) - (one + state + more_mask(4096))) < 256);
  CHECK(std::abs(bytes(6144) - (one + 2 * state + more_mask(6144))) < 256);
  CHECK(std::abs(bytes(8192) - (one + 2 * state + more_mask(8192))) < 256);
  CHECK(std::abs(bytes(Index{1} << 20) - (one + 9 * state + more_mask(8192))) < 4096);
}

TEST_CASE("scratch: tasks that share their queries have a state each, and a count") {
  const Shape decode{1, 8, 2, 1, 5000, 64, 64};
  CHECK(shared_state_bytes<float>(decode, plan_of(decode)) == 6 * 8 * (64 + 2) * 4 + 64);
  const Shape prefill{1, 8, 2, 100, 5000, 64, 64};
  CHECK(shared_state_bytes<float>(prefill, plan_of(prefill)) == 0);
}

TEST_CASE("scratch: of the tasks that share their queries one is the last, whatever their order") {
  const Shape decode{1, 8, 2, 1, 5000, 64, 64};
  const FlashPlan plan = plan_of(decode);
  alignas(scratch_alignment) static std::byte memory[1 << 14];
  REQUIRE(shared_state_bytes<float>(decode, plan) <= static_cast<Index>(sizeof memory));
  std::fill(std::begin(memory), std::end(memory), std::byte{255});
  Carver carver(memory);
  const auto shared = shared_states<float>(carver, decode, plan);
  shared.start(plan);
  REQUIRE(plan.key_tasks() == 3);
  const bool last[] = {shared.is_last(2, 3), shared.is_last(4, 3), shared.is_last(0, 3),
                       shared.is_last(5, 3), shared.is_last(1, 3), shared.is_last(3, 3)};
  CHECK(std::count(std::begin(last), std::end(last), true) == 2);
  CHECK((last[4] && last[5]));
}

TEST_CASE("scratch: decoding has no room for packed keys") {
  const Shape decode{1, 8, 2, 1, 5000, 64, 32};
  FlashPlan plan = plan_of(decode);
  REQUIRE(plan.unpacked);
  const Index unpacked = flash_scratch_bytes<float>(decode, plan);
  plan.unpacked = false;
  CHECK(flash_scratch_bytes<float>(decode, plan) == unpacked + plan.block * 64 * 4);
}

TEST_CASE("scratch: sizes that do not fit 64 bits are refused") {
  const Shape shape{1, 1, 1, 1000, Index{1} << 31, Index{1} << 60, Index{1} << 60};
  CHECK_THROWS_AS(flash_workspace_bytes<float>(shape, plan_of(shape)), Error);
}

}  // namespace heed
