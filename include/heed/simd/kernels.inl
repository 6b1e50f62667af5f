// The body of every kernel, included once per instruction set, inside a namespace and a region that
// names its instructions. The includer provides, for R float and double:
//
//   Vec<R>, width<R>                          a register and how many R it holds
//   fma(a, b, c)                              a·b + c, rounded once where the machine can
//   maximum(a, b)                             the larger one, b where either is NaN
//   fixed(v)                                  v, opaque to the optimiser (-ffast-math folds x+m−m)
//   from_half(p), to_half(v, p)               width<float> half-precision elements, in and out
//   rows<R>, vectors<R>                       the shape of a cell: rows × vectors registers
//
// Sums run in ascending order of their index in every kernel: a number does not depend on which
// group or cell it is computed in.

template <class R>
inline constexpr int panel = vectors<R>* width<R>;

template <class R>
inline constexpr Geometry geometry{rows<R>, panel<R>, width<R>};
static_assert(rows<float> <= most_rows && rows<double> <= most_rows);

using Words = typename Register<std::uint32_t, width<float>>::type;

template <class R>
HEED_INLINE Vec<R> load(const R* p) {
  return *reinterpret_cast<const typename Register<R, width<R>>::unaligned*>(p);
}

template <class R>
HEED_INLINE void store(R* p, Vec<R> v) {
  *reinterpret_cast<typename Register<R, width<R>>::unaligned*>(p) = v;
}

template <class R>
HEED_INLINE Vec<R> all(R x) {
  return x - Vec<R>{};
}

#include "heed/simd/conversion.inl"
#include "heed/simd/lanes.inl"
#include "heed/simd/packing.inl"
#include "heed/simd/products.inl"
#include "heed/simd/softmax.inl"

// These use those above.
#include "heed/simd/curves.inl"
#include "heed/simd/direct.inl"
#include "heed/simd/layers.inl"

// Lets a caller's functor rewrite a cell: compiled here, so that it is vectorised for this
// instruction set.
template <class R, class F, class Tile>
void rewrite(const F& f, R* cell, const Tile& tile) {
  f.template operator()<panel<R>>(cell, tile);
}

template <class T>
inline constexpr Kernels<T> table{
    geometry<Accum<T>>,    &load_rows<T>,         &pack_keys<T>,         &pack_values<T>,
    &all_finite<T>,        &dots<Accum<T>>,       &dots_direct<T>,       &all_seen<Accum<T>>,
    &softmax<Accum<T>>,    &accumulate<Accum<T>>, &accumulate_direct<T>, &accumulate_seen<Accum<T>>,
    &close_rows<Accum<T>>, &store_rows<T>};

template <class T>
inline constexpr LayerKernels<T> layer_table{geometry<Accum<T>>,  &pack_weight<T>, &pack_rows<T>,
                                             &multiply<Accum<T>>, &finish<T>,      &bend_row<T>,
                                             &normalise_row<T>};
