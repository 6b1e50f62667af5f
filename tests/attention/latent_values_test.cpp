// Values of latent keys are the first features of the panels, as rows.
#include "heed/attention/flash/latent_values.hpp"

#include "attention/one_task.hpp"
#include "heed/attention/flash/kv_block.hpp"
#include "heed/kv/paged_cache.hpp"

namespace heed {

TEST_CASE("latent values: the first features of each key of a block, of one run and of several") {
  constexpr Index L = 150, D = 19, Dv = 17;
  test::OneTask<float> of({1, 2, 1, 3, L, D, Dv}, 2);
  of.plan.unpacked = true;
  const auto k = of.in.k.cview();
  kv::PagedCache<kv::Latent<float>> cache({2, 1, D, Dv}, {.page = 32, .pages = 12});
  const auto append = [&](Index b, const View<const float, 4>& x, Index first, Index count) {
    cache.append(
        b, View<const float, 4>{
               &x(0, 0, first, 0), {1, 1, count, D}, {x.stride[0], x.stride[1], x.stride[2], 1}});
  };
  for (Index first = 0; first < L; first += 50) {  // pages of two sequences in turns
    append(0, k, first, 50);
    append(1, k, 0, 50);
  }
  const auto check = [&](int begin, int keys, int most_runs) {
    KvBlock<float> block;
    block.of_panels = &simd::panel_kernels<float>(of.kernels.packed.isa);
    block.begin = begin, block.keys = keys;
    const auto task = of.task();
    find_runs(task, cache.bind(of.shape, 0, 0), block);
    find_latent_values(task, block);
    CAPTURE(begin, keys);
    REQUIRE(block.run_count <= most_runs);
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
