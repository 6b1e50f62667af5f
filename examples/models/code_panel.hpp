// The products of a weight whose elements are codes of 8 or 4 bits, as functors that simd::for_isa
// compiles for each instruction set.
#pragma once

#include <cstdint>

#include "heed/simd/vector.hpp"

namespace heed::models {

inline constexpr Index code_block = 32;  // features that share a scale and an offset
// Words from those that are read to those that are prefetched, 2 KiB. Measured (Zen 4, decoding):
// 1.1 times as fast as without; 8 KiB helped less, 32 KiB not at all.
inline constexpr Index prefetch_ahead = 512;

// A panel of words that hold `bits` bits of each of several features, the first feature lowest.
struct CodePanel {
  const std::int32_t* words;  // [in · bits / 32, NR]
  const float* scales;        // [in / 32, NR]
  const float* offsets;       // the same, or null: 0
  Index in;
  int bits;  // 8, signed, or 4, unsigned
};

// Registers of NR numbers. They are passed by reference: a function that returns one would need
// the instruction set.
template <int Nr>
struct Lanes {
  static constexpr int vl = Nr >= 32 ? 16 : Nr >= 16 ? 8 : 4;
  static constexpr int count = Nr / vl;
  using Floats = typename simd::Register<float, vl>::type;
  using Integers = typename simd::Register<std::int32_t, vl>::type;

  [[gnu::always_inline]] static void load(const float* from, Floats& to) {
    to = *reinterpret_cast<const typename simd::Register<float, vl>::unaligned*>(from);
  }
  [[gnu::always_inline]] static void load(const std::int32_t* from, Integers& to) {
    to = *reinterpret_cast<const typename simd::Register<std::int32_t, vl>::unaligned*>(from);
  }
  [[gnu::always_inline]] static void store(float* to, const Floats& x) {
    *reinterpret_cast<typename simd::Register<float, vl>::unaligned*>(to) = x;
  }
};

// f(i, n, element) for features k … k + 31 of a panel: register n of the elements of feature k + i,
// scale·code + offset.
template <int Nr, int Bits, bool HasOffset, class F>
[[gnu::always_inline]] inline void for_each_element(const CodePanel& panel, Index k, const F& f) {
  using L = Lanes<Nr>;
  constexpr int in_word = 32 / Bits;
  simd::Array<typename L::Floats, L::count> scale, offset = {};
  const std::int32_t* words = panel.words + k / in_word * Nr;
  for (int n = 0; n < L::count; ++n) {
    L::load(panel.scales + k / code_block * Nr + n * L::vl, scale[n]);
    if constexpr (HasOffset) L::load(panel.offsets + k / code_block * Nr + n * L::vl, offset[n]);
  }
  for (int first = 0; first < code_block; first += in_word, words += Nr) {
    simd::Array<typename L::Integers, L::count> word;
    for (int n = 0; n < L::count; ++n) L::load(words + n * L::vl, word[n]);
    for (int n = 0; n < Nr; n += 16) __builtin_prefetch(words + n + prefetch_ahead);
#pragma GCC unroll 8
    for (int i = 0; i < in_word; ++i) {
#pragma GCC unroll 4
      for (int n = 0; n < L::count; ++n) {
        typename L::Integers code;
        if constexpr (Bits == 8) {
          code = word[n] << (24 - 8 * i) >> 24;
        } else {
          code = word[n] >> (4 * i) & 15;
        }
        const auto number = __builtin_convertvector(code, typename L::Floats);
        f(first + i, n, HasOffset ? scale[n] * number + offset[n] : scale[n] * number);
      }
    }
  }
}

// f.run<Nr, Bits, HasOffset>(rows) for a panel's kind.
template <int Nr, class F, class... Args>
[[gnu::always_inline]] inline void for_kind(const F& f, Args... args) {
  if (f.panel.bits == 4) return f.template run<Nr, 4, true>(args...);
  if (f.panel.offsets != nullptr) return f.template run<Nr, 8, true>(args...);
  f.template run<Nr, 8, false>(args...);
}

// to [in, NR] = the elements of a panel.
struct PanelToFloats {
  CodePanel panel;
  float* to;

  template <int Nr>
  [[gnu::always_inline]] void operator()() const {
    for_kind<Nr>(*this);
  }

  template <int Nr, int Bits, bool HasOffset>
  [[gnu::always_inline]] void run() const {
    using L = Lanes<Nr>;
    for (Index k = 0; k < panel.in; k += code_block) {
      float* at = to + k * Nr;
      for_each_element<Nr, Bits, HasOffset>(
          panel,
          k, [&](int i, int n, const typename L::Floats& element) __attribute__((always_inline)) {
            L::store(at + i * Nr + n * L::vl, element);
          });
    }
  }
};

// sums [rows, NR] = x · a panel. Elements stay in registers, where up to four rows use them. A sum
// is that of simd's multiply where the compiler fuses a·b + c, as g++ and clang do by default.
struct MultiplyPanel {
  CodePanel panel;
  const float* x;
  Index x_stride;
  float* sums;

  template <int Nr>
  [[gnu::always_inline]] void operator()(Index rows) const {
    for_kind<Nr>(*this, rows);
  }

  template <int Nr, int Bits, bool HasOffset>
  [[gnu::always_inline]] void run(Index rows) const {
    Index r = 0;
    for (; r + 4 <= rows; r += 4) multiply<Nr, Bits, HasOffset, 4>(r);
    for (; r < rows; ++r) multiply<Nr, Bits, HasOffset, 1>(r);
  }

 private:
  template <int Nr, int Bits, bool HasOffset, int Rows>
  [[gnu::always_inline]] void multiply(Index row) const {
    using L = Lanes<Nr>;
    simd::Array<simd::Array<typename L::Floats, L::count>, Rows> sum = {};
    for (Index k = 0; k < panel.in; k += code_block) {
      const float* at = x + row * x_stride + k;
      for_each_element<Nr, Bits, HasOffset>(
          panel,
          k, [&](int i, int n, const typename L::Floats& element) __attribute__((always_inline)) {
#pragma GCC unroll 4
            for (int r = 0; r < Rows; ++r) {
              sum[r][n] = at[r * x_stride + i] * element + sum[r][n];
            }
          });
    }
    for (int r = 0; r < Rows; ++r) {
      for (int n = 0; n < L::count; ++n) L::store(sums + (row + r) * Nr + n * L::vl, sum[r][n]);
    }
  }
};

}  // namespace heed::models
