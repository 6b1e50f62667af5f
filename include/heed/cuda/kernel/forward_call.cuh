// One checked forward call as a kernel takes it: by value, everything it points to on the device.
#pragma once

#include "heed/core/random.hpp"
#include "heed/core/shape.hpp"
#include "heed/core/view.hpp"
#include "heed/mask/mask.hpp"
#include "heed/score/score.hpp"

namespace heed::cuda {

// T is F16, Bf16 or Tf32 for tensor cores, float or double for the exact kernel; R is what it sums
// in.
template <class T, class R, class M, class S>
struct ForwardCall {
  View<const T, 4> q;  // [B, Hq,  Lq, D]
  View<const T, 4> k;  // [B, Hkv, Lk, D]
  View<const T, 4> v;  // [B, Hkv, Lk, Dv]
  View<T, 4> out;      // [B, Hq,  Lq, Dv]
  View<R, 3> lse;      // [B, Hq,  Lq], natural log; no data: not wanted
  Shape shape;
  R scale;  // tensor cores: |scale|, or 1 where it is 0
  R sign;   // tensor cores: q · k is multiplied by it first; −1, 0 or 1
  Dropout dropout;
  M mask;
  S score;
  bool q_vectors, k_vectors, v_vectors, out_vectors;  // rows are aligned runs of 16 bytes
};

// Tiles of one head times heads, as blocks take them. Under a causal mask the last queries see most
// keys, so their tiles come first; the heads of one tile come together and share keys in the cache.
struct Task {
  int b, h;
  int q_begin;
  int v_begin;  // first of the value's dimensions that this block computes
};

struct TileScheduler {
  Index heads, queries, values, B_stride;
  int q_step, v_step;

  HEED_DEVICE static TileScheduler of(const Shape& shape, int q_step, int v_step) {
    return {shape.B * shape.Hq,
            (shape.Lq + q_step - 1) / q_step,
            shape.Dv == 0 ? 1 : (shape.Dv + v_step - 1) / v_step,
            shape.Hq,
            q_step,
            v_step};
  }
  HEED_DEVICE Index count() const { return heads * queries * values; }

  HEED_DEVICE Task operator[](Index n) const {
    const Index head = n % heads;
    const Index rest = n / heads;
    return {static_cast<int>(head / B_stride), static_cast<int>(head % B_stride),
            static_cast<int>((queries - 1 - rest / values) * q_step),
            static_cast<int>(rest % values * v_step)};
  }
};

inline namespace HEED_ABI {

// True where every run of `run` elements starts at a multiple of the run's bytes.
template <class T>
bool in_runs(const View<T, 4>& x, Index run) {
  if (x.empty()) return true;
  const Index bytes = run * static_cast<Index>(sizeof(T));
  if (x.stride[3] != 1 && x.extent[3] > 1) return false;
  if (reinterpret_cast<std::intptr_t>(x.data) % bytes != 0) return false;
  for (int d = 0; d < 3; ++d) {
    if (x.extent[d] > 1 && x.stride[d] % run != 0) return false;
  }
  return true;
}

// The call as a kernel for tensor cores takes it. Their maximum is that of q·k before it is
// scaled, so the scale's sign goes to q·k, and a scale of 0 too.
template <class T, class M, class S>
ForwardCall<T, float, M, S> tensor_core_call(const Shape& shape, const View<const T, 4>& q,
                                             const View<const T, 4>& k, const View<const T, 4>& v,
                                             const View<T, 4>& out, const View<float, 3>& lse,
                                             double scale, const Dropout& dropout, const M& mask,
                                             const S& score) {
  const auto wanted = static_cast<float>(scale);
  constexpr Index chunk = 16 / static_cast<Index>(sizeof(T));
  const float sign = wanted > 0 ? 1.0f : wanted < 0 ? -1.0f : 0.0f;
  return {q,
          k,
          v,
          out,
          lse,
          shape,
          sign == 0 ? 1.0f : wanted * sign,
          sign,
          dropout,
          mask,
          score,
          in_runs(q, chunk),
          in_runs(k, chunk),
          in_runs(v, chunk),
          in_runs(out, chunk)};
}

// The call as the exact kernel takes it.
template <class R, class M, class S>
ForwardCall<R, R, M, S> plain_call(const Shape& shape, const View<const R, 4>& q,
                                   const View<const R, 4>& k, const View<const R, 4>& v,
                                   const View<R, 4>& out, const View<R, 3>& lse, double scale,
                                   const Dropout& dropout, const M& mask, const S& score) {
  return {q,    k,     v,     out,   lse,   shape, static_cast<R>(scale), R(1), dropout,
          mask, score, false, false, false, false};
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
