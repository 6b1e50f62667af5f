// The gradients of the learned extra key and value; a key of zeros has none.
#pragma once

#include <cmath>
#include <vector>

#include "heed/core/zeros.hpp"
#include "heed/nn/extra_keys.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// A call whose extra key 0 is learned, after add_extra_keys: its out and lse are of all keys.
template <class T>
struct ExtraKeysBackward {
  ExtraKeysCall<T> call;
  View<const T, 4> out;         // [B, Hq, Lq, D]
  View<const Accum<T>, 3> lse;  // [B, Hq, Lq]
  View<const T, 4> d_out;       // [B, Hq, Lq, D]
  View<T, 4> d_q;               // [B, Hq, Lq, D]   added to
  T* d_key;                     // [Hkv · D]        added to, as d_value
  T* d_value;
};

// forward: s = scale · q·k, p = e^(s − lse), o += p·v; so: dv += p·do, ds = p·(do·v − do·o),
// dq += scale · ds · k, dk += scale · ds · q. Dropout scales or drops the p of v alike.
//   d_key, d_value  [D], of one key head
template <class T>
void extra_key_row_gradient(const ExtraKeysBackward<T>& of, Index b, Index h, Index i,
                            double* d_key, double* d_value) {
  const ExtraKeysCall<T>& call = of.call;
  const Index D = call.q.extent[3];
  const Index head = h / (call.q.extent[1] / call.Hkv) * D;
  const T* key = call.extra.key[0] + head;
  const T* value = call.extra.value[0] + head;
  const double p = std::exp(extra_score(call, 0, b, h, i) - static_cast<double>(of.lse(b, h, i)));
  const double kept = extra_key_kept(call, 0, b, h, i);
  double d_p = 0, delta = 0;
  for (Index d = 0; d < D; ++d) {
    const auto d_o = static_cast<double>(of.d_out(b, h, i, d));
    d_p += kept * d_o * static_cast<double>(value[d]);
    delta += d_o * static_cast<double>(of.out(b, h, i, d));
  }
  const double d_s = call.scale * p * (d_p - delta);
  for (Index d = 0; d < D; ++d) {
    d_value[d] += kept * p * static_cast<double>(of.d_out(b, h, i, d));
    d_key[d] += d_s * static_cast<double>(call.q(b, h, i, d));
    of.d_q(b, h, i, d) += static_cast<T>(d_s * static_cast<double>(key[d]));
  }
}

// All rows: one sum a key head, in ascending order of batch, head and row, in double.
template <class T>
void add_extra_key_gradients(const ExtraKeysBackward<T>& of, const Options& options) {
  const Index Hkv = of.call.Hkv, group = of.call.q.extent[1] / Hkv, D = of.call.q.extent[3];
  const int workers = worker_count(Hkv, options.threads, options.executor);
  parallel_for(Hkv, workers, options.executor, [&](Index kv_head, int) {
    auto sums = zeros<double>(2 * D);
    for (Index b = 0; b < of.call.q.extent[0]; ++b) {
      for (Index h = kv_head * group; h < (kv_head + 1) * group; ++h) {
        for (Index i = 0; i < of.call.q.extent[2]; ++i) {
          extra_key_row_gradient(of, b, h, i, sums.data(), sums.data() + D);
        }
      }
    }
    for (Index d = 0; d < D; ++d) {
      of.d_key[kv_head * D + d] += static_cast<T>(sums[static_cast<std::size_t>(d)]);
      of.d_value[kv_head * D + d] += static_cast<T>(sums[static_cast<std::size_t>(D + d)]);
    }
  });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
