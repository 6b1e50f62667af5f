// Turning the pairs of tokens, in place or not.
#pragma once

#include <algorithm>
#include <cstddef>

#include "heed/core/view.hpp"
#include "heed/position/rope_rows.hpp"

namespace heed::position {

// The two of the `dim` rotated features that make pair n.
enum class RopePairs {
  half_split,  // n and n + dim / 2: GPT-NeoX, Hugging Face's LLaMA, Qwen
  interleaved  // 2n and 2n + 1: the paper, GPT-J, Meta's LLaMA and its GGUF files
};

inline namespace HEED_ABI {

// Pairs that are turned at once: as many as the narrowest registers hold, so that g++ -O2 keeps
// them there; longer runs went through memory at half the speed. A plain loop over the features is
// not vectorised at all, as its length and what it overlaps are unknown. Half types, whose
// rounding goes through memory anyway, want longer runs: 4 at a time took three times as long.
template <class T>
inline constexpr std::size_t rope_run = sizeof(T) < 4 ? 16 : 16 / sizeof(T);

// (a, b) becomes (a·cos − b·sin, b·cos + a·sin).
template <class R, std::size_t Run>
[[gnu::always_inline]] inline void turn_run(R (&a)[Run], R (&b)[Run], const R* cos, const R* sin) {
  R c[Run], s[Run];
  for (std::size_t n = 0; n < Run; ++n) c[n] = cos[n];
  for (std::size_t n = 0; n < Run; ++n) s[n] = sin[n];
  for (std::size_t n = 0; n < Run; ++n) {
    const R turned = a[n] * c[n] - b[n] * s[n];
    b[n] = b[n] * c[n] + a[n] * s[n];
    a[n] = turned;
  }
}

// As many pairs as runs hold, of features beside each other; returns how many.
template <class T, class R>
Index turn_runs(T* out, const T* x, Index pairs, RopePairs kind, RopeRow<R> row) {
  constexpr std::size_t run = rope_run<T>;
  R a[run], b[run];
  Index n = 0;
  for (; n + Index{run} <= pairs; n += Index{run}) {
    if (kind == RopePairs::half_split) {
      for (std::size_t c = 0; c < run; ++c) a[c] = static_cast<R>(x[n + Index(c)]);
      for (std::size_t c = 0; c < run; ++c) b[c] = static_cast<R>(x[n + pairs + Index(c)]);
      turn_run(a, b, row.cos + n, row.sin + n);
      for (std::size_t c = 0; c < run; ++c) out[n + Index(c)] = static_cast<T>(a[c]);
      for (std::size_t c = 0; c < run; ++c) out[n + pairs + Index(c)] = static_cast<T>(b[c]);
    } else {
      for (std::size_t c = 0; c < run; ++c) {
        a[c] = static_cast<R>(x[2 * (n + Index(c))]);
        b[c] = static_cast<R>(x[2 * (n + Index(c)) + 1]);
      }
      turn_run(a, b, row.cos + n, row.sin + n);
      for (std::size_t c = 0; c < run; ++c) {
        out[2 * (n + Index(c))] = static_cast<T>(a[c]);
        out[2 * (n + Index(c)) + 1] = static_cast<T>(b[c]);
      }
    }
  }
  return n;
}

// The pairs of one token; features behind dim are copied.
template <class T, class R>
void turn_token(T* out, Index out_stride, const T* x, Index x_stride, Index D, Index dim,
                RopePairs kind, RopeRow<R> row) {
  const Index pairs = dim / 2;
  const bool split = kind == RopePairs::half_split;
  Index n = 0;
  if (out_stride == 1 && x_stride == 1) n = turn_runs(out, x, pairs, kind, row);
  for (; n < pairs; ++n) {
    const Index first = split ? n : 2 * n;
    const Index second = split ? n + pairs : 2 * n + 1;
    const R a = static_cast<R>(x[first * x_stride]);
    const R b = static_cast<R>(x[second * x_stride]);
    out[first * out_stride] = static_cast<T>(a * row.cos[n] - b * row.sin[n]);
    out[second * out_stride] = static_cast<T>(b * row.cos[n] + a * row.sin[n]);
  }
  if (out == x) return;
  for (Index d = dim; d < D; ++d) out[d * out_stride] = x[d * x_stride];
}

// Every token of [B, H, L, D], in the order of memory.
template <class T, class Rows>
void turn_tokens(const View<T, 4>& to, const View<const T, 4>& from, Index dim, RopePairs kind,
                 Rows& rows) {
  if (from.empty()) return;
  const Index B = from.extent[0], H = from.extent[1], L = from.extent[2];
  const auto turn = [&](Index b, Index h, Index i) {
    turn_token(to.data + to.offset(b, h, i), to.stride[3], from.data + from.offset(b, h, i),
               from.stride[3], from.extent[3], dim, kind, rows.of(b, i));
  };
  const bool heads_inside = from.stride[1] < from.stride[2];  // [B, L, H, D]
  for (Index first = 0; first < L; first += rows.most()) {
    const Index tokens = std::min(rows.most(), L - first);
    for (Index b = 0; b < B; ++b) {
      rows.prepare(b, first, tokens);
      for (Index outer = 0; outer < (heads_inside ? tokens : H); ++outer) {
        for (Index inner = 0; inner < (heads_inside ? H : tokens); ++inner) {
          turn(b, heads_inside ? inner : outer, first + (heads_inside ? outer : inner));
        }
      }
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::position
