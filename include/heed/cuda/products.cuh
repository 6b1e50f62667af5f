// The two products of a tile on tensor cores, for one warp's rows.
#pragma once

#include "heed/cuda/rows.cuh"

namespace heed::cuda {

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

// rows.out[…][n] = rows.out[…][n + 2]; what was first comes last.
template <class Cut>
HEED_GPU void rotate(Rows<Cut>& rows) {
  constexpr int last = Cut::width / 8 - 2;
#pragma unroll
  for (int r = 0; r < Cut::row_blocks; ++r) {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const float first = rows.out[r][e / 4][e % 4];
#pragma unroll
      for (int n = e / 4; n < last; n += 2) rows.out[r][n][e % 4] = rows.out[r][n + 2][e % 4];
      rows.out[r][last + e / 4][e % 4] = first;
    }
  }
}

// rows.out += `infinite` where a row sees a key whose value is marked: the tile of values holds 1
// for a mark and 0 for none. Sums come round to where loops that are not unrolled find them: with
// 16 columns at a time no register is spilled.
template <class Cut, class T>
HEED_GPU void add_marked(Rows<Cut>& rows, ScoreBits seen, int columns, float infinite) {
  const auto values = right_corner<Cut>(Cut::v_at);
  const int end = used_chunks<Cut>(columns) * 8;
#pragma unroll 1
  for (int column = 0; column < Cut::width; column += 16, rotate(rows)) {
    if (!Cut::exact && column >= end) continue;
    float marks[Cut::row_blocks][2][4] = {};
#pragma unroll 1
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
        if (marks[r][e / 4][e % 4] != 0) rows.out[r][e / 4][e % 4] += infinite;
      }
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
