// The two products of a tile in plain C++, for any machine. Both operands are packed, so the inner
// loops run over contiguous memory of a fixed width and the compiler vectorises them.
#pragma once

#include <cstdint>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed::simd {

inline constexpr int lanes = 64;  // width of a packed row of keys; a multiple of every vector

inline namespace HEED_ABI {

// s[r][c] = Σ_d q[r][d]·kt[d][c]: the dots of `rows` queries with `lanes` keys.
//   q   [rows, D]
//   kt  [D, lanes]     keys beyond the last are zero
//   s   [rows, lanes]  rows `stride` apart
template <class R>
void dots(const R* __restrict q, const R* __restrict kt, R* __restrict s, Index stride, int rows,
          Index D) {
  for (int r = 0; r < rows; ++r, q += D, s += stride) {
    for (int c = 0; c < lanes; ++c) s[c] = R(0);
    const R* row = kt;
    for (Index d = 0; d < D; ++d, row += lanes) {
      const R factor = q[d];
      for (int c = 0; c < lanes; ++c) s[c] += factor * row[c];
    }
  }
}

// acc[r][d] += Σ_c p[r][c]·v[c][d]: weighted values of `rows` queries and `keys` keys.
//   p    [rows, keys]  rows `stride` apart
//   v    [keys, Dv]
//   acc  [rows, Dv]
template <class R>
void accumulate(const R* __restrict p, Index stride, const R* __restrict v, R* __restrict acc,
                int rows, int keys, Index Dv) {
  for (int r = 0; r < rows; ++r, p += stride, acc += Dv) {
    const R* value = v;
    for (int c = 0; c < keys; ++c, value += Dv) {
      const R weight = p[c];
      for (Index d = 0; d < Dv; ++d) acc[d] += weight * value[d];
    }
  }
}

// accumulate for a tile whose values hold NaN or infinity: keys that a row does not see are left
// out, since 0·inf is not 0.
//   seen  [rows, keys]  rows `stride` apart; nonzero where the row sees the key
template <class R>
void accumulate_seen(const R* __restrict p, const std::uint8_t* __restrict seen, Index stride,
                     const R* __restrict v, R* __restrict acc, int rows, int keys, Index Dv) {
  for (int r = 0; r < rows; ++r, p += stride, seen += stride, acc += Dv) {
    for (int c = 0; c < keys; ++c) {
      if (seen[c] == 0) continue;
      for (Index d = 0; d < Dv; ++d) acc[d] += p[c] * v[c * Dv + d];
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::simd
