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

// Lane j is lane From(j) of a, or of b, whose lanes are counted on from a's.
template <class R, int (*From)(int), std::size_t... J>
HEED_INLINE Vec<R> pick_lanes(Vec<R> a, Vec<R> b, std::index_sequence<J...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, From(static_cast<int>(J))...);
#else  // as in shuffle_xor
  const decltype(a < b) order = {From(static_cast<int>(J))...};
  return __builtin_shuffle(a, b, order);
#endif
}

template <int Lanes, int Step>
constexpr int lane_without_step(int j) {
  return (j & Step) == 0 ? j : Lanes + j - Step;
}
template <int Lanes, int Step>
constexpr int lane_with_step(int j) {
  return (j & Step) == 0 ? j + Step : Lanes + j;
}

// Lanes of a whose number has the bit Step change places with those of b that do not have it.
template <class R, int Step, std::size_t... J>
HEED_INLINE void swap_blocks(Vec<R>& a, Vec<R>& b, std::index_sequence<J...> lanes) {
  const Vec<R> low = pick_lanes<R, lane_without_step<vl<R>, Step>>(a, b, lanes);
  b = pick_lanes<R, lane_with_step<vl<R>, Step>>(a, b, lanes);
  a = low;
}

template <int First>
constexpr int every_second_lane(int j) {
  return 2 * j + First;
}
template <int Lanes, int First>
constexpr int lane_of_both(int j) {
  return j % 2 * Lanes + First + j / 2;
}

// a and b, one behind the other, become the even lanes of both and the odd ones.
template <class R>
HEED_INLINE void unzip_lanes(Vec<R>& a, Vec<R>& b) {
  constexpr std::make_index_sequence<vl<R>> lanes;
  const Vec<R> even = pick_lanes<R, every_second_lane<0>>(a, b, lanes);
  b = pick_lanes<R, every_second_lane<1>>(a, b, lanes);
  a = even;
}

// Undoes it.
template <class R>
HEED_INLINE void zip_lanes(Vec<R>& a, Vec<R>& b) {
  constexpr std::make_index_sequence<vl<R>> lanes;
  const Vec<R> low = pick_lanes<R, lane_of_both<vl<R>, 0>>(a, b, lanes);
  b = pick_lanes<R, lane_of_both<vl<R>, vl<R> / 2>>(a, b, lanes);
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
