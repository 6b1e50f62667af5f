// Part of kernels.inl: elements of any type in and out of registers.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// vl<R> elements of any type as R.
template <class R, class T>
HEED_INLINE Vec<R> load_as(const T* from) {
  if constexpr (std::is_same_v<R, T>) {
    return load(from);
  } else if constexpr (Element<T>::format == Format::bfloat16) {
    using Short = Register<std::uint16_t, vl<R>>;
    using Bits = typename Register<std::uint32_t, vl<R>>::type;
    const auto upper = *reinterpret_cast<const typename Short::unaligned*>(from);
    return (Vec<R>)(__builtin_convertvector(upper, Bits) << 16);
  } else {
    return from_half(from);
  }
}

// True where N registers are read by pairs: of bfloat16, one load, a shift and a mask give the even
// elements and the odd ones, where load_as has two loads, two widenings and two shifts. Zen 4, 512
// keys in L2, D 128, a call of 4 rows: 0.82 of the time over a cache, 0.95 dense (AVX2: 0.76,
// 0.91); of one row over a cache 0.74. Widening by vpermw would cost 1.13 times the pair.
template <class R, class T, int N>
inline constexpr bool by_pairs =
    Element<T>::format == Format::bfloat16 && !std::is_same_v<R, T> && N % 2 == 0;

// N registers of elements, in the order of unzip_lanes where they are read by pairs.
template <class R, class T, int N>
HEED_INLINE void load_pairs(const T* from, Array<Vec<R>, N>& to) {
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    if constexpr (by_pairs<R, T, N>) {
      using Shorts = Register<std::uint16_t, 2 * vl<R>>;
      using Bits = typename Register<std::uint32_t, vl<R>>::type;
      const auto* pairs =
          reinterpret_cast<const typename Shorts::unaligned*>(from + n / 2 * 2 * vl<R>);
      const typename Shorts::type shorts = *pairs;
      const auto words = (Bits)shorts;
      to[n] = n % 2 == 0 ? (Vec<R>)(words << 16) : (Vec<R>)(words & 0xffff0000u);
    } else {
      to[n] = load_as<R>(from + n * vl<R>);
    }
  }
}

// Numbers to the order of load_pairs, and back.
template <class R, class T, int N>
HEED_INLINE void split_pairs(Array<Vec<R>, N>& x) {
  if constexpr (by_pairs<R, T, N>) {
#pragma GCC unroll 16
    for (int n = 0; n < N; n += 2) unzip_lanes<R>(x[n], x[n + 1]);
  }
}
template <class R, class T, int N>
HEED_INLINE void join_pairs(Array<Vec<R>, N>& x) {
  if constexpr (by_pairs<R, T, N>) {
#pragma GCC unroll 16
    for (int n = 0; n < N; n += 2) zip_lanes<R>(x[n], x[n + 1]);
  }
}

// Rounds to nearest, ties to even; NaN stays NaN.
template <class R, class T>
HEED_INLINE void store_as(Vec<R> v, T* to) {
  if constexpr (std::is_same_v<R, T>) {
    store(to, v);
  } else if constexpr (Element<T>::format == Format::bfloat16) {
    using Short = Register<std::uint16_t, vl<R>>;
    using Bits = typename Register<std::uint32_t, vl<R>>::type;
    const Bits bits = (Bits)v;
    const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Bits quiet = (bits >> 16) | 0x40u;
    const Bits chosen = (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
    *reinterpret_cast<typename Short::unaligned*>(to) =
        __builtin_convertvector(chosen, typename Short::type);
  } else {
    to_half(v, to);
  }
}

// `count` ≤ width elements, the rest 0. A register and not an array where it can be: g++ below 14
// misaligns arrays of 64 bytes under -fsanitize=address (GCC PR 110027).
template <class R, class T>
HEED_INLINE Vec<R> load_some_as(const T* from, Index step, Index count) {
  if (step == 1 && count >= vl<R>) return load_as<R>(from);
  std::conditional_t<std::is_same_v<R, T>, Vec<R>, Array<T, vl<R>>> some = {};
  for (Index n = 0; n < count && n < vl<R>; ++n) some[n] = from[n * step];
  if constexpr (std::is_same_v<R, T>) {
    return some;
  } else {
    return load_as<R>(some);
  }
}

// The largest exponent of the numbers it is given.
template <class R>
struct Exponents {
  using Bits = typename Register<SignedBitsOf<R>, vl<R>>::type;
  static constexpr SignedBitsOf<R> mask = static_cast<SignedBitsOf<R>>(Exp2<R>::bias * 2 + 1)
                                          << Exp2<R>::mantissa;
  Bits largest;

  HEED_INLINE void add(Vec<R> v) {
    const Bits exponent = (Bits)v & mask;
    largest = exponent > largest ? exponent : largest;
  }
  // True where none of them was NaN or infinite.
  HEED_INLINE bool finite() const {
    for (int n = 0; n < vl<R>; ++n) {
      if (largest[n] == mask) return false;
    }
    return true;
  }
};

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
