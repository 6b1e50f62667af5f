// The operands of a query sub-block and a KV block: views of one task's scratch that do not
// overlap, at the rows that were asked for.
#include "heed/attention/flash/tile_args.hpp"

#include <vector>

#include "support/problem.hpp"

namespace heed {

namespace {

// A call of 40 queries and 300 keys, and its scratch.
struct Fixture {
  Shape shape{1, 1, 1, 40, 300, 7, 20};
  simd::TileShape tile_shape{8, 32, 16};
  FlashPlan plan = flash_plan(shape, tile_shape, tile_shape, true, 1, nullptr);
  std::vector<std::byte> memory = std::vector<std::byte>(
      static_cast<std::size_t>(flash_scratch_bytes<float>(shape, plan)) + 64);
  Carver carver{memory.data()};
  FlashScratch<float> scratch = flash_scratch<float>(carver, shape, plan);

  TileArgs<float> args(int row, int queries, int keys) const {
    return make_tile_args(scratch, scratch.state, row, queries, keys);
  }
};

}  // namespace

TEST_CASE("tile args: rows of a task against a block's keys") {
  const Fixture of;
  const auto args = of.args(16, 24, 70);
  CHECK(args.q.data == of.scratch.q.row(16));
  CHECK(args.q.k == of.shape.D);
  CHECK(args.kt.data == of.scratch.kt.data);
  CHECK(args.v.data == of.scratch.v.data);
  CHECK(args.kt.columns == of.plan.block);
  CHECK(args.v.columns == 32);  // 20, in whole registers
  CHECK(args.scores.rows == 24);
  CHECK(args.scores.m_tiles == 3);
  CHECK(args.scores.columns == 70);
  CHECK(args.scores.panels == 3);
  CHECK(args.scores.packed_p == of.scratch.packed_p);
  CHECK(args.state.max == of.scratch.state.max + 16);
  CHECK(args.state.acc.data == of.scratch.state.acc.row(16, 0));
}

TEST_CASE("tile args: operands do not overlap") {
  const Fixture of;
  const auto args = of.args(0, 40, 300);
  const auto fill = [](float* data, Index count, float x) { std::fill_n(data, count, x); };
  fill(args.q.data, of.plan.rows() * 7, 1);
  fill(of.scratch.kt.data, args.kt.size(of.tile_shape, of.shape.D, of.plan.block), 2);
  fill(of.scratch.v.data, args.v.size(of.tile_shape, of.plan.block, 32), 3);
  fill(args.scores.data, args.scores.tiles() * args.scores.tile_size(), 4);
  fill(args.state.acc.data, args.state.acc.size(of.tile_shape, of.plan.rows(), 32), 5);
  CHECK(args.q.row(39)[6] == 1);
  CHECK(args.kt.at(6, 299) == 2);
  CHECK(args.v.at(299, 19) == 3);
  CHECK(args.scores.at(39, 299) == 4);
  CHECK(args.state.acc.at(39, 19) == 5);
}

}  // namespace heed
