// The body of every kernel, included once per instruction set, inside a namespace and a region that
// names its instructions. contract.inl says what the includer provides.
//
// Sums run in ascending order of their index in every kernel: a number does not depend on which
// row tile or tile it is computed in.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

#include "heed/simd/target/contract.inl"

template <class R>
inline constexpr int nr = vectors<R>* vl<R>;

template <class R, int KPack = 1>
inline constexpr TileShape tile_shape{mr<R>, nr<R>, vl<R>, KPack};

using Words = typename Register<std::uint32_t, vl<float>>::type;

template <class R>
HEED_INLINE Vec<R> load(const R* p) {
  return *reinterpret_cast<const typename Register<R, vl<R>>::unaligned*>(p);
}

template <class R>
HEED_INLINE void store(R* p, Vec<R> v) {
  *reinterpret_cast<typename Register<R, vl<R>>::unaligned*>(p) = v;
}

template <class R>
HEED_INLINE Vec<R> broadcast(R x) {
  return x - Vec<R>{};
}

#include "heed/simd/lanes.inl"
// These use lanes.
#include "heed/simd/conversion.inl"
#include "heed/simd/dropout.inl"
// These use those above.
#include "heed/simd/attention/finalize.inl"
#include "heed/simd/attention/ragged_tiles.inl"
#include "heed/simd/attention/softmax.inl"
#include "heed/simd/gemm/micro_kernel.inl"
#include "heed/simd/gemm/pack.inl"
#include "heed/simd/layer/products.inl"
// And these use all of them.
#include "heed/simd/attention/decode.inl"
#include "heed/simd/attention/gradient.inl"
#include "heed/simd/attention/panels.inl"
#include "heed/simd/layer/activation.inl"
#include "heed/simd/layer/layers.inl"
// These use those.
#include "heed/simd/attention/codes.inl"
#include "heed/simd/layer/gradient.inl"
#include "heed/simd/layer/update.inl"

// Calls a functor that is compiled here, and so vectorised for this instruction set.
template <class R, class F, class... Args>
void call(const F& f, Args... args) {
  f.template operator()<nr<R>>(args...);
}

template <class T>
inline constexpr PackedKernels<T> table{
    .isa = target_isa,
    .tile_shape = tile_shape<Accum<T>>,
    .folds_scale = true,
    .gemm = {.qk = &qk<Accum<T>>, .pv = &pv<Accum<T>>, .pv_masked = &pv_masked<Accum<T>>},
    .pack_a = &pack_a<T>,
    .pack_b_transposed = &pack_b_transposed<T>,
    .pack_b = &pack_b<T>,
    .softmax = &softmax<Accum<T>>,
    .finalize_rows = &finalize_rows<Accum<T>>,
    .store_rows = &store_rows<T>,
    .store_unrounded = &store_rows<Accum<T>>,
    .drop = &drop<Accum<T>>};

template <class T>
inline constexpr UnpackedKernels<T> unpacked_table{.qk = &qk_unpacked<T>,
                                                   .pv = &pv_unpacked<T>,
                                                   .all_unmasked = &all_unmasked<Accum<T>>,
                                                   .all_finite = &all_finite<T>};

template <class T>
inline constexpr PanelKernels<T> panel_table{.qk = &qk_panels<T>,
                                             .qk_slices = &qk_slices<T>,
                                             .pv_slices = &pv_slices<T>,
                                             .to_rows = &panels_to_rows<T>};

template <class T>
inline constexpr GradientKernels<T> gradient_table{
    .sums = transposed_shape<Accum<T>>,
    .pv = &pv<Accum<T>>,
    .pv_masked = &pv_masked<Accum<T>>,
    .pv_transposed = &pv_transposed<Accum<T>>,
    .pv_transposed_masked = &pv_transposed_masked<Accum<T>>,
    .probabilities = &probabilities<Accum<T>>,
    .score_gradient = &score_gradient<Accum<T>>,
    .add_row_dots = &add_row_dots<Accum<T>>,
    .find_unmasked = &find_unmasked<Accum<T>>,
    .store_rows = &store_rows<T>};

template <class T>
inline constexpr LayerKernels<T> layer_table{.tile_shape = tile_shape<Accum<T>>,
                                             .pack_weight = &pack_weight<T>,
                                             .pack_rows = &pack_rows<T>,
                                             .multiply = &multiply<Accum<T>>,
                                             .pack_columns = &pack_columns<T>,
                                             .multiply_columns = &multiply_columns<Accum<T>>,
                                             .add_columns = &add_columns<T>,
                                             .finish = &finish<T>,
                                             .activate = &activate_row<T>,
                                             .activation_gradient = &activation_gradient_row<T>,
                                             .normalise = &normalise_row<T>,
                                             .normalise_gradient = &normalise_gradient_row<T>,
                                             .drop = &drop<T>,
                                             .sum_squares = &sum_squares<T>,
                                             .adam = &adam<Accum<T>>};

#include "heed/simd/layer/rounded.inl"

// A template, so that only programs that ask for it compile it.
template <class R>
inline constexpr CodeKernels code_table{.widen_keys_4 = &widen_keys<4>,
                                        .widen_keys_8 = &widen_keys<8>,
                                        .widen_values_4 = &widen_values<4>,
                                        .widen_values_8 = &widen_values<8>,
                                        .hadamard = &hadamard<R>};

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
