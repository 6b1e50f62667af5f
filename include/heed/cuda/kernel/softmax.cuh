// A thread's softmax state, and the online softmax over its fragments.
//
// A thread has rows g and g + 8 of each block of 16 queries, g its group of four lanes, and of
// every eight keys or columns the two that its place in the group says: PTX ISA, "Matrix Fragments
// for mma.m16n8k16 with floating point type", the accumulators. Milakov and Gimelshein, "Online
// normalizer calculation for softmax" (2018), Algorithm 3.
#pragma once

#include <cmath>
#include <limits>

#include "heed/core/types.hpp"
#include "heed/cuda/kernel/tile.cuh"

namespace heed::cuda {

inline constexpr float log2_e = 1.44269504088896340736f;

template <class KernelTraits>
using Scores = float[KernelTraits::row_blocks][KernelTraits::keys / 8][4];

// One bit for each score of a thread, in the order of Scores.
using ScoreBits = std::uint64_t;
static_assert(KernelTraits<64, true>::row_blocks * KernelTraits<64, true>::keys / 2 <= 64,
              "a bit for each");

template <class KernelTraits>
struct SoftmaxState {
  float out[KernelTraits::row_blocks][KernelTraits::width / 8]
           [4];                            // Σ weight·value under the current maximum
  float max[KernelTraits::row_blocks][2];  // of the scores; −inf: none seen yet
  float sum[KernelTraits::row_blocks][2];  // of this thread's weights
};

inline namespace HEED_ABI {

HEED_GPU float minus_infinity() { return mask_if(true, 0.0f); }
HEED_GPU float quiet_nan() { return __builtin_bit_cast(float, 0x7fc00000u); }

template <class KernelTraits>
HEED_GPU void clear(SoftmaxState<KernelTraits>& rows) {
#pragma unroll
  for (int r = 0; r < KernelTraits::row_blocks; ++r) {
#pragma unroll
    for (int n = 0; n < KernelTraits::width / 8; ++n) {
#pragma unroll
      for (float& x : rows.out[r][n]) x = 0;
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      rows.max[r][half] = minus_infinity();
      rows.sum[r][half] = 0;
    }
  }
}

template <class KernelTraits>
HEED_GPU void clear(Scores<KernelTraits>& scores) {
#pragma unroll
  for (int r = 0; r < KernelTraits::row_blocks; ++r) {
#pragma unroll
    for (int n = 0; n < KernelTraits::keys / 8; ++n) {
#pragma unroll
      for (float& x : scores[r][n]) x = 0;
    }
  }
}

// Element 2·half + e of block r and eight columns n is that of row 16·r + 8·half + fragment_row()
// of the warp's, and column 8·n + fragment_column() + e.
HEED_GPU int fragment_row() { return ptx::thread() % ptx::warp_lanes / 4; }
HEED_GPU int fragment_column() { return 2 * (ptx::thread() % 4); }

// Over the four lanes that share a row.
HEED_GPU float row_max(float x) {
  x = fmaxf(x, ptx::shuffle_xor(x, 1));
  return fmaxf(x, ptx::shuffle_xor(x, 2));
}
HEED_GPU float row_sum(float x) {
  x += ptx::shuffle_xor(x, 1);
  return x + ptx::shuffle_xor(x, 2);
}

// The maximum over the scores of one row, the old maximum included; NaN does not raise it.
template <class KernelTraits>
HEED_GPU float highest(const Scores<KernelTraits>& scores, int r, int half, float old) {
  float most = old;
#pragma unroll
  for (int n = 0; n < KernelTraits::keys / 8; ++n) {
    most = fmaxf(most, fmaxf(scores[r][n][2 * half], scores[r][n][2 * half + 1]));
  }
  return row_max(most);
}

// Scores become weights, 2^((score − max)·unit): `unit` takes a score to powers of two. Sums and
// weighted values under an earlier maximum shrink, where one of the warp's rows has risen at all.
//
// `One_step` folds the difference into one multiply-add, from the rounded product max·unit: so an
// earlier maximum counts as its own rounded product, too. A score beyond 2^127 / log2 e overflows
// it, and its row is NaN. Only q·k itself comes that way: modified scores may be ±FLT_MAX on
// purpose.
template <class KernelTraits, bool One_step>
HEED_GPU void update(SoftmaxState<KernelTraits>& rows, Scores<KernelTraits>& scores, float unit) {
#pragma unroll
  for (int r = 0; r < KernelTraits::row_blocks; ++r) {
    float shrink[2];
    bool risen = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float old = rows.max[r][half];
      const float most = highest<KernelTraits>(scores, r, half, old);
      // Of a row that has seen no key, only masked scores are left: any finite number will do.
      const float base = is_masked(most) ? 0.0f : most;
      const float base_unit = ptx::product(base, unit);
      const float risen_by = One_step ? ptx::product(old, unit) - base_unit : (old - base) * unit;
      shrink[half] = most == old ? 1.0f : ptx::exp2(risen_by);
      risen = risen || most != old;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < KernelTraits::keys / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = scores[r][n][2 * half + e];
          x = ptx::exp2(One_step ? x * unit - base_unit : (x - base) * unit);
          sum += x;
        }
      }
      rows.sum[r][half] = rows.sum[r][half] * shrink[half] + sum;
      rows.max[r][half] = most;
    }
    if (!ptx::warp_any(risen)) continue;
#pragma unroll
    for (int n = 0; n < KernelTraits::width / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) rows.out[r][n][e] *= shrink[e / 2];
    }
  }
}

// True where all sums are finite; false also where their own sum overflows.
template <class KernelTraits>
HEED_GPU bool finite(const SoftmaxState<KernelTraits>& rows) {
  float all[4] = {};
#pragma unroll
  for (int r = 0; r < KernelTraits::row_blocks; ++r) {
#pragma unroll
    for (int n = 0; n < KernelTraits::width / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) all[e] += rows.out[r][n][e];
    }
  }
  return is_finite((all[0] + all[1]) + (all[2] + all[3]));
}

// One bit a score: ask(row of the block of queries, first of two columns) gives two at once. The
// loop is not unrolled: what it asks may be long (a random mask, dropout).
template <class KernelTraits, class Ask>
HEED_GPU ScoreBits ask_of_scores(const Ask& ask) {
  ScoreBits bits = 0;
#pragma unroll 1
  for (int n = 0; n < KernelTraits::row_blocks * (KernelTraits::keys / 8); ++n) {
    const int row = 16 * (n / (KernelTraits::keys / 8)) + fragment_row();
    const int column = 8 * (n % (KernelTraits::keys / 8)) + fragment_column();
    const std::uint32_t four = ask(row, column) | ask(row + 8, column) << 2;
    bits |= ScoreBits{four} << (4 * n);
  }
  return bits;
}

// change(score, its bit), for every score.
template <class KernelTraits, class Change>
HEED_GPU void change_scores(Scores<KernelTraits>& scores, ScoreBits bits, const Change& change) {
#pragma unroll
  for (int r = 0; r < KernelTraits::row_blocks; ++r) {
#pragma unroll
    for (int n = 0; n < KernelTraits::keys / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        change(scores[r][n][e], (bits >> (4 * (r * (KernelTraits::keys / 8) + n) + e) & 1u) != 0);
      }
    }
  }
}

// A bit for every score that is not masked.
template <class KernelTraits>
HEED_GPU ScoreBits seen_of(Scores<KernelTraits>& scores) {
  ScoreBits seen = 0;
  int n = 0;
  change_scores<KernelTraits>(
      scores, 0, [&](float& s, bool) { seen |= ScoreBits{is_masked(s) ? 0u : 1u} << n++; });
  return seen;
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
