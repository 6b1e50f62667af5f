// The kernels of a plan: elements where keys are read in place or sums have one order, tiles or
// pairs elsewhere, and products of p that is not rounded beside an out that is not.
#include "heed/attention/flash/task.hpp"

#include "attention/one_task.hpp"

namespace heed {
namespace {

template <class T>
void check_kernels(Isa of) {
  const Shape narrow{1, 1, 1, 100, 100, 32, 32}, wide{1, 1, 1, 100, 100, 32, 64};
  const simd::PackedKernels<T>& elements = simd::element_kernels<T>(of);
  const simd::PackedKernels<T>& packed = simd::packed_kernels<T>(of);
  for (const Shape& shape : {narrow, wide}) {
    FlashPlan plan;
    const bool pays = packed.tile_shape.splits == 1 || shape.Dv == 64;
    const auto chosen = flash_kernels<T>(plan, shape, of);
    CHECK(&chosen.packed == (pays ? &packed : &elements));
    CHECK(&chosen.values == &chosen.packed);
    CHECK(&chosen.unpacked == &simd::unpacked_kernels<T>(of));
    const auto unrounded = flash_kernels<T>(plan, shape, of, true);
    CHECK(&unrounded.packed == &chosen.packed);
    CHECK(&unrounded.values == &simd::exact_pv_kernels<T>(chosen.packed));
    plan.one_order = true;
    CHECK(&flash_kernels<T>(plan, shape, of, true).packed == &elements);
    plan.one_order = false, plan.unpacked = true;
    CHECK(&flash_kernels<T>(plan, shape, of).packed == &elements);
    CHECK(&flash_kernels<T>(plan, shape, of).values == &elements);
  }
  CHECK(elements.tile_shape.k_pack == 1);
}

}  // namespace

TEST_CASE("task: the kernels of each plan, on every instruction set") {
  for (const Isa of : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx}) {
    if (of > machine_isa()) continue;
    CAPTURE(name_of(of));
    check_kernels<float>(of);
    check_kernels<double>(of);
    check_kernels<BFloat16>(of);
  }
}

TEST_CASE("task: the heads of a group have its key head") {
  test::OneTask<float> of({1, 6, 2, 3, 20, 4, 4}, 3);
  CHECK(of.task().kv_head() == 0);
  of.rows.first_head = 3;
  CHECK(of.task().kv_head() == 1);
}

}  // namespace heed
