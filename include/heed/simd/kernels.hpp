// The kernels of this machine, picked once a call.
#pragma once

#if defined(__CUDACC__)  // which passes GCC's pragmas on, but says of each that it knows it not
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif
// (Vec)bits is how the compilers' vector extension reinterprets: not a cast of the old kind.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#include "heed/simd/target/avx2.hpp"
#include "heed/simd/target/avx512.hpp"
#include "heed/simd/target/avx512_bf16.hpp"
#include "heed/simd/target/portable.hpp"
#pragma GCC diagnostic pop
#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif

namespace heed::simd {

inline namespace HEED_ABI {

// Kernels whose packed words are elements.
template <class T>
const PackedKernels<T>& element_kernels(Isa isa) {
#if HEED_X86
  if (isa >= Isa::avx512) return avx512::table<T>;
  if (isa == Isa::avx2) return avx2::table<T>;
#endif
  return portable::table<T>;
}

// Kernels of a few queries with keys and values where they lie.
template <class T>
const UnpackedKernels<T>& unpacked_kernels(Isa isa) {
#if HEED_X86
  if (isa >= Isa::avx512) return avx512::unpacked_table<T>;
  if (isa == Isa::avx2) return avx2::unpacked_table<T>;
#endif
  return portable::unpacked_table<T>;
}

// Kernels of queries with keys in panels.
template <class T>
const PanelKernels<T>& panel_kernels(Isa isa) {
#if HEED_X86
  if (isa >= Isa::avx512) return avx512::panel_table<T>;
  if (isa == Isa::avx2) return avx2::panel_table<T>;
#endif
  return portable::panel_table<T>;
}

// The instruction set of packed_kernels: tiles multiply what sums in float, if they are granted.
template <class T>
Isa packed_isa(Isa isa) {
  if (isa != Isa::amx || (sizeof(Accum<T>) == sizeof(float) && tiles_are_granted())) return isa;
  return Isa::avx512;
}

// The fastest kernels for packed operands.
template <class T>
const PackedKernels<T>& packed_kernels(Isa isa) {
#if HEED_X86_TILES
  if constexpr (sizeof(Accum<T>) == sizeof(float)) {
    if (packed_isa<T>(isa) == Isa::amx) return amx::amx_table<T>();
  }
#endif
#if HEED_X86_PAIRS
  if constexpr (Element<T>::format == Format::bfloat16) {
    if (isa == Isa::avx512_bf16) return avx512_bf16::bf16_pairs_table<T>;
  }
#endif
  return element_kernels<T>(isa);
}

// Kernels of p·v that do not round p, for the score tiles of `packed`.
template <class T>
const PackedKernels<T>& exact_pv_kernels(const PackedKernels<T>& packed) {
  if constexpr (Element<T>::format == Format::bfloat16) {
#if HEED_X86_TILES
    if (packed.isa == Isa::amx) return amx::amx_bf16x3_table<T>;
#endif
    return element_kernels<T>(packed.isa);
  }
  return packed;
}

// Those of floats whose operands are rounded to H, where a machine multiplies H; else
// packed_kernels.
template <class H>
const PackedKernels<float>& rounded_packed_kernels(Isa isa) {
#if HEED_X86_PAIRS
  if constexpr (Element<H>::format == Format::bfloat16) {
    if (isa == Isa::avx512_bf16) return avx512_bf16::bf16_pairs_table<float>;
  }
#endif
  return packed_kernels<float>(isa);
}

// The instruction set of packed_kernels and gradient_kernels in a backward call: there are no
// gradients on AMX tiles.
inline Isa gradient_isa(Isa isa) { return isa == Isa::amx ? Isa::avx512 : isa; }

// Kernels of gradients, for the operands of packed_kernels<T>(isa).
//   isa  a gradient_isa
template <class T>
const GradientKernels<T>& gradient_kernels(Isa isa) {
#if HEED_X86_PAIRS
  if constexpr (Element<T>::format == Format::bfloat16) {
    if (isa == Isa::avx512_bf16) return avx512_bf16::bf16_pairs_gradient_table<T>;
  }
#endif
#if HEED_X86
  if (isa >= Isa::avx512) return avx512::gradient_table<T>;
  if (isa == Isa::avx2) return avx2::gradient_table<T>;
#endif
  return portable::gradient_table<T>;
}

// The same, for the operands of rounded_packed_kernels<H>(isa).
template <class H>
const GradientKernels<float>& rounded_gradient_kernels(Isa isa) {
#if HEED_X86_PAIRS
  if constexpr (Element<H>::format == Format::bfloat16) {
    if (isa == Isa::avx512_bf16) return avx512_bf16::bf16_pairs_gradient_table<float>;
  }
#endif
  return gradient_kernels<float>(isa);
}

// Kernels of keys and values in codes.
template <class R>
const CodeKernels& code_kernels(Isa isa) {
#if HEED_X86_PAIRS
  if (isa >= Isa::avx512_bf16) return avx512_bf16::code_product_table<R>;
#endif
#if HEED_X86
  if (isa >= Isa::avx512) return avx512::code_table<R>;
  if (isa == Isa::avx2) return avx2::code_table<R>;
#endif
  return portable::code_table<R>;
}

// Kernels of nn's layers.
template <class T>
const LayerKernels<T>& layer_kernels(Isa isa) {
#if HEED_X86
  if (isa >= Isa::avx512) return avx512::layer_table<T>;
  if (isa == Isa::avx2) return avx2::layer_table<T>;
#endif
  return portable::layer_table<T>;
}

// Kernels of layers of floats whose operands are rounded to H.
template <class H>
const LayerKernels<float>& rounded_layer_kernels(Isa isa) {
#if HEED_X86_PAIRS
  if constexpr (Element<H>::format == Format::bfloat16) {
    if (isa == Isa::avx512_bf16) return avx512_bf16::layer_table_in_pairs<H>;
  }
#endif
#if HEED_X86
  if (isa >= Isa::avx512) return avx512::rounded_layer_table<H>;
  if (isa == Isa::avx2) return avx2::rounded_layer_table<H>;
#endif
  return portable::rounded_layer_table<H>;
}

// f.operator()<NR>(args…) compiled for `isa`, as a pointer to a function (const F& f, Args… args).
// F is a template on NR alone; its loops over NR numbers are vectorised.
template <class R, class F, class... Args>
auto for_isa(Isa isa) {
  void (*chosen)(const F&, Args...) = &portable::call<R, F, Args...>;
#if HEED_X86
  if (isa >= Isa::avx512) chosen = &avx512::call<R, F, Args...>;
  if (isa == Isa::avx2) chosen = &avx2::call<R, F, Args...>;
#endif
  return chosen;
}

}  // namespace HEED_ABI
}  // namespace heed::simd

#if defined(HEED_EXTERN_KERNELS)
#include "heed/simd/extern_kernels.hpp"
#endif
