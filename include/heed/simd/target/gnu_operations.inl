// Operations of kernels.inl in GNU vectors: for any VL on any machine.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

template <class V>
HEED_INLINE V fma(V a, V b, V c) {
  return a * b + c;
}

template <class V>
HEED_INLINE V maximum(V a, V b) {
  return a > b ? a : b;
}

template <class V>
HEED_INLINE V square_root(V v) {
  using R = std::remove_cvref_t<decltype(v[0])>;
  for (std::size_t n = 0; n < sizeof(V) / sizeof(R); ++n) {
    if constexpr (sizeof(R) == 4) {
      v[n] = __builtin_sqrtf(v[n]);
    } else {
      v[n] = __builtin_sqrt(v[n]);
    }
  }
  return v;
}

template <class V>
HEED_INLINE V multiply_words(V a, V b) {
#if defined(__SSE2__) && !defined(__clang__)  // g++ 12 multiplies 64 bits by 64, in pieces
  if constexpr (sizeof(V) == 16) {
    using Ints = Register<std::int32_t, 4>::type;
    return (V)__builtin_ia32_pmuludq128((Ints)a, (Ints)b);
  }
#endif
  return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
}

template <class V>
HEED_INLINE V opaque(V v) {
#if defined(__FAST_MATH__)
  asm("" : "+m"(v));
#endif
  return v;
}

template <class T>
HEED_INLINE Vec<float> from_half(const T* p) {
  Vec<float> v{};
  for (int n = 0; n < vl<float>; ++n) v[n] = static_cast<float>(p[n]);
  return v;
}

template <class T>
HEED_INLINE void to_half(Vec<float> v, T* p) {
  for (int n = 0; n < vl<float>; ++n) p[n] = static_cast<T>(v[n]);
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
