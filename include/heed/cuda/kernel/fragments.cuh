// A thread's scores and sums in registers: which rows and columns of a block's tile it holds.
//
// Score n, in the order of for_each, is that of row first_row() + row_of_score(n) and of column
// first_column() + column_of_score(n); row r of a thread is first_row() + row_of(r) of the block.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "heed/cuda/kernel/tile_shape.cuh"

namespace heed::cuda {

inline namespace HEED_ABI {

// visit(element) for every element of an array, in memory order.
template <class X, class Visit>
HEED_GPU void for_each(X& x, const Visit& visit) {
  if constexpr (std::is_array_v<X>) {
#pragma unroll
    for (auto& part : x) for_each(part, visit);
  } else {
    visit(x);
  }
}

// The row and the first of two columns, of eight by eight, that a lane holds of accumulators: PTX
// ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
HEED_GPU int fragment_row() { return ptx::thread() % ptx::warp_lanes / 4; }
HEED_GPU int fragment_column() { return 2 * (ptx::thread() % 4); }

}  // namespace HEED_ABI

// Accumulators of tensor cores: of each block of 16 queries a thread has two rows, which it shares
// with three lanes, and of every eight columns two.
template <class KernelTraits>
struct MmaFragments {
  using Real = float;
  using Bits = std::uint64_t;  // one for each score
  using Scores = Real[KernelTraits::row_blocks][KernelTraits::keys / 8][4];
  using Out = Real[KernelTraits::row_blocks][KernelTraits::width / 8][4];
  static constexpr int rows = 2 * KernelTraits::row_blocks;
  static constexpr int rows_at_once = 2;  // rescaled together
  static constexpr int row_scores = KernelTraits::keys / 4;
  static constexpr int columns_at_once = 2;  // side by side, the first of them even
  static constexpr int scores_at_once = 4;
  static_assert(rows * row_scores <= 64, "a bit for each");

  HEED_GPU static int first_row() {
    return ptx::thread() / ptx::warp_lanes * KernelTraits::warp_queries + fragment_row();
  }
  HEED_GPU static int first_column() { return fragment_column(); }
  HEED_DEVICE static constexpr int row_of(int r) { return 8 * r; }
  HEED_DEVICE static constexpr int row_of_score(int n) {
    return n / (2 * row_scores) * 16 + n % 4 / 2 * 8;
  }
  HEED_DEVICE static constexpr int column_of_score(int n) {
    return n % (2 * row_scores) / 4 * 8 + n % 2;
  }

  // visit(element) for those of row r of scores or of out.
  template <class X, class Visit>
  HEED_GPU static void for_row(X& x, int r, const Visit& visit) {
#pragma unroll
    for (auto& four : x[r / 2]) {
      visit(four[r % 2 * 2]);
      visit(four[r % 2 * 2 + 1]);
    }
  }

  // The maximum over the scores of row r and `old`, in all lanes of the row; NaN raises nothing.
  HEED_GPU static float row_max(const Scores& scores, int r, float old) {
    float most = old;
    for_row(scores, r, [&](float s) { most = fmaxf(most, s); });
    most = fmaxf(most, ptx::shuffle_xor(most, 1));
    return fmaxf(most, ptx::shuffle_xor(most, 2));
  }
  HEED_GPU static float row_sum(float x) {
    x += ptx::shuffle_xor(x, 1);
    return x + ptx::shuffle_xor(x, 2);
  }
};

// Registers of 16 by 16 threads: a thread's rows lie side by side; its keys, 16 apart: neighbours
// read neighbouring rows of k. Sixteen lanes share a row.
template <class KernelTraits, class R>
struct SimtFragments {
  static constexpr int per = KernelTraits::per_thread;
  using Real = R;
  using Bits = std::uint32_t;
  using Scores = R[static_cast<std::size_t>(per)][static_cast<std::size_t>(per)];
  using Out = R[static_cast<std::size_t>(per)][static_cast<std::size_t>(KernelTraits::width / 16)];
  static constexpr int rows = per;
  static constexpr int rows_at_once = per;
  static constexpr int row_scores = per;
  static constexpr int columns_at_once = 1;
  static constexpr int scores_at_once = 1;

  HEED_GPU static int first_row() { return ptx::thread() / 16 * per; }
  HEED_GPU static int first_column() { return ptx::thread() % 16; }
  HEED_DEVICE static constexpr int row_of(int r) { return r; }
  HEED_DEVICE static constexpr int row_of_score(int n) { return n / per; }
  HEED_DEVICE static constexpr int column_of_score(int n) { return n % per * 16; }

  template <class X, class Visit>
  HEED_GPU static void for_row(X& x, int r, const Visit& visit) {
    for_each(x[r], visit);
  }

  HEED_GPU static R row_max(const Scores& scores, int r, R old) {
    R most = old;
    for_row(scores, r, [&](R s) { most = s > most ? s : most; });
#pragma unroll
    for (int lanes = 1; lanes < 16; lanes *= 2) {
      const R other = ptx::shuffle_xor(most, lanes);
      most = other > most ? other : most;
    }
    return most;
  }
  HEED_GPU static R row_sum(R x) {
#pragma unroll
    for (int lanes = 1; lanes < 16; lanes *= 2) x += ptx::shuffle_xor(x, lanes);
    return x;
  }
};

inline namespace HEED_ABI {

// A bit for every score: ask(row, column) of the block's tile gives an answer for that column and
// for those beside it, answer(0), answer(1). The loop is not unrolled: what it asks may be long (a
// random mask, dropout).
template <class Fragments, class Ask>
HEED_GPU auto ask_of_scores(const Ask& ask) {
  using Bits = typename Fragments::Bits;
  constexpr int step = Fragments::scores_at_once;
  Bits bits = 0;
#pragma unroll 1
  for (int n = 0; n < Fragments::rows * Fragments::row_scores / step; ++n) {
    const int row = Fragments::first_row() + Fragments::row_of_score(step * n);
    const int column = Fragments::first_column() + Fragments::column_of_score(step * n);
    std::uint32_t some = 0;
#pragma unroll
    for (int e = 0; e < step; e += Fragments::columns_at_once) {
      const auto answer =
          ask(row + Fragments::row_of_score(e), column + Fragments::column_of_score(e));
#pragma unroll
      for (int c = 0; c < Fragments::columns_at_once; ++c) some |= (answer(c) ? 1u : 0u) << (e + c);
    }
    bits |= Bits{some} << (step * n);
  }
  return bits;
}

// change(score, its bit), for every score.
template <class Scores, class Bits, class Change>
HEED_GPU void change_scores(Scores& scores, Bits bits, const Change& change) {
  int n = 0;
  for_each(scores, [&](auto& s) { change(s, (bits >> n++ & 1u) != 0); });
}

// A bit for every score that is not masked.
template <class Fragments>
HEED_GPU auto unmasked_of(const typename Fragments::Scores& scores) {
  using Bits = typename Fragments::Bits;
  Bits unmasked = 0;
  int n = 0;
  for_each(scores, [&](auto& s) { unmasked |= Bits{is_masked(s) ? 0u : 1u} << n++; });
  return unmasked;
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
