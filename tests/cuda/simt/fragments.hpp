// Which lane holds which element of a tensor core's operands.
//
// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" and "Warp-level matrix load
// instruction: ldmatrix". Lanes form eight groups of four. A register holds two 16-bit elements,
// the lower half first; element e of a fragment is half e % 2 of register e / 2.
#pragma once

#include <cstdint>

namespace heed::simt {

struct Place {
  int row, column;
};

constexpr int group_of(int lane) { return lane / 4; }
constexpr int in_group(int lane) { return lane % 4; }

// A [16, 16]: element e of 8.
constexpr Place a_place(int lane, int e) {
  return {group_of(lane) + ((e / 2) % 2 == 0 ? 0 : 8),
          in_group(lane) * 2 + e % 2 + (e < 4 ? 0 : 8)};
}

// B [16, 8]: element e of 4.
constexpr Place b_place(int lane, int e) {
  return {in_group(lane) * 2 + e % 2 + (e < 2 ? 0 : 8), group_of(lane)};
}

// C [16, 8]: element e of 4, in float.
constexpr Place c_place(int lane, int e) {
  return {group_of(lane) + (e < 2 ? 0 : 8), in_group(lane) * 2 + e % 2};
}

// An 8×8 matrix as ldmatrix spreads it: element e of 2; with .trans, of the transposed matrix.
constexpr Place matrix_place(int lane, int e, bool transposed) {
  const Place place{group_of(lane), in_group(lane) * 2 + e};
  return transposed ? Place{place.column, place.row} : place;
}

}  // namespace heed::simt
