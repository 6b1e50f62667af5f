// Part of kernels.inl: dropout, a register of Philox counters at a time.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// A counter's word in the low half of each lane.
using Counters = typename Register<std::uint64_t, vl<double>>::type;

// Words of one pass.
inline constexpr int dropout_words = 4 * vl<double>;

// Lanes 2n and 2n + 1 of both, n from First on, in turn: a0 b0 a1 b1 …
template <int First, std::size_t... J>
HEED_INLINE Counters zip_lanes(Counters a, Counters b, std::index_sequence<J...>) {
#if defined(__clang__)
  return __builtin_shufflevector(
      a, b, (First + static_cast<int>(J / 2) + (J % 2 == 0 ? 0 : vl<double>))...);
#else  // as in shuffle_xor
  const decltype(a <
                 b) order = {(First + static_cast<int>(J / 2) + (J % 2 == 0 ? 0 : vl<double>))...};
  return __builtin_shuffle(a, b, order);
#endif
}

// words[4n + w] = word w of philox(key, {first[n], counter[1], counter[2], counter[3]}).
// The high halves of lanes hold anything meanwhile: products read the low ones alone.
HEED_INLINE void philox_words(std::uint64_t key, Counters first, const Words4& counter,
                              std::uint32_t* words) {
  constexpr std::uint64_t low = 0xFFFFFFFFu;
  std::uint64_t key0 = key & low, key1 = key >> 32;
  Counters c[4] = {first};
  for (int w = 1; w < 4; ++w) c[w] = Counters{} + counter[static_cast<std::size_t>(w)];
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const Counters product0 = multiply_words(c[0], Counters{} + 0xD2511F53u);
    const Counters product1 = multiply_words(c[2], Counters{} + 0xCD9E8D57u);
    c[0] = (product1 >> 32) ^ c[1] ^ key0;
    c[1] = product1;
    c[2] = (product0 >> 32) ^ c[3] ^ key1;
    c[3] = product0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  const Counters one = (c[0] & low) | (c[1] << 32), two = (c[2] & low) | (c[3] << 32);
  constexpr auto lanes = std::make_index_sequence<vl<double>>{};
  using Memory = typename Register<std::uint64_t, vl<double>>::unaligned;
  *reinterpret_cast<Memory*>(words) = zip_lanes<0>(one, two, lanes);
  *reinterpret_cast<Memory*>(words + dropout_words / 2) =
      zip_lanes<vl<double> / 2>(one, two, lanes);
}

// x · keep_scale where the word of x says that it is kept, else 0.
template <class T>
struct Drop {
  std::uint64_t least;
  Accum<T> scale;

  explicit Drop(const Dropout& dropout)
      : least(dropout.threshold), scale(static_cast<Accum<T>>(dropout.keep_scale)) {}
  bool keeps_none() const { return least > 0xFFFFFFFFu; }  // a share of 1

  HEED_INLINE T operator()(T x, std::uint32_t word) const {
    return static_cast<T>(select(word >= static_cast<std::uint32_t>(least),
                                 static_cast<Accum<T>>(x) * scale, Accum<T>(0)));
  }
};

// The counters of one pass over a row, and where the word of a column lies among those they make.
// Neighbours share a counter unless the step of keys is above 1: then each key has one of its own.
struct DropoutPass {
  std::uint32_t step;
  std::uint32_t first;  // column 0's key, before it is multiplied by step

  HEED_INLINE bool shares() const { return step == 1; }
  HEED_INLINE Index columns() const { return shares() ? dropout_words : vl<double>; }
  // Words of the first counter that belong to columns before column 0.
  HEED_INLINE Index before() const { return shares() ? first % 4 : 0; }
  HEED_INLINE std::uint32_t key(Index c) const {
    return (first + static_cast<std::uint32_t>(c)) * step;
  }
  // Of the columns from c on.
  HEED_INLINE Counters counters(Index c) const {
    Counters all = {};
    for (int n = 0; n < vl<double>; ++n) all[n] = key(c + (shares() ? 4 * n : n)) / 4;
    return all;
  }
  HEED_INLINE Index word(Index c, Index n) const { return shares() ? n : 4 * n + key(c + n) % 4; }
};

// x[r][c] becomes x · keep_scale where `dropout` keeps (b, h, i + r, j + c), else 0.
//   x   [rows, columns], rows `stride` apart
//   at  {j, i, h, b}
template <class T>
void drop(T* x, Index rows, Index columns, Index stride, const Dropout& dropout, const Words4& at) {
  const Drop<T> dropped(dropout);
  const DropoutPass pass{dropout.step, at[0]};
  Array<std::uint32_t, dropout_words> words;
  for (Index r = 0; r < rows; ++r, x += stride) {
    const std::uint32_t row = at[1] + static_cast<std::uint32_t>(r);
    for (Index c = -pass.before(); c < columns; c += pass.columns()) {
      philox_words(dropout.seed, pass.counters(c), {0, row, at[2], at[3]}, words);
      if (pass.shares() && c >= 0 && c + dropout_words <= columns && !dropped.keeps_none()) {
        for (int n = 0; n < dropout_words; ++n) x[c + n] = dropped(x[c + n], words[n]);
      } else {
        for (Index n = c < 0 ? -c : 0; n < pass.columns() && c + n < columns; ++n) {
          x[c + n] = dropped.keeps_none() ? T(0) : dropped(x[c + n], words[pass.word(c, n)]);
        }
      }
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
