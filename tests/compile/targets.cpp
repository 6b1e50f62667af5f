// clang-format off
// expect: a target names its instruction set|.target_isa. was not declared|undeclared identifier .target_isa
// expect: a target provides Vec<R>, a register of vl<R> numbers
// expect: a target's tiles have at most max_mr rows and 4 registers of columns
// expect: a target provides Vec<R> fma.a, b, c.
// expect: a target provides Vec<R> maximum.a, b.
// expect: a target provides Vec<R> opaque.v.
// expect: a target provides Vec<float> from_half.p. and void to_half.v, p.
// expect: a target provides Vec<R> square_root.v.
// expect: a target provides multiply_words.a, b. of 64-bit lanes
// clang-format on
#include "heed/simd/table.hpp"

#pragma GCC diagnostic ignored "-Wold-style-cast"

namespace heed::simd::mine {

#if HEED_WRONG != 1
inline constexpr Isa target_isa = Isa::portable;
#endif
template <class R>
inline constexpr int vl = 16 / sizeof(R);
template <class R>
using Vec = typename Register<R, vl<R> / (HEED_WRONG == 2 ? 2 : 1)>::type;
template <class R>
inline constexpr int mr = HEED_WRONG == 3 ? max_mr + 1 : 4;
template <class R>
inline constexpr int vectors = 2;

#if HEED_WRONG != 4
template <class V>
HEED_INLINE V fma(V a, V b, V c) {
  return a * b + c;
}
#endif
#if HEED_WRONG != 5
template <class V>
HEED_INLINE V maximum(V a, V b) {
  return a > b ? a : b;
}
#endif
#if HEED_WRONG != 6
template <class V>
HEED_INLINE V opaque(V v) {
  return v;
}
#endif
#if HEED_WRONG != 8
template <class V>
HEED_INLINE V square_root(V v) {
  return v;
}
#endif
#if HEED_WRONG != 9
template <class V>
HEED_INLINE V multiply_words(V a, V b) {
  return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
}
#endif
template <class T>
HEED_INLINE Vec<float> from_half(const T* p) {
  return Vec<float>{} + static_cast<float>(p[0]);
}
#if HEED_WRONG != 7
template <class T>
HEED_INLINE void to_half(Vec<float> v, T* p) {
  p[0] = static_cast<T>(v[0]);
}
#endif

#include "heed/simd/target/kernels.inl"

}  // namespace heed::simd::mine

int main() { return heed::simd::mine::table<float>.tile_shape.mr - 4; }
