// The two products of a tile on tensor cores, for one warp's rows.
#pragma once

#include "heed/cuda/rows.cuh"

namespace heed::cuda {

// Marks of values that are not finite: how many of each kind a row sees is a sum of them, exact in
// float for the 64 keys of a tile, and each mark is a number of both 16-bit formats.
inline constexpr float plus_mark = 1;
inline constexpr float minus_mark = 128;
inline constexpr float nan_mark = 16384;

inline namespace HEED_ABI {

// scores += q · kᵀ over the columns of one tile of each.
template <class Cut, class T>
HEED_GPU void add_dots(Scores<Cut>& scores, int columns) {
  const auto queries =
      left_corner<Cut>(Cut::q_at, ptx::thread() / ptx::warp_lanes * Cut::warp_queries);
  const auto keys = transposed_corner<Cut>(Cut::k_at);
  const int end = used_chunks<Cut>(columns) * 8;
#pragma unroll Cut::dot_steps
  for (int column = 0; column < end; column += 16) {
    std::uint32_t q[Cut::row_blocks][4];
#pragma unroll
    for (int r = 0; r < Cut::row_blocks; ++r) ptx::ldmatrix(q[r], queries.at(16 * r, column));
#pragma unroll
    for (int key = 0; key < Cut::keys; key += 16) {
      std::uint32_t k[4];
      ptx::ldmatrix(k, keys.at(key, column));
#pragma unroll
      for (int r = 0; r < Cut::row_blocks; ++r) {
        ptx::mma<T>(scores[r][key / 8], q[r], k[0], k[1]);
        ptx::mma<T>(scores[r][key / 8 + 1], q[r], k[2], k[3]);
      }
    }
  }
}

// The weights of 16 keys as a left operand: a thread holds of a product's sums exactly what it must
// bring to the next product.
template <class Cut, class T>
HEED_GPU void pack_weights(std::uint32_t (&p)[4], const Scores<Cut>& weights, int r, int key) {
  const auto& low = weights[r][key / 8];
  const auto& high = weights[r][key / 8 + 1];
  p[0] = ptx::pack<T>(low[0], low[1]);
  p[1] = ptx::pack<T>(low[2], low[3]);
  p[2] = ptx::pack<T>(high[0], high[1]);
  p[3] = ptx::pack<T>(high[2], high[3]);
}

// The same for weights of 1 where a key is seen.
template <class Cut, class T>
HEED_GPU void pack_ones(std::uint32_t (&p)[4], ScoreBits seen, int r, int key) {
  const auto eight = static_cast<std::uint32_t>(seen >> (4 * (r * (Cut::keys / 8) + key / 8)));
  const std::uint32_t one = ptx::pack<T>(1, 0);
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    p[n] = ((eight >> (2 * n) & 1u) * one) | ((eight >> (2 * n + 1) & 1u) * one) << 16;
  }
}

// rows.out += weights · v, `columns` of it.
template <class Cut, class T>
HEED_GPU void add_values(Rows<Cut>& rows, const Scores<Cut>& weights, int columns) {
  const auto values = right_corner<Cut>(Cut::v_at);
  const int end = used_chunks<Cut>(columns) * 8;
#pragma unroll
  for (int key = 0; key < Cut::keys; key += 16) {
    std::uint32_t p[Cut::row_blocks][4];
#pragma unroll
    for (int r = 0; r < Cut::row_blocks; ++r) pack_weights<Cut, T>(p[r], weights, r, key);
#pragma unroll
    for (int column = 0; column < Cut::width; column += 16) {
      if (!Cut::exact && column >= end) break;
      std::uint32_t v[4];
      ptx::ldmatrix_transposed(v, values.at(key, column));
#pragma unroll
      for (int r = 0; r < Cut::row_blocks; ++r) {
        ptx::mma<T>(rows.out[r][column / 8], p[r], v[0], v[1]);
        ptx::mma<T>(rows.out[r][column / 8 + 1], p[r], v[2], v[3]);
      }
    }
  }
}

// What a sum of marks adds to an output.
HEED_GPU float value_of_marks(float sum) {
  const int marks = static_cast<int>(sum);
  const float nan = __builtin_bit_cast(float, 0x7fc00000u);
  if (marks >= static_cast<int>(nan_mark)) return nan;
  const bool minus = marks / static_cast<int>(minus_mark) != 0;
  const bool plus = marks % static_cast<int>(minus_mark) != 0;
  if (minus && plus) return nan;
  const float infinite = __builtin_bit_cast(float, 0x7f800000u);
  return minus ? -infinite : plus ? infinite : 0.0f;
}

// rows.out takes in the values that are not finite of the keys that a row sees: the tile of values
// holds their marks.
template <class Cut, class T>
HEED_GPU void add_marked(Rows<Cut>& rows, ScoreBits seen, int columns) {
  const auto values = right_corner<Cut>(Cut::v_at);
  const int end = used_chunks<Cut>(columns) * 8;
#pragma unroll
  for (int column = 0; column < Cut::width; column += 16) {
    if (!Cut::exact && column >= end) break;
    float marks[Cut::row_blocks][2][4] = {};
#pragma unroll
    for (int key = 0; key < Cut::keys; key += 16) {
      std::uint32_t v[4];
      ptx::ldmatrix_transposed(v, values.at(key, column));
#pragma unroll
      for (int r = 0; r < Cut::row_blocks; ++r) {
        std::uint32_t p[4];
        pack_ones<Cut, T>(p, seen, r, key);
        ptx::mma<T>(marks[r][0], p, v[0], v[1]);
        ptx::mma<T>(marks[r][1], p, v[2], v[3]);
      }
    }
#pragma unroll
    for (int r = 0; r < Cut::row_blocks; ++r) {
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const float mark = marks[r][e / 4][e % 4];
        if (mark != 0) rows.out[r][column / 8 + e / 4][e % 4] += value_of_marks(mark);
      }
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
