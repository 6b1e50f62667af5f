// Part of kernels.inl: what moves numbers between the lanes of registers, and sums over lanes.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// v with lanes whose numbers differ in the bit Step exchanged.
template <class R, int Step, std::size_t... J>
HEED_INLINE Vec<R> shuffle_xor(Vec<R> v, std::index_sequence<J...>) {
#if defined(__clang__)
  return __builtin_shufflevector(v, v, (static_cast<int>(J) ^ Step)...);
#else  // nvcc, on its way to g++, loses the dots behind a pack that a built-in is given
  const decltype(v < v) order = {(static_cast<int>(J) ^ Step)...};
  return __builtin_shuffle(v, order);
#endif
}

// The largest lane, in every lane; NaN where one is met late enough.
template <class R, int Step = vl<R> / 2>
HEED_INLINE Vec<R> reduce_max(Vec<R> v) {
  v = maximum(v, shuffle_xor<R, Step>(v, std::make_index_sequence<vl<R>>{}));
  if constexpr (Step > 1) v = reduce_max<R, Step / 2>(v);
  return v;
}

// The sum of the lanes, in every lane.
template <class R, int Step = vl<R> / 2>
HEED_INLINE Vec<R> reduce_add(Vec<R> v) {
  v += shuffle_xor<R, Step>(v, std::make_index_sequence<vl<R>>{});
  if constexpr (Step > 1) v = reduce_add<R, Step / 2>(v);
  return v;
}

// Lanes of a whose number has the bit Step change places with those of b that do not have it.
template <class R, int Step, std::size_t... J>
HEED_INLINE void swap_blocks(Vec<R>& a, Vec<R>& b, std::index_sequence<J...>) {
  constexpr int lanes = vl<R>;
#if defined(__clang__)
  const Vec<R> low = __builtin_shufflevector(
      a, b, ((J & Step) == 0 ? static_cast<int>(J) : lanes + static_cast<int>(J) - Step)...);
  b = __builtin_shufflevector(
      a, b, ((J & Step) == 0 ? static_cast<int>(J) + Step : lanes + static_cast<int>(J))...);
#else  // as in exchanged
  const decltype(a < b) first = {
      ((J & Step) == 0 ? static_cast<int>(J) : lanes + static_cast<int>(J) - Step)...};
  const decltype(a < b) second = {
      ((J & Step) == 0 ? static_cast<int>(J) + Step : lanes + static_cast<int>(J))...};
  const Vec<R> low = __builtin_shuffle(a, b, first);
  b = __builtin_shuffle(a, b, second);
#endif
  a = low;
}

// Two registers joined lane by lane.
struct JoinBySum {
  template <class V>
  HEED_INLINE static V join(V a, V b) {
    return a + b;
  }
};
struct JoinByMax {
  template <class V>
  HEED_INLINE static V join(V a, V b) {
    return maximum(a, b);
  }
};

// Joins the lanes of Count registers together. The result of register c is then number
// joined_at(c) of the first registers.
template <class Join, class R, int Count, int Step = vl<R> / 2>
HEED_INLINE void reduce_n(Vec<R>* x) {
  if constexpr (Step > 0) {
    constexpr int half = Count == 1 ? 1 : Count / 2;
#pragma GCC unroll 16
    for (int n = 0; n < half; ++n) {
      Vec<R> other = x[n];
      if constexpr (Count == 1) {
        other = shuffle_xor<R, Step>(other, std::make_index_sequence<vl<R>>{});
      } else {
        other = x[n + half];
        swap_blocks<R, Step>(x[n], other, std::make_index_sequence<vl<R>>{});
      }
      x[n] = Join::join(x[n], other);
    }
    reduce_n<Join, R, half, Step / 2>(x);
  }
}
template <class R, int Count>
constexpr int joined_at(int c) {
  constexpr int registers = Count > vl<R> ? Count / vl<R> : 1;
  return c % registers * vl<R> + c / registers * (registers * vl<R> / Count);
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
