// A KV block: where its runs are read in place, gathered or packed, and what the kernels then read.
#include "heed/attention/flash/kv_block.hpp"

#include <limits>
#include <vector>

#include "heed/attention/flash/unpacked_products.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

// Keys and values of one head in runs of `length` keys, but for the last one.
struct Runs {
  View<const float, 2> k, v;
  Index length;

  template <class F>
  void for_each_run(Index begin, Index end, F&& f) const {
    for (Index at = begin; at < end;) {
      const Index next = std::min(end, (at / length + 1) * length);
      f(at, slice(k, at, next - at), slice(v, at, next - at));
      at = next;
    }
  }
};

// A task of 5 queries against 100 keys, with a block of 64 keys.
struct Fixture {
  Shape shape{1, 1, 1, 5, 100, 7, 20};
  test::Inputs<float> in{shape, test::Layout::packed, 3};
  Problem<float> problem = make_problem(in.q.cview(), in.k.cview(), in.v.cview(), shape, Options{});
  FlashPlan plan;
  FlashKernels<float> kernels{simd::element_kernels<float>(isa()),
                              simd::unpacked_kernels<float>(isa())};
  std::vector<std::byte> memory;
  KvBlock<float> block;

  explicit Fixture(bool unpacked) {
    plan = {kernels.packed.tile_shape, 64};
    plan.q_block = 5;
    plan.unpacked = unpacked;
    plan.gathers = true;
    memory.resize(static_cast<std::size_t>(flash_scratch_bytes<float>(shape, plan)) + 64);
  }

  // f(task) once the keys [begin, begin + keys) of runs of `length` are loaded.
  template <class F>
  void load(Index length, int begin, int keys, bool inf_safe, F&& f) {
    Carver carver(memory.data());
    const QueryBlock rows{0, 0, 1, 0, 5};
    const FlashScratch<float> scratch = flash_scratch<float>(carver, shape, plan);
    const FlashTask<float, mask::None, score::None> task{
        problem, {mask::None{}, score::None{}, shape, rows}, plan, kernels, rows, scratch};
    const Runs runs{in.k.cview().matrix(0, 0), in.v.cview().matrix(0, 0), length};
    load_kv(task, runs, begin, keys, inf_safe, block);
    f(task);
  }

  float key(Index j, Index d) const { return in.k.cview()(0, 0, j, d); }
  float value(Index j, Index d) const { return in.v.cview()(0, 0, j, d); }

  template <class Task>
  void require_packed_values(const Task& task) const {
    const auto v = task.scratch.v;
    for (Index j = 0; j < block.keys; ++j) {
      for (Index d = 0; d < shape.Dv; ++d) REQUIRE(v.at(j, d) == value(block.begin + j, d));
    }
  }
};

}  // namespace

TEST_CASE("KV block: packed keys and values, of one run and of several") {
  for (const Index length : {100, 32, 7, 1}) {
    CAPTURE(length);
    Fixture fixture(false);
    fixture.load(length, 35, 40, true, [&](const auto& task) {
      CHECK(fixture.block.run_count == 1);
      CHECK(fixture.block.inf_safe);
      CHECK(fixture.block.finite);
      const auto kt = task.scratch.kt;
      for (Index j = 0; j < 40; ++j) {
        for (Index d = 0; d < 7; ++d) REQUIRE(kt.at(d, j) == fixture.key(35 + j, d));
      }
      fixture.require_packed_values(task);
    });
  }
}

TEST_CASE("KV block: a block says where its queries or values need care") {
  Fixture fixture(false);
  fixture.in.v.view()(0, 0, 50, 3) = std::numeric_limits<float>::infinity();
  fixture.load(100, 0, 50, false, [&](const auto&) {
    CHECK_FALSE(fixture.block.inf_safe);
    CHECK(fixture.block.finite);  // the infinity is the next block's
  });
#if !defined(__FAST_MATH__)  // which promises nothing of infinities
  fixture.load(100, 50, 50, true, [&](const auto&) { CHECK_FALSE(fixture.block.finite); });
#endif
}

TEST_CASE("KV block: unpacked runs are read in place from the first key of a panel on") {
  Fixture fixture(true);
  const Index nr = fixture.plan.tile_shape.nr;
  fixture.load(nr, static_cast<int>(nr), 40, true, [&](const auto& task) {
    CHECK(fixture.block.run_count == (40 + nr - 1) / nr);
    std::vector<float> scores(static_cast<std::size_t>(fixture.plan.scores()));
    const std::vector<std::uint8_t> coverage(16, 1);
    const auto tiles =
        simd::ScoreTiles<float>::of(fixture.plan.tile_shape, scores.data(), coverage.data(), 5, 40);
    Index keys = 0;
    for_each_run(fixture.block, tiles, [&](const KvRun<float>& run, const auto& part, int g) {
      if (g > 0) return;
      CHECK(run.k.data == &fixture.in.k.cview()(0, 0, nr + keys, 0));
      CHECK(run.v.data == &fixture.in.v.cview()(0, 0, nr + keys, 0));
      CHECK(run.first == keys);
      CHECK(part.columns == run.k.extent[0]);
      CHECK(part.data == tiles.tile(0, keys / nr));
      keys += run.k.extent[0];
    });
    CHECK(keys == 40);
    pack_v(task, fixture.block);
    fixture.require_packed_values(task);
  });
}

TEST_CASE("KV block: runs that the kernels can't read in place are gathered") {
  Fixture fixture(true);
  const Index nr = fixture.plan.tile_shape.nr;
  const auto check = [&](Index length, int begin, int keys) {
    CAPTURE(length, begin);
    fixture.load(length, begin, keys, true, [&](const auto& task) {
      const KvRun<float>& run = fixture.block.only_run();
      for (Index j = 0; j < keys; ++j) {
        for (Index d = 0; d < 7; ++d) REQUIRE(run.k(j, d) == fixture.key(begin + j, d));
        for (Index d = 0; d < 20; ++d) REQUIRE(run.v(j, d) == fixture.value(begin + j, d));
      }
      pack_v(task, fixture.block);
      fixture.require_packed_values(task);
    });
  };
  check(nr + 1, 0, 64);  // runs that begin inside a panel
  check(nr, 1, 64);
  check(1, 3, 50);  // more runs than a block has room for
}

}  // namespace heed
