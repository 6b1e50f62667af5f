// The kernels of one instruction set, as tables of functions.
#pragma once

#include <optional>

#include "heed/core/random.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/simd/attention/row_state.hpp"
#include "heed/simd/gemm/gemm.hpp"
#include "heed/simd/isa.hpp"
#include "heed/simd/layer/layer.hpp"
#include "heed/simd/vector.hpp"

namespace heed::simd {

// Kernels for tensors of T that are packed and summed in R. Each is documented at its definition:
// gemm/pack.inl, attention/softmax.inl.
template <class T>
struct PackedKernels {
  using R = Accum<T>;

  Isa isa;  // whose instructions they are
  TileShape tile_shape;
  bool folds_scale;  // pack_a multiplies by the scale, else PackedA has it: bfloat16 would be
                     // rounded
  GemmKernels<R> gemm;
  // These return false where qk could turn an infinity into NaN (gemm/amx_tiles.inl).
  bool (*pack_a)(const View<const T, 2>& x, R scale, const PackedA<R>& to);
  bool (*pack_b_transposed)(const View<const T, 2>& x, const PackedB<R>& to);
  bool (*pack_b)(const View<const T, 2>& x, const PackedB<R>& to);
  void (*softmax)(const ScoreTiles<R>& scores, const RowState<R>& state);
  void (*finalize_rows)(R* max, R* sum, Index count);
  bool (*store_rows)(const Accumulator<const R>& acc, Index first, const R* factor,
                     const View<T, 2>& x);
  bool (*store_unrounded)(const Accumulator<const R>& acc, Index first, const R* factor,
                          const View<R, 2>& x);
  void (*drop)(R* x, Index rows, Index columns, Index stride, const Dropout& dropout,
               const Words4& at);  // dropout.inl
};

// Products of a few queries with keys and values where they lie, as in decoding; documented in
// attention/decode.inl. Queries are packed by the elements' kernels.
template <class T>
struct UnpackedKernels {
  using R = Accum<T>;

  void (*qk)(const PackedA<const R>& q, const View<const T, 2>& k, const ScoreTiles<R>& scores);
  void (*pv)(const ScoreTiles<R>& p, const View<const T, 2>& v, const Accumulator<R>& acc);
  bool (*all_unmasked)(const ScoreTiles<R>& scores);
  bool (*all_finite)(const View<const T, 2>& x);
};

// VL keys and their values where they lie: columns of a panel of keys, and rows of values.
template <class T>
struct KvSlice {
  const T* k;  // [D, width]
  const T* v;  // [VL, Dv]
};

// Keys that lie in panels of T, as in a cache: their product with queries, products with keys and
// values in slices, and the first features of keys as rows; documented in attention/panels.inl.
// Calls of dense keys do without, and files with such calls alone.
template <class T>
struct PanelKernels {
  using R = Accum<T>;

  void (*qk)(const PackedA<const R>& q, const T* k, const ScoreTiles<R>& scores);
  void (*qk_slices)(const PackedA<const R>& q, const KvSlice<T>* k, Index width,
                    const ScoreTiles<R>& scores);
  void (*pv_slices)(const ScoreTiles<R>& p, const KvSlice<T>* v, Index Dv,
                    const Accumulator<R>& acc);
  void (*to_rows)(const T* k, Index D, const View<T, 2>& v);
};

// Products of gradients, dS·k, pᵀ·dO and dSᵀ·q, documented in gemm/micro_kernel.inl and
// gemm/bf16_pairs_gradient.inl, and the softmax's gradient, in attention/gradient.inl. Operands are
// packed by packed_kernels<T>(gradient_isa(isa)).
template <class T>
struct GradientKernels {
  using R = Accum<T>;

  TileShape sums;  // of pv_transposed's c, whose rows are the columns of the scores
  void (*pv)(const ScoreTiles<R>& a, const PackedB<const R>& b, const Accumulator<R>& c);
  void (*pv_masked)(const ScoreTiles<R>& a, const PackedB<const R>& b, const std::uint8_t* unmasked,
                    const Accumulator<R>& c);
  void (*pv_transposed)(const ScoreTiles<R>& a, const PackedB<const R>& b, const Accumulator<R>& c);
  void (*pv_transposed_masked)(const ScoreTiles<R>& a, const PackedB<const R>& b,
                               const std::uint8_t* unmasked, const Accumulator<R>& c);
  void (*probabilities)(const ScoreTiles<R>& scores, const R* lse);
  void (*score_gradient)(const ScoreTiles<R>& p, const ScoreTiles<R>& d_p, const R* delta);
  void (*add_row_dots)(const ScoreTiles<R>& p, const ScoreTiles<R>& d_p, R* delta);
  void (*find_unmasked)(const ScoreTiles<R>& p, std::uint8_t* unmasked);
  bool (*store_rows)(const Accumulator<const R>& c, Index first, const R* factor,
                     const View<T, 2>& x);
};

// Codes of NR tokens, as kv/code_panels.hpp has them.
struct CodePanel {
  const std::uint32_t *k, *v;
  const float *k_scales, *v_scales;
};

// Products on codes of 4 or of 8 bits, documented in attention/code_products.inl.
struct CodeProducts {
  void (*pack_queries)(float* x, Index rows, Index D);  // in place
  void (*qk)(const PackedA<const float>& q, const CodePanel* panels,
             const ScoreTiles<float>& scores);
  void (*pv)(const ScoreTiles<float>& p, const CodePanel* panels, const Accumulator<float>& acc);
};

// Products on codes, of a machine that sums products of bytes.
struct ByteProducts {
  CodeProducts of_4, of_8;

  template <int Bits>
  const CodeProducts& of() const {
    return Bits == 8 ? of_8 : of_4;
  }
};

// Keys and values in codes, as numbers; documented in attention/codes.inl. Those of bits are for 4
// and for 8.
struct CodeKernels {
  using WidenKeys = void (*)(const std::uint32_t* words, const float* scales, Index panels, Index D,
                             float* to);
  using WidenValues = void (*)(const std::uint32_t* words, const float* scales, Index tokens,
                               Index Dv, Index columns, float* to);

  WidenKeys widen_keys_4, widen_keys_8;
  WidenValues widen_values_4, widen_values_8;
  void (*hadamard)(float* x, Index count, Index size);
  std::optional<ByteProducts> products{};  // where the machine has them

  // True where keys of D codes are multiplied as they are. Packed queries need the place of 16
  // numbers.
  bool multiply_codes(Index D) const {
    return products.has_value() && D >= 16 && D <= max_code_dim;
  }
  static constexpr Index max_code_dim = 1024;
};

}  // namespace heed::simd
