// The lane that holds each element of a tensor core's operands.
//
// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type", "Matrix Fragments for
// mma.m16n8k8" and "Warp-level matrix load instruction: ldmatrix". Lanes form eight groups of four.
// A register holds two 16-bit elements, the lower half first: element e of a fragment is half e % 2
// of register e / 2; or one of tf32.
#pragma once

#include <cstdint>

namespace heed::simt {

struct Place {
  int row, column;
};

constexpr int group_of(int lane) { return lane / 4; }
constexpr int in_group(int lane) { return lane % 4; }

// The operands of a product of elements of `Bytes` bytes.
template <std::size_t Bytes>
struct Fragments;

// mma.m16n8k16: A [16, 16], element e of 8; B [16, 8], element e of 4.
template <>
struct Fragments<2> {
  static constexpr int a_count = 8, b_count = 4, depth = 16;
  static constexpr Place a_place(int lane, int e) {
    return {group_of(lane) + ((e / 2) % 2 == 0 ? 0 : 8),
            in_group(lane) * 2 + e % 2 + (e < 4 ? 0 : 8)};
  }
  static constexpr Place b_place(int lane, int e) {
    return {in_group(lane) * 2 + e % 2 + (e < 2 ? 0 : 8), group_of(lane)};
  }
};

// mma.m16n8k8 with tf32: A [16, 8], element e of 4; B [8, 8], element e of 2.
template <>
struct Fragments<4> {
  static constexpr int a_count = 4, b_count = 2, depth = 8;
  static constexpr Place a_place(int lane, int e) {
    return {group_of(lane) + (e % 2 == 0 ? 0 : 8), in_group(lane) + (e < 2 ? 0 : 4)};
  }
  static constexpr Place b_place(int lane, int e) {
    return {in_group(lane) + (e == 0 ? 0 : 4), group_of(lane)};
  }
};

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
