// Part of kernels.inl: what moves numbers between the lanes of registers, and sums over lanes.

// v with lanes whose numbers differ in the bit Step exchanged.
template <class R, int Step, std::size_t... J>
HEED_INLINE Vec<R> exchanged(Vec<R> v, std::index_sequence<J...>) {
#if defined(__clang__)
  return __builtin_shufflevector(v, v, (static_cast<int>(J) ^ Step)...);
#else  // nvcc, on its way to g++, loses the dots behind a pack that a built-in is given
  const decltype(v < v) order = {(static_cast<int>(J) ^ Step)...};
  return __builtin_shuffle(v, order);
#endif
}

// The largest lane, in every lane; NaN where one is met late enough.
template <class R, int Step = width<R> / 2>
HEED_INLINE Vec<R> highest(Vec<R> v) {
  v = maximum(v, exchanged<R, Step>(v, std::make_index_sequence<width<R>>{}));
  if constexpr (Step > 1) v = highest<R, Step / 2>(v);
  return v;
}

// The sum of the lanes, in every lane.
template <class R, int Step = width<R> / 2>
HEED_INLINE Vec<R> total(Vec<R> v) {
  v += exchanged<R, Step>(v, std::make_index_sequence<width<R>>{});
  if constexpr (Step > 1) v = total<R, Step / 2>(v);
  return v;
}

// Lanes of a whose number has the bit Step change places with those of b that do not have it.
template <class R, int Step, std::size_t... J>
HEED_INLINE void exchange(Vec<R>& a, Vec<R>& b, std::index_sequence<J...>) {
  constexpr int lanes = width<R>;
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

// Adds up the lanes of Count registers together: the sum of register c then is in the first ones,
// at sum_of(c).
template <class R, int Count, int Step = width<R> / 2>
HEED_INLINE void add_lanes(Vec<R>* x) {
  if constexpr (Count == 1 && Step > 0) x[0] = total<R, Step>(x[0]);
  if constexpr (Count > 1 && Step > 0) {
    constexpr int half = Count / 2;
#pragma GCC unroll 16
    for (int n = 0; n < half; ++n) {
      exchange<R, Step>(x[n], x[n + half], std::make_index_sequence<width<R>>{});
      x[n] += x[n + half];
    }
    add_lanes<R, half, Step / 2>(x);
  }
}
template <class R, int Count>
constexpr int sum_of(int c) {
  constexpr int registers = Count > width<R> ? Count / width<R> : 1;
  return c % registers * width<R> + c / registers * (registers * width<R> / Count);
}
