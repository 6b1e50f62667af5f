// Copies of sm_80: cp.async from global to shared memory, ldmatrix from there to fragments.
// PTX ISA: "cp.async", "ldmatrix".
#pragma once

#include "heed/cuda/arch/simt.cuh"

namespace heed::cuda::ptx {

// Sixteen bytes to shared memory, of which the first `bytes` come from `from` and the rest are
// zero; both addresses are multiples of 16. Nothing is there before its group is waited for.
HEED_GPU void cp_async(Shared to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(window_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}
HEED_GPU void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
template <int Pending>
HEED_GPU void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(Pending) : "memory");
}

// Four 8×8 matrices of 16-bit elements, or 8×4 of words; lane 8·m + r gives the address of row r of
// matrix m.
HEED_GPU void ldmatrix(std::uint32_t (&x)[4], Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(window_address(row))
               : "memory");
}
HEED_GPU void ldmatrix_transposed(std::uint32_t (&x)[4], Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(window_address(row))
               : "memory");
}

}  // namespace heed::cuda::ptx
