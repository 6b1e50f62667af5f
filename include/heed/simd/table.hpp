// The kernels of one instruction set, as a table of functions.
#pragma once

#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/simd/gemm/tile_shape.hpp"
#include "heed/simd/layer/layer.hpp"
#include "heed/simd/vector.hpp"

namespace heed::simd {

// Kernels for tensors of T, summed in R; each is documented at its definition: gemm/pack.inl,
// gemm/micro_kernel.inl, attention/decode.inl, attention/softmax.inl. Those of decode.inl are null
// in the tables of bf16 pairs and AMX (kernels() in kernels.hpp has them).
template <class T>
struct Kernels {
  using R = Accum<T>;

  TileShape tile_shape;
  // These return false where qk could turn an infinity into NaN (gemm/amx_tiles.inl).
  bool (*pack_a)(const View<const T, 2>& x, int count, R scale, R* to);
  bool (*pack_b_transposed)(const View<const T, 2>& x, int keys, R* to);
  bool (*pack_b)(const View<const T, 2>& x, int keys, Index capacity, R* to);
  bool (*all_finite)(const View<const T, 2>& x, int count);
  void (*qk)(const TileArgs<R>& args);
  void (*qk_unpacked)(const TileArgs<R>& args, const View<const T, 2>& k);
  bool (*all_unmasked)(const TileArgs<R>& args);
  void (*softmax)(const TileArgs<R>& args);
  void (*pv)(const TileArgs<R>& args);
  void (*pv_unpacked)(const TileArgs<R>& args, const View<const T, 2>& v);
  void (*pv_masked)(const TileArgs<R>& args, const std::uint8_t* unmasked);
  void (*finalize_rows)(R* max, R* sum, Index count);
  bool (*store_rows)(const R* acc, Index columns, int first, const R* factor, int count,
                     const View<T, 2>& x);
};

}  // namespace heed::simd
