#include "models/digit_products.hpp"

#include <algorithm>

#if HEED_X86_PAIRS
#include <immintrin.h>

#define HEED_TARGET "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
#include "heed/simd/target/begin.inl"

namespace heed::models {
namespace {

constexpr int vl = 16, registers = 2, nr = registers * vl, digits = DigitBlock::count;
// Words from those that are read to those that are prefetched, 8 KiB. Measured (Zen 4, SmolLM2, ms
// of processor time a token): 2 KiB 5.4, 4 KiB 5.1, 8 KiB 4.9, 16 KiB 5.6.
constexpr Index ahead = 2048;
using Floats = simd::Register<float, vl>::type;
using Words = simd::Register<std::int32_t, vl>::type;

HEED_INLINE Floats load(const float* from) {
  return *reinterpret_cast<const simd::Register<float, vl>::unaligned*>(from);
}
HEED_INLINE Words load(const std::int32_t* from) {
  return *reinterpret_cast<const simd::Register<std::int32_t, vl>::unaligned*>(from);
}
HEED_INLINE void store(float* to, Floats x) {
  *reinterpret_cast<simd::Register<float, vl>::unaligned*>(to) = x;
}
HEED_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
HEED_INLINE Floats broadcast(float x) { return x - Floats{}; }
HEED_INLINE Words broadcast(std::int32_t x) { return x - Words{}; }

// Sums of four products of bytes, those of `code` unsigned and those of `digit` signed.
HEED_INLINE Words add_bytes(Words sum, Words code, Words digit) {
  return (Words)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)code, (__m512i)digit);
}
// The lowest byte of each word.
HEED_INLINE void store_bytes(std::int8_t* to, Words words) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)words));
}
HEED_INLINE std::int32_t sum_of(Words words) {
  std::int32_t sum = 0;
  for (int n = 0; n < vl; ++n) sum += words[n];
  return sum;
}

// Four digits as the word of each lane.
HEED_INLINE Words four_digits(const std::int8_t* from) {
  std::int32_t word = 0;
  __builtin_memcpy(&word, from, sizeof word);
  return broadcast(word);
}

// The bits of the largest magnitude; those of numbers that are not finite are above all others.
HEED_INLINE std::int32_t largest_bits(const float* x) {
  std::int32_t largest = 0;
  for (Index k = 0; k < code_block; ++k) {
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, x[k]) & 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

void split(const float* x, Index in, DigitBlock* blocks) {
  constexpr float limit = 127 * 65536;  // one above fits three digits, however it is rounded
  constexpr std::int32_t infinity = 0x7f800000, nan = 0x7fc00000, least = 0x0d800000;  // 2^-100
  for (Index k = 0; k < in; k += code_block) {
    DigitBlock& block = blocks[k / code_block];
    const std::int32_t bits = largest_bits(x + k);
    const bool some = bits >= least && bits < infinity;
    const float largest = __builtin_bit_cast(float, bits);
    const float per_scale = some ? limit / largest : 0;
    Words sum[digits] = {};
    for (int n = 0; n < registers; ++n) {
      Words rest = (Words)_mm512_maskz_cvtps_epi32(some ? 0xffff : 0,
                                                   load(x + k + n * vl) * broadcast(per_scale));
#pragma GCC unroll 4
      for (int d = 0; d < digits; ++d) {
        const Words higher = (rest + 128) >> 8;
        store_bytes(block.digits[d] + n * vl, rest);
        sum[d] += rest - (higher << 8);
        rest = higher;
      }
    }
    block.scale = bits >= infinity ? __builtin_bit_cast(float, nan) : some ? largest / limit : 0;
    for (int d = 0; d < digits; ++d) block.digit_sums[d] = sum_of(sum[d]);
    block.sum = block.scale * static_cast<float>(block.digit_sums[0] + 256 * block.digit_sums[1] +
                                                 65536 * block.digit_sums[2]);
  }
}

// Codes are multiplied as unsigned bytes, 8-bit codes as their distance from -128.
template <int Bits>
HEED_INLINE Words unsigned_bytes(Words word, int part) {
  if constexpr (Bits == 8) return word ^ static_cast<std::int32_t>(0x80808080U);
  return word >> (4 * part) & 0x0f0f0f0f;
}

// Sums of a block of codes, of each row, register and digit.
template <int Rows>
using BlockSums = simd::Array<simd::Array<simd::Array<Words, digits>, registers>, Rows>;

//   x  the block of the first row; those of the next ones are `stride` apart
template <int Bits, int Rows>
HEED_INLINE void multiply_block(const std::int32_t* words, const DigitBlock* x, Index stride,
                                BlockSums<Rows>& sum) {
  constexpr int in_word = 32 / Bits;
#pragma GCC unroll 32
  for (int i = 0; i < Rows * registers * digits; ++i) {
    const int r = i / (registers * digits), d = i % digits;
    sum[r][i / digits % registers][d] =
        broadcast(Bits == 8 ? -128 * x[r * stride].digit_sums[d] : 0);
  }
  // Unrolled, the prefetches of a block stand together: one thread then reads 8-bit codes at 0.74
  // of the reading rate, not at 0.93 (Zen 4).
#pragma GCC unroll 1
  for (int k = 0; k < code_block; k += in_word, words += nr) {
    Words word[registers];
#pragma GCC unroll 2
    for (int n = 0; n < registers; ++n) {
      __builtin_prefetch(words + n * vl + ahead);
      word[n] = load(words + n * vl);
    }
#pragma GCC unroll 2
    for (int part = 0; part < in_word / 4; ++part) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows * digits; ++i) {
        const int r = i / digits, d = i % digits;
        const Words four = four_digits(x[r * stride].digits[d] + k + 4 * part);
#pragma GCC unroll 2
        for (int n = 0; n < registers; ++n) {
          sum[r][n][d] = add_bytes(sum[r][n][d], unsigned_bytes<Bits>(word[n], part), four);
        }
      }
    }
  }
}

HEED_INLINE Floats join_digits(const simd::Array<Words, digits>& sum) {
  return fma(__builtin_convertvector(sum[2], Floats), broadcast(65536.0F),
             __builtin_convertvector((sum[1] << 8) + sum[0], Floats));
}

// sums [Rows, NR] = x · a panel, Σ over blocks of scale·Σ x·code + offset·Σ x.
template <int Bits, bool HasOffset, int Rows>
void multiply_rows(const CodePanel& panel, const DigitBlock* x, float* sums) {
  const Index blocks = panel.in / code_block;
  simd::Array<simd::Array<Floats, registers>, Rows> total = {};
  for (Index b = 0; b < blocks; ++b) {
    BlockSums<Rows> sum;
    multiply_block<Bits, Rows>(panel.words + b * Bits * nr, x + b, blocks, sum);
#pragma GCC unroll 32
    for (int i = 0; i < Rows * registers; ++i) {
      const int r = i / registers, n = i % registers;
      const DigitBlock& block = x[r * blocks + b];
      // The two scales' product may be denormal.
      const Floats products = join_digits(sum[r][n]) * broadcast(block.scale);
      total[r][n] = fma(load(panel.scales + b * nr + n * vl), products, total[r][n]);
      if constexpr (HasOffset) {
        const Floats offset = load(panel.offsets + b * nr + n * vl);
        total[r][n] = fma(offset, broadcast(block.sum), total[r][n]);
      }
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < Rows * registers; ++i) {
    store(sums + i * vl, total[i / registers][i % registers]);
  }
}

template <int Bits, bool HasOffset>
void multiply_kind(const CodePanel& panel, const DigitBlock* x, Index rows, float* sums) {
  const Index blocks = panel.in / code_block;
  while (rows > 0) {
    const Index some = std::min<Index>(rows, 3);  // whose sums fit the registers
    if (some == 3) multiply_rows<Bits, HasOffset, 3>(panel, x, sums);
    if (some == 2) multiply_rows<Bits, HasOffset, 2>(panel, x, sums);
    if (some == 1) multiply_rows<Bits, HasOffset, 1>(panel, x, sums);
    rows -= some;
    x += some * blocks;
    sums += some * nr;
  }
}

void multiply(const CodePanel& panel, const DigitBlock* x, Index rows, float* sums) {
  if (panel.bits == 4) return multiply_kind<4, true>(panel, x, rows, sums);
  if (panel.offsets != nullptr) return multiply_kind<8, true>(panel, x, rows, sums);
  multiply_kind<8, false>(panel, x, rows, sums);
}

}  // namespace
}  // namespace heed::models

#include "heed/simd/target/end.inl"
#endif  // HEED_X86_PAIRS

namespace heed::models {

const DigitKernels* digit_kernels([[maybe_unused]] Isa isa) {
#if HEED_X86_PAIRS
  static constexpr DigitKernels kernels{&split, &multiply};
  if (isa >= Isa::avx512_bf16) return &kernels;
#endif
  return nullptr;
}

}  // namespace heed::models
