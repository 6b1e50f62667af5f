// Orthonormal rows, and random directions that are orthogonal block by block.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "heed/core/assert.hpp"
#include "heed/core/normal.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/core/zeros.hpp"

namespace heed::approx {

using heed::gaussian;  // a public name of approx

inline namespace HEED_ABI {

// In four sums, since one alone would wait for each of its own additions.
template <class R>
R dot(const R* a, const R* b, Index D) {
  R sum[4] = {};
  Index d = 0;
  for (; d + 4 <= D; d += 4) {
    for (int n = 0; n < 4; ++n) sum[n] += a[d + n] * b[d + n];
  }
  for (; d < D; ++d) sum[0] += a[d] * b[d];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Divides a row by its length, which is returned; a row of 0 stays, as does one that is not finite.
inline double normalise(double* row, Index D) {
  double top = 0;  // squares of what is divided by it neither overflow nor vanish
  for (Index d = 0; d < D; ++d) top = std::max(top, std::abs(row[d]));
  if (!(top > 0) || !is_finite(top)) return 0;
  for (Index d = 0; d < D; ++d) row[d] /= top;
  const double length = std::sqrt(dot(row, row, D));
  for (Index d = 0; d < D; ++d) row[d] /= length;
  return top * length;
}

// Row r at right angles to rows [first, r), which are orthonormal, and of length 1. False where the
// row lies in their span but for rounding: it is then of no use.
//
// A pass that takes out most of a row leaves the rounding of that part, so another follows until
// half of the length stays. Daniel, Gragg, Kaufman, Stewart, "Reorthogonalization and stable
// algorithms for updating the Gram-Schmidt QR factorization" (1976).
inline bool orthonormalise(double* rows, Index first, Index r, Index D) {
  constexpr double rounding = 1e-12;  // of the length
  double* row = rows + r * D;
  double left = normalise(row, D) > 0 ? 1 : 0;
  for (int pass = 0; pass < 4 && left > rounding; ++pass) {
    for (Index other = first; other < r; ++other) {
      const double part = dot(row, rows + other * D, D);
      for (Index d = 0; d < D; ++d) row[d] -= part * rows[other * D + d];
    }
    const double length = normalise(row, D);
    left *= length;
    if (pass > 0 && length > 0.5 && left > rounding) return true;
  }
  return false;
}

// Row r as orthonormalise leaves it, or a random direction at right angles to the others where they
// span it. r − first < D: there is such a direction.
inline void complete_basis(double* rows, Index first, Index r, Index D, std::uint64_t seed,
                           std::uint32_t stream) {
  HEED_ASSERT(r - first < D);
  for (Index next = r * D; !orthonormalise(rows, first, r, D); next += D * D) {
    for (Index d = 0; d < D; ++d) rows[r * D + d] = gaussian(seed, next + d, stream);
  }
}

// m directions [m, D]: each distributed as D standard normal numbers, those of a block of D at
// right angles to each other. Time O(m·D²). Choromanski et al. (2021), section 2.4.
//
// Each is a normal vector, turned. Its length stays: what the turning takes out and what it leaves
// are independent parts of the vector, and the direction of what is left depends on neither length.
inline std::vector<double> orthogonal_gaussians(Index m, Index D, std::uint64_t seed) {
  auto rows = zeros<double>(checked_product(m, D));
  auto lengths = zeros<double>(m);
  for (Index r = 0; r < m; ++r) {
    double* row = rows.data() + r * D;
    for (Index d = 0; d < D; ++d) row[d] = gaussian(seed, r * D + d, 0);
    lengths[static_cast<std::size_t>(r)] = std::sqrt(dot(row, row, D));
    complete_basis(rows.data(), r / D * D, r, D, seed, 1);
  }
  for (Index r = 0; r < m; ++r) {
    for (Index d = 0; d < D; ++d) {
      rows[static_cast<std::size_t>(r * D + d)] *= lengths[static_cast<std::size_t>(r)];
    }
  }
  return rows;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
