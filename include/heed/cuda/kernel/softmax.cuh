// A thread's softmax state, and the online softmax over its fragments.
// Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), Algorithm 3.
#pragma once

#include <cmath>
#include <cstddef>

#include "heed/core/types.hpp"
#include "heed/cuda/kernel/fragments.cuh"

namespace heed::cuda {

inline constexpr float log2_e = 1.44269504088896340736f;

template <class Fragments>
struct SoftmaxState {
  using Rows = typename Fragments::Real[static_cast<std::size_t>(Fragments::rows)];
  typename Fragments::Out out;  // Σ weight·value under the current maximum
  Rows max;                     // of the scores; −inf: none seen yet
  Rows sum;                     // of this thread's weights
};

// A row after its last key: out is Σ weight·value · keep_scale / sum.
template <class R>
struct FinishedRow {
  int row, column;  // of this thread, in the block's tile
  R sum;
  R keep_scale;
  bool fully_masked;  // out is 0

  // A sink joins the sum, as a score whose value is 0; −inf is no sink. The lse of a sink far above
  // `max`, the row's maximum in natural logits, is the sink: its weight there may overflow.
  HEED_GPU void join(R sink, R max) {
    if (!is_masked(sink)) sum += std::exp(sink - max) + (sink - sink);  // an infinity is NaN
  }
  template <class Powers>
  HEED_GPU R lse(const Powers& powers, R max, R sink) const {
    if (fully_masked) return sink;
    const bool far = sink - powers.natural(max) > 64;
    return far ? sink + (sink - sink) : powers.lse(max, sum);
  }
};

// Weights as 2^((score − max)·log2 e), and with `Folds_scale` as 2^((score − max)·scale·log2 e).
//
// That folds the difference into one multiply-add, from the rounded product max·unit: so an
// earlier maximum counts as its own rounded product, too. A score beyond 2^127 / log2 e overflows
// it, and its row is NaN. Only q·k itself comes that way: modified scores may be ±FLT_MAX on
// purpose.
template <bool Folds_scale>
struct PowersOf2 {
  static constexpr bool folds_scale = Folds_scale;
  float scale;

  HEED_GPU float unit() const { return Folds_scale ? scale * log2_e : log2_e; }
  HEED_GPU float weight(float score, float max) const {
    if constexpr (Folds_scale) return ptx::exp2(score * unit() - ptx::product(max, unit()));
    return ptx::exp2((score - max) * unit());
  }
  HEED_GPU float rescale(float old, float max) const {
    if constexpr (Folds_scale) {
      return ptx::exp2(ptx::product(old, unit()) - ptx::product(max, unit()));
    }
    return ptx::exp2((old - max) * unit());
  }
  // The maximum as a score in natural logits.
  HEED_GPU float natural(float max) const { return max * (Folds_scale ? scale : 1.0f); }
  HEED_GPU float lse(float max, float sum) const { return natural(max) + std::log(sum); }
};

// Weights as e^(score − max).
template <class R>
struct PowersOfE {
  static constexpr bool folds_scale = false;
  R scale;

  HEED_GPU R weight(R score, R max) const {
    return is_masked(score) ? R(0) : std::exp(score - max);
  }
  HEED_GPU R rescale(R old, R max) const { return std::exp(old - max); }
  HEED_GPU R natural(R max) const { return max; }
  HEED_GPU R lse(R max, R sum) const { return max + std::log(sum); }
};

inline namespace HEED_ABI {

template <class Fragments>
HEED_GPU void clear(SoftmaxState<Fragments>& state) {
  using R = typename Fragments::Real;
  for_each(state.out, [](R& x) { x = 0; });
  for_each(state.max, [](R& x) { x = mask_if(true, R(0)); });
  for_each(state.sum, [](R& x) { x = 0; });
}

// Scores become weights. Sums and weighted values under an earlier maximum shrink, where one of the
// warp's rows has risen at all.
template <class Fragments, class Powers>
HEED_GPU void online_softmax(SoftmaxState<Fragments>& state, typename Fragments::Scores& scores,
                             const Powers& powers) {
  using R = typename Fragments::Real;
#pragma unroll
  for (int first = 0; first < Fragments::rows; first += Fragments::rows_at_once) {
    typename SoftmaxState<Fragments>::Rows shrink;
    bool risen = false;
#pragma unroll
    for (int r = first; r < first + Fragments::rows_at_once; ++r) {
      const R old = state.max[r];
      const R most = Fragments::row_max(scores, r, old);
      // Of a row that has seen no key, only masked scores are left: any finite number will do.
      const R base = is_masked(most) ? R(0) : most;
      shrink[r] = most == old ? R(1) : powers.rescale(old, base);
      risen = risen || most != old;
      R sum = 0;
      Fragments::for_row(scores, r, [&](R& s) {
        s = powers.weight(s, base);
        sum += s;
      });
      state.sum[r] = state.sum[r] * shrink[r] + sum;
      state.max[r] = most;
    }
    if (!ptx::warp_any(risen)) continue;
#pragma unroll
    for (int r = first; r < first + Fragments::rows_at_once; ++r) {
      Fragments::for_row(state.out, r, [&](R& x) { x *= shrink[r]; });
    }
  }
}

// True where all sums are finite: 0·x is 0, or NaN.
template <class Fragments>
HEED_GPU bool all_finite(const SoftmaxState<Fragments>& state) {
  typename Fragments::Real all[4] = {};
  int n = 0;
  for_each(state.out, [&](auto x) { all[n++ % 4] += 0 * x; });
  return is_finite((all[0] + all[1]) + (all[2] + all[3]));
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
