// The block mask against `allows`: an Empty tile has no pair that attends, a Full one no other, and
// the walk over KV blocks meets every block that some row of the task sees.
#include "heed/attention/flash/block_mask.hpp"

#include <set>
#include <vector>

#include "heed/mask/any.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/per_head.hpp"
#include "heed/mask/random.hpp"
#include "heed/mask/window.hpp"
#include "heed/score/score.hpp"
#include "support/catch.hpp"

namespace heed {
namespace {

constexpr simd::TileShape tile_shape{4, 8, 4};

struct Case {
  const char* name;
  mask::any mask;
};

std::vector<Case> cases() {
  static const std::vector<mask::any> heads = {mask::causal(), mask::window(2), mask::window(30),
                                               mask::None{}};
  return {{"none", mask::None{}},
          {"causal", mask::causal()},
          {"window", mask::window(3, 0)},
          {"random", mask::random(3, 7)},
          {"nothing", ~mask::any(mask::None{})},
          {"per head", mask::per_head(heads)}};
}

bool allows(const mask::any& mask, const Shape& shape, const QueryBlock& rows, int row, int j) {
  const auto bound = mask.bind(shape, rows.b, rows.first_head + row / rows.queries);
  return bound.allows(rows.q_begin + row % rows.queries, j);
}

const QueryBlock blocks[] = {{0, 1, 1, 5, 19}, {1, 0, 4, 0, 3}, {0, 0, 2, 8, 7}};

}  // namespace

TEST_CASE("block mask: the coverage of a tile agrees with allows, also across heads") {
  const Shape shape{2, 4, 1, 24, 70, 4, 4};
  for (const Case& one : cases()) {
    for (const QueryBlock& rows : blocks) {
      const auto m_tiles = static_cast<int>(tile_shape.m_tiles(rows.count()));
      const int begin = 16, end = 70;
      const auto panels = static_cast<int>(tile_shape.panels(end - begin));
      std::vector<std::uint8_t> found(static_cast<std::size_t>(m_tiles * panels), 77);
      cover_query_block(HeadContexts(one.mask, score::None{}, shape, rows), rows, 0,
                        m_tiles * tile_shape.mr, tile_shape.mr, begin, end, tile_shape.nr,
                        found.data());
      for (int m = 0; m < m_tiles; ++m) {
        for (int p = 0; p < panels; ++p) {
          int pairs = 0, seen = 0;
          for (int row = m * tile_shape.mr; row < std::min((m + 1) * tile_shape.mr, rows.count());
               ++row) {
            for (int j = begin + p * tile_shape.nr;
                 j < std::min(begin + (p + 1) * tile_shape.nr, end); ++j) {
              ++pairs;
              seen += allows(one.mask, shape, rows, row, j) ? 1 : 0;
            }
          }
          CAPTURE(one.name, rows.heads, m, p, pairs, seen);
          const auto coverage =
              static_cast<mask::Coverage>(found[static_cast<std::size_t>(m * panels + p)]);
          if (seen > 0) CHECK(coverage != mask::Coverage::Empty);
          if (seen < pairs) CHECK(coverage != mask::Coverage::Full);
          REQUIRE(static_cast<int>(coverage) <= 2);
        }
      }
    }
  }
}

TEST_CASE("block mask: parts of it are Empty or Full where all their tiles are") {
  const std::uint8_t found[] = {0, 0, 2, 2,  //
                                0, 1, 2, 2,  //
                                0, 0, 2, 0};
  const BlockMask map{found, 4};
  std::uint8_t part[6] = {};
  CHECK(map.copy(0, 2, 2, 2, part) == mask::Coverage::Full);
  CHECK(map.copy(0, 1, 0, 2, part) == mask::Coverage::Empty);
  CHECK(map.copy(1, 2, 1, 2, part) == mask::Coverage::Partial);
  CHECK((part[0] == 1 && part[1] == 2 && part[2] == 0 && part[3] == 2));
  CHECK(map.empty(3, 0, 1));
  CHECK_FALSE(map.empty(3, 1, 1));
  CHECK(map.empty(1, 0, 2));
}

TEST_CASE("block mask: the walk meets every KV block that a row sees, and none that all miss") {
  Problem<float> problem{};
  problem.shape = {2, 4, 1, 24, 70, 4, 4, 4};
  for (const Case& one : cases()) {
    for (const QueryBlock& rows : blocks) {
      FlashPlan plan{tile_shape, 16};
      plan.q_block = rows.queries;
      plan.heads_per_task = rows.heads;
      const score::None none;
      alignas(scratch_alignment) static std::byte memory[1 << 16];
      REQUIRE(flash_scratch_bytes<float>(problem.shape, plan) <= static_cast<Index>(sizeof memory));
      Carver carver(memory);
      const FlashKernels<float> kernels = flash_kernels<float>(plan, problem.shape, Isa::portable);
      const FlashScratch<float> scratch = flash_scratch<float>(carver, problem.shape, plan);
      const FlashTask<float, mask::any, score::None> task{
          problem, {one.mask, none, problem.shape, rows}, plan, kernels, rows, scratch};
      std::set<int> visited;
      for_each_live_block(task, 0, problem.shape.Lk,
                          [&](int begin, int keys, const BlockMask&, int) {
                            CHECK(begin % plan.block == 0);
                            CHECK(keys == std::min<int>(16, 70 - begin));
                            CHECK(visited.insert(begin).second);
                          });
      for (int begin = 0; begin < 70; begin += 16) {
        int seen = 0;
        for (int row = 0; row < rows.count(); ++row) {
          for (int j = begin; j < std::min(begin + 16, 70); ++j) {
            seen += allows(one.mask, problem.shape, rows, row, j) ? 1 : 0;
          }
        }
        CAPTURE(one.name, rows.heads, begin, seen);
        if (seen > 0) CHECK(visited.count(begin) == 1);
        // Bands are exact: a block that no row sees is not packed.
        if (seen == 0) CHECK(visited.count(begin) == 0);
      }
    }
  }
}

}  // namespace heed
