// Kernels for AVX-512 with its dot products of pairs of bfloat16 (BF16), and with AMX besides.
#pragma once

#include "heed/simd/isa.hpp"
#include "heed/simd/table.hpp"
#include "heed/simd/target/avx512.hpp"

#if HEED_X86_PAIRS
#include "heed/simd/target/intrinsics.hpp"

#define HEED_TARGET "avx512bf16,avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#include "heed/simd/target/begin.inl"

namespace heed::simd {
inline namespace HEED_ABI {
namespace avx512_bf16 {

// All that is not named here is AVX-512's.
using namespace avx512;  // NOLINT(google-build-using-namespace)

inline constexpr Isa target_isa = Isa::avx512_bf16;

// Once more, since their steps may be those of pairs, and their jobs those of codes.
#include "heed/simd/attention/ragged_tiles.inl"
#include "heed/simd/gemm/micro_kernel.inl"
#include "heed/simd/layer/products.inl"

#if HEED_X86_BUILTINS
HEED_INLINE Vec<float> add_pairs(Vec<float> a, Vec<float> b, Vec<float> c) {
  asm("vdpbf16ps {%2, %1, %0|%0, %1, %2}" : "+v"(c) : "v"(a), "vm"(b));
  return c;
}
HEED_INLINE Vec<float> round_pairs(Vec<float> low, Vec<float> high) {
  Vec<float> pairs;
  asm("vcvtne2ps2bf16 {%2, %1, %0|%0, %1, %2}" : "=v"(pairs) : "v"(high), "vm"(low));
  return pairs;
}
#else
HEED_INLINE Vec<float> add_pairs(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}
HEED_INLINE Vec<float> round_pairs(Vec<float> low, Vec<float> high) {
  return (Vec<float>)_mm512_cvtne2ps_pbh(high, low);
}
#endif

#include "heed/simd/gemm/bf16_pairs.inl"

// The layers of H = bfloat16: operands are pairs, all else is AVX-512's.
template <class H>
inline constexpr LayerKernels<float> layer_table_in_pairs =
    bf16_pairs_layers<float>(avx512::rounded_layer_table<H>);

// Sums of four products of bytes, those of `a` unsigned and those of `b` signed.
HEED_INLINE CodeWords add_bytes(CodeWords sum, CodeWords a, CodeWords b) {
#if HEED_X86_BUILTINS
  asm("vpdpbusd {%2, %1, %0|%0, %1, %2}" : "+v"(sum) : "v"(a), "vm"(b));
  return sum;
#else
  return (CodeWords)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#endif
}
// The smaller numbers; those of b where one is NaN.
HEED_INLINE Vec<float> minimum(Vec<float> a, Vec<float> b) {
#if HEED_X86_BUILTINS
  return __builtin_ia32_minps512_mask(a, b, Vec<float>{}, all_floats, current_rounding);
#else
  return _mm512_maskz_min_ps(0xffff, a, b);
#endif
}
// The lowest byte of each word.
HEED_INLINE void store_bytes(CodeWords words, std::uint8_t* to) {
  using Bytes = Register<std::uint8_t, vl<float>>;
  *reinterpret_cast<typename Bytes::unaligned*>(to) =
      __builtin_convertvector(words, typename Bytes::type);
}

#include "heed/simd/attention/code_products.inl"

}  // namespace avx512_bf16

#if HEED_X86_TILES
namespace amx {

// All that does not depend on MR is AVX-512's.
using namespace avx512;  // NOLINT(google-build-using-namespace)

inline constexpr Isa target_isa = Isa::amx;

// A tile of queries by two of keys.
template <class R>
inline constexpr int mr = 16;
template <class R>
inline constexpr TileShape tile_shape{mr<R>, nr<R>, vl<R>};

// With that MR: one that is not known when it is compiled costs 0.6 % of a call (Zen 4).
#include "heed/simd/attention/softmax.inl"

using avx512_bf16::round_pairs;

#include "heed/simd/target/amx_operations.inl"
// The products, which use these operations.
#include "heed/simd/gemm/amx_tiles.inl"

}  // namespace amx
#endif
}  // namespace HEED_ABI
}  // namespace heed::simd

#include "heed/simd/target/end.inl"

#endif  // HEED_X86_PAIRS
