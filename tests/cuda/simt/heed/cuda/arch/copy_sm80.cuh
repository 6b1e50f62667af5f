// The copies of include/heed/cuda/arch/copy_sm80.cuh on the emulator.
#pragma once

#include "cuda/simt/fragments.hpp"
#include "heed/cuda/arch/simt.cuh"

namespace heed::cuda::ptx {

inline void cp_async(Shared to, const void* from, int bytes) { machine().copy(to, from, bytes); }
inline void cp_async_commit() { machine().commit_copies(); }
template <int Pending>
void cp_async_wait() {
  machine().wait_copies(Pending);
}

// Eight lanes give the rows of a matrix; their sixteen-byte rows are read in one pass unless two of
// them lie in the same banks.
inline void count_conflicts(const std::uint32_t (&rows)[8]) {
  int most = 1;
  for (const std::uint32_t row : rows) {
    int same_banks = 0;
    for (const std::uint32_t other : rows) same_banks += other / 16 % 8 == row / 16 % 8 ? 1 : 0;
    most = same_banks > most ? same_banks : most;
  }
  machine().counts().bank_conflicts += most - 1;
}

inline void load_matrices(std::uint32_t (&x)[4], Shared row, bool transposed) {
  struct Lane {
    Shared row;
    std::uint32_t* x;
    int thread;
  } lane{row, x, thread()};
  const char* name = transposed ? "ldmatrix.trans" : "ldmatrix";
  machine().warp_wide(name, lane, [transposed](const auto& lanes) {
    for (int m = 0; m < 4; ++m) {
      std::uint16_t matrix[8][8];
      std::uint32_t rows[8];
      for (int r = 0; r < 8; ++r) {
        const auto* from = lanes[static_cast<std::size_t>(8 * m + r)];
        if (from->row % 16 != 0) {
          throw simt::Fault(simt::Wrong::misaligned, "ldmatrix of a row at not a multiple of 16");
        }
        rows[r] = from->row;
        std::memcpy(matrix[r], machine().shared().read(from->thread, from->row, 16), 16);
      }
      count_conflicts(rows);
      for (int n = 0; n < warp_lanes; ++n) {
        std::uint16_t pair[2];
        for (int e = 0; e < 2; ++e) {
          const simt::Place place = simt::matrix_place(n, e, transposed);
          pair[e] = matrix[place.row][place.column];
        }
        std::memcpy(lanes[static_cast<std::size_t>(n)]->x + m, pair, 4);
      }
    }
    ++machine().counts().ldmatrix;
  });
}
inline void ldmatrix(std::uint32_t (&x)[4], Shared row) { load_matrices(x, row, false); }
inline void ldmatrix_transposed(std::uint32_t (&x)[4], Shared row) { load_matrices(x, row, true); }

}  // namespace heed::cuda::ptx
