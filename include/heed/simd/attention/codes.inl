// Part of kernels.inl: keys and values in codes of 8 or 4 bits (kv/code_panels.hpp), and the
// rotation that makes their features alike.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

using CodeWords = typename Register<std::int32_t, vl<float>>::type;

HEED_INLINE CodeWords load_words(const std::uint32_t* from) {
  return *reinterpret_cast<const typename Register<std::int32_t, vl<float>>::unaligned*>(from);
}

// Code e of each word (kv::code_shift).
template <int Bits>
HEED_INLINE Vec<float> code_of(CodeWords words, int e) {
  if constexpr (Bits == 8) {
    return __builtin_convertvector(words << (24 - 8 * e) >> 24, Vec<float>);
  } else {
    return __builtin_convertvector((words >> (e % 4 * 8 + e / 4 * 4) & 15) - 8, Vec<float>);
  }
}

// Numbers that 4-bit codes of values are above theirs. Those of a negative scale are negated in
// memory (kv::CodePanels), so that weights times scales are positive.
HEED_INLINE Vec<float> code_offset(Vec<float> scales) {
  return scales < 0.0F ? broadcast(7.0F) : broadcast(8.0F);
}

// Prefetch distance in words of codes that are widened: 6 KiB, as of panels of one query
// (panels.inl).
inline constexpr Index prefetched_words = 1536;

// to [panels, D, NR] = scale · code of keys.
//   words   [panels, D · Bits / 32 rounded up, NR]
//   scales  [panels, NR]
template <int Bits>
void widen_keys(const std::uint32_t* words, const float* scales, Index panels, Index D, float* to) {
  constexpr int in_word = 32 / Bits;
  constexpr int width = nr<float>;
  for (Index p = 0; p < panels; ++p, scales += width) {
    for (Index d = 0; d < D; d += in_word, words += width, to += in_word * width) {
      for (int n = 0; n < vectors<float>; ++n) {
        __builtin_prefetch(words + n * vl<float> + prefetched_words, 0, 2);
        const CodeWords word = load_words(words + n * vl<float>);
        const Vec<float> scale = load(scales + n * vl<float>);
#pragma GCC unroll 8
        for (int e = 0; e < in_word; ++e) {
          if (d + e < D) store(to + e * width + n * vl<float>, scale * code_of<Bits>(word, e));
        }
      }
    }
    to -= (D + in_word - 1) / in_word * in_word * width - D * width;
  }
}

// to [tokens, Dv] = scale · code of values.
//   words   [tokens · Bits / 32, columns], columns in whole registers
//   scales  [tokens]
template <int Bits>
void widen_values(const std::uint32_t* words, const float* scales, Index tokens, Index Dv,
                  Index columns, float* to) {
  constexpr int in_word = 32 / Bits;
  for (Index j = 0; j < tokens; j += in_word, words += columns, scales += in_word) {
    const Index real = tokens - j < in_word ? tokens - j : in_word;
    for (Index d = 0; d < Dv; d += vl<float>) {
      __builtin_prefetch(words + d + 8 * columns, 0, 2);
      const CodeWords word = load_words(words + d);
#pragma GCC unroll 8
      for (int e = 0; e < in_word; ++e) {
        if (e >= real) break;
        const Vec<float> code = code_of<Bits>(word, e);
        const Vec<float> number = broadcast(scales[e]) * (scales[e] < 0 ? -1.0F - code : code);
        float* at = to + (j + e) * Dv + d;
        if (d + vl<float> <= Dv) {
          store(at, number);
        } else {
          for (Index n = 0; n < Dv - d; ++n) at[n] = number[n];
        }
      }
    }
  }
}

template <int Step, int... J>
HEED_INLINE Vec<float> alternating(std::integer_sequence<int, J...>) {
  return Vec<float>{((J & Step) == 0 ? 1.0F : -1.0F)...};
}

// Sums and differences of lanes whose numbers differ in a bit, from `Step` down to 1.
template <int Step>
HEED_INLINE Vec<float> hadamard_lanes(Vec<float> v) {
  if constexpr (Step > 0) {
    const auto signs = alternating<Step>(std::make_integer_sequence<int, vl<float>>{});
    v = shuffle_xor<float, Step>(v, std::make_index_sequence<vl<float>>{}) + signs * v;
    v = hadamard_lanes<Step / 2>(v);
  }
  return v;
}

// x = H x / √size for each of the `count` runs of `size` numbers, a power of 2; H of Sylvester,
// symmetric and its own inverse. Time O(count · size · log size).
template <class R>
void hadamard(R* x, Index count, Index size) {
  const R factor = R(1) / square_root(broadcast<R>(static_cast<R>(size)))[0];
  for (; count > 0; --count, x += size) {
    for (Index d = 0; d < size; d += vl<R>) {
      if (d + vl<R> <= size) {
        store(x + d, load(x + d) * factor);
      } else {
        for (Index e = d; e < size; ++e) x[e] *= factor;
      }
    }
    Index step = size / 2;
    for (; step >= vl<R>; step /= 2) {
      for (Index first = 0; first < size; first += 2 * step) {
        for (R *low = x + first, *high = low + step; low < x + first + step;
             low += vl<R>, high += vl<R>) {
          const Vec<R> a = load(low), b = load(high);
          store(low, a + b);
          store(high, a - b);
        }
      }
    }
    if (size >= vl<R>) {
      for (Index d = 0; d < size; d += vl<R>) store(x + d, hadamard_lanes<vl<R> / 2>(load(x + d)));
      continue;
    }
    for (; step > 0; step /= 2) {
      for (Index d = 0; d < size; ++d) {
        if ((d & step) != 0) continue;
        const R a = x[d], b = x[d + step];
        x[d] = a + b;
        x[d + step] = a - b;
      }
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
