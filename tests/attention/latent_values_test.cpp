// Values of latent keys are the first features of the panels, as rows.
#include "heed/attention/flash/latent_values.hpp"

#include "attention/one_task.hpp"
#include "heed/attention/flash/kv_block.hpp"
#include "kv/scattered_pages.hpp"

namespace heed {

TEST_CASE("latent values: the first features of each key of a block, of one run and of several") {
  constexpr Index L = 150, D = 19, Dv = 17;
  test::OneTask<float> of({1, 2, 1, 3, L, D, Dv}, 2);
  of.plan.unpacked = true;
  const auto k = of.in.k.cview();
  test::ScatteredPages<kv::Latent<float>> scattered({1, 1, D, Dv}, 32, 5);
  scattered.cache.append(slice(k.matrix(0, 0), 0, L));
  const auto check = [&](int begin, int keys, int runs) {
    KvBlock<float> block;
    block.of_panels = &simd::panel_kernels<float>(of.kernels.packed.isa);
    block.begin = begin, block.keys = keys;
    const auto task = of.task();
    find_runs(task, scattered.cache.bind(of.shape, 0, 0), block);
    find_latent_values(task, block);
    CAPTURE(begin, keys);
    REQUIRE(block.run_count == runs);
    Index found = 0;
    for (int n = 0; n < block.run_count; ++n) {
      const auto& run = block.runs[n];
      REQUIRE(run.v.extent[0] == run.k.extent[0]);
      for (Index j = 0; j < run.v.extent[0]; ++j, ++found) {
        for (Index d = 0; d < Dv; ++d) REQUIRE(run.v(j, d) == k(0, 0, begin + run.first + j, d));
      }
    }
    REQUIRE(found == keys);
  };
  check(0, 20, 1);
  check(0, 128, 4);
  check(64, 86, 3);
  check(7, 100, 1);  // begins inside a panel: gathered
}

}  // namespace heed
