// The products of a weight whose elements are codes of 8 or 4 bits, or bfloat16, as functors that
// simd::for_isa compiles for each instruction set.
#pragma once

#include <cstdint>

#include "heed/simd/vector.hpp"

namespace heed::models {

inline constexpr Index code_block = 32;  // features that share a scale and an offset, if any
// Words from those that are read to those that are prefetched, 2 KiB. Measured (Zen 4, decoding):
// 1.1 times as fast as without; 8 KiB helped less, 32 KiB not at all.
inline constexpr Index prefetch_ahead = 512;

// The bit of a word at which the code of feature i stands. The low halves of the bytes of 4-bit
// codes are features 0 … 3, the high ones 4 … 7.
template <int Bits>
constexpr int code_bit(int i) {
  return Bits == 4 ? i % 4 * 8 + i / 4 * 4 : Bits * i;
}

// A panel of words that hold the codes of several features each, `bits` bits of each (code_bit).
struct CodePanel {
  const std::int32_t* words;  // [in · bits / 32, NR]
  const float* scales;        // [in / 32, NR]; null beside bfloat16
  const float* offsets;       // the same, or null: 0
  Index in;
  int bits;  // 16, bfloat16; 8, signed; or 4, unsigned
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

  // The low 4 bits of each word as numbers. A table in a register is one instruction where a mask
  // and a conversion are two.
  [[gnu::always_inline]] static void low_bits(const Integers& words, Floats& to) {
#if !defined(__clang__)
    if constexpr (vl == 16) {
      constexpr Floats table{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
      to = __builtin_shuffle(table, words);
      return;
    }
#endif
    to = __builtin_convertvector(words & 15, Floats);
  }

  // The code of feature i of each word as a number.
  template <int Bits>
  [[gnu::always_inline]] static void number(const Integers& words, int i, Floats& to) {
    if constexpr (Bits == 16) {  // a bfloat16 is the upper half of a float
      to = __builtin_bit_cast(Floats, i == 0 ? words << 16 : words & -65536);
    } else if constexpr (Bits == 8) {
      to = __builtin_convertvector(words << (24 - code_bit<8>(i)) >> 24, Floats);
    } else {
      low_bits(words >> code_bit<4>(i), to);
    }
  }
};

// f(first, i, n, code) for features k … k + 31 of a panel: register n of the codes of feature
// k + first + i, as numbers. The numbers i are those of a word.
template <int Nr, int Bits, class F>
[[gnu::always_inline]] inline void for_each_code(const CodePanel& panel, Index k, const F& f) {
  using L = Lanes<Nr>;
  constexpr int in_word = 32 / Bits;
  const std::int32_t* words = panel.words + k / in_word * Nr;
  for (int first = 0; first < code_block; first += in_word, words += Nr) {
    simd::Array<typename L::Integers, L::count> word;
    for (int n = 0; n < L::count; ++n) L::load(words + n * L::vl, word[n]);
    for (int n = 0; n < Nr; n += 16) __builtin_prefetch(words + n + prefetch_ahead);
#pragma GCC unroll 8
    for (int i = 0; i < in_word; ++i) {
#pragma GCC unroll 4
      for (int n = 0; n < L::count; ++n) {
        typename L::Floats code;
        L::template number<Bits>(word[n], i, code);
        f(first, i, n, code);
      }
    }
  }
}

// f.run<Nr, Bits, HasOffset>(rows) for a panel's kind.
template <int Nr, class F, class... Args>
[[gnu::always_inline]] inline void for_kind(const F& f, Args... args) {
  if (f.panel.bits == 16) return f.template run<Nr, 16, false>(args...);
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
      simd::Array<typename L::Floats, L::count> scale = {}, offset = {};
      for (int n = 0; n < L::count; ++n) {
        if constexpr (Bits != 16) L::load(panel.scales + k / code_block * Nr + n * L::vl, scale[n]);
        if constexpr (HasOffset)
          L::load(panel.offsets + k / code_block * Nr + n * L::vl, offset[n]);
      }
      for_each_code<Nr, Bits>(
          panel, k,
          [&](int first, int i, int n, const typename L::Floats& code)
              __attribute__((always_inline)) {
                L::store(at + (first + i) * Nr + n * L::vl, HasOffset ? scale[n] * code + offset[n]
                                                            : Bits == 16 ? code
                                                                         : scale[n] * code);
              });
    }
  }
};

// sums [rows, NR] = x · a panel, Σ over blocks of scale·Σ x·code + offset·Σ x; of bfloat16
// Σ x·code. Codes become numbers once for up to four rows. A block has two sums, of even and of odd
// features, which wait for each other less; a row has the same bits alone and beside others.
struct MultiplyPanel {
  CodePanel panel;
  const float* x;  // [rows, in]
  Index x_stride;
  const float* block_sums;  // [rows, in / 32], of x; null where there are no offsets
  float* sums;

  template <int Nr>
  [[gnu::always_inline]] void operator()(Index rows) const {
    for_kind<Nr>(*this, rows);
  }

  template <int Nr, int Bits, bool HasOffset>
  [[gnu::always_inline]] void run(Index rows) const {
    constexpr int most = Nr >= 32 ? 4 : 2;  // whose sums fit the registers
    Index r = 0;
    for (; r + most <= rows; r += most) multiply<Nr, Bits, HasOffset, most>(r);
    for (; r < rows; ++r) multiply<Nr, Bits, HasOffset, 1>(r);
  }

 private:
  template <int Nr, int Bits, bool HasOffset, int Rows>
  [[gnu::always_inline]] void multiply(Index row) const {
    using L = Lanes<Nr>;
    using Tile = simd::Array<simd::Array<typename L::Floats, L::count>, Rows>;
    Tile sum = {};
    for (Index k = 0; k < panel.in; k += code_block) {
      const float* at = x + row * x_stride + k;
      Tile even = {}, odd = {};
      for_each_code<Nr, Bits>(
          panel, k,
          [&](int first, int i, int n, const typename L::Floats& code)
              __attribute__((always_inline)) {
                Tile& part = i % 2 == 0 ? even : odd;
#pragma GCC unroll 4
                for (int r = 0; r < Rows; ++r) {
                  part[r][n] = at[r * x_stride + first + i] * code + part[r][n];
                }
              });
      add_block<Nr, Bits, HasOffset>(row, k / code_block, even, odd, sum);
    }
    for (int r = 0; r < Rows; ++r) {
      for (int n = 0; n < L::count; ++n) L::store(sums + (row + r) * Nr + n * L::vl, sum[r][n]);
    }
  }

  template <int Nr, int Bits, bool HasOffset, class Tile>
  [[gnu::always_inline]] void add_block(Index row, Index block, const Tile& even, const Tile& odd,
                                        Tile& sum) const {
    using L = Lanes<Nr>;
    constexpr int rows = sizeof(Tile) / sizeof(sum[0]);
    for (int n = 0; n < L::count; ++n) {
      typename L::Floats scale = {}, offset;
      if constexpr (Bits != 16) L::load(panel.scales + block * Nr + n * L::vl, scale);
      if constexpr (HasOffset) L::load(panel.offsets + block * Nr + n * L::vl, offset);
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) {
        const typename L::Floats products = even[r][n] + odd[r][n];
        sum[r][n] = Bits == 16 ? products + sum[r][n] : scale * products + sum[r][n];
        if constexpr (HasOffset) {
          sum[r][n] = block_sums[(row + r) * (panel.in / code_block) + block] * offset + sum[r][n];
        }
      }
    }
  }
};

}  // namespace heed::models
