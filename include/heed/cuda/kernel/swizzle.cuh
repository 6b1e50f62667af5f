// Where in a tile an element lies, and where a lane finds what it brings to a product.
//
// A row of a tile is cut into chunks of 16 bytes; chunk c of row r lies at place c xor (r mod 8) of
// that row. So the eight rows that ldmatrix reads at once, at one c, lie in different banks, and so
// do eight neighbouring chunks of a row when they are stored.
#pragma once

#include "heed/cuda/kernel/tile_shape.cuh"

namespace heed::cuda {

inline namespace HEED_ABI {

// Where chunk `chunk` of row `row` of a tile lies.
template <class KernelTraits>
HEED_GPU ptx::Shared swizzled_offset(ptx::Shared tile, int row, int chunk) {
  return tile +
         static_cast<ptx::Shared>(row * KernelTraits::row_bytes + ((chunk ^ (row & 7)) * 16));
}

// Addresses of one lane: `at(row, column)`, a multiple of 8 rows and of 32 bytes, costs an
// exclusive or and a constant offset.
template <class KernelTraits>
class LdmatrixAddress {
 public:
  // This lane's row and its chunk, 0 or 1, of the sixteen rows by 32 bytes at the tile's beginning.
  HEED_GPU LdmatrixAddress(ptx::Shared tile, int row, int chunk)
      : first_(swizzled_offset<KernelTraits>(tile, row, chunk)) {}
  HEED_GPU explicit LdmatrixAddress(ptx::Shared first) : first_(first) {}

  // Tiles begin at multiples of a row, so a chunk's bits are a field of the address.
  HEED_GPU ptx::Shared at(int row, int column) const {
    return (first_ ^ static_cast<ptx::Shared>(column * KernelTraits::element_bytes)) +
           static_cast<ptx::Shared>(row * KernelTraits::row_bytes);
  }

 private:
  ptx::Shared first_;
};

// 16 rows by 32 bytes as the left operand of a product: q, of the rows from `row` on.
template <class KernelTraits>
HEED_GPU LdmatrixAddress<KernelTraits> left_address(ptx::Shared tile, int row) {
  const int lane = ptx::thread() % ptx::warp_lanes;
  return {tile, row + lane % 16, lane / 16};
}

// 16 rows by 32 bytes, transposed, as two right operands: registers 0 and 1 for the first eight
// rows, 2 and 3 for the others. So q · kᵀ takes keys.
template <class KernelTraits>
HEED_GPU LdmatrixAddress<KernelTraits> transposed_address(ptx::Shared tile) {
  const int lane = ptx::thread() % ptx::warp_lanes;
  return {tile, lane / 16 * 8 + lane % 8, lane / 8 % 2};
}

// 16 rows by 16 columns of 16 bits as two right operands: registers 0 and 1 for the first eight
// columns, 2 and 3 for the others. So p · v takes values, with ldmatrix.trans.
template <class KernelTraits>
HEED_GPU LdmatrixAddress<KernelTraits> right_address(ptx::Shared tile) {
  const int lane = ptx::thread() % ptx::warp_lanes;
  return {tile, lane % 16, lane / 16};
}

// One element of 32 bits, of the first eight rows and columns.
template <class KernelTraits>
HEED_GPU LdmatrixAddress<KernelTraits> word_address(ptx::Shared tile, int row, int column) {
  return LdmatrixAddress<KernelTraits>(
      swizzled_offset<KernelTraits>(tile, row, column / KernelTraits::chunk) +
      static_cast<ptx::Shared>(column % KernelTraits::chunk * 4));
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
