// Keys and values of one key head in codes: a scale each a token, and 4 or 8 codes in a word of 32
// bits, of neighbouring features of a key, of neighbouring tokens of values.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "heed/core/assert.hpp"
#include "heed/core/view.hpp"
#include "heed/kv/format.hpp"
#include "heed/simd/gemm/column_panels.hpp"
#include "heed/simd/table.hpp"

namespace heed::kv {

inline namespace HEED_ABI {

// The lowest bit of code e of a word. Codes of 4 bits stand in the low halves of four bytes, then
// in their high halves, so that a word's codes become bytes by one mask.
template <int Bits>
constexpr int code_shift(Index e) {
  return static_cast<int>(Bits == 8 ? 8 * e : e % 4 * 8 + e / 4 * 4);
}
// A code in a word: two's complement of 8 bits, or 4 bits above -8. Values of a negative scale have
// -1 - code in its place.
template <int Bits>
void set_code(std::uint32_t& word, Index e, int code) {
  constexpr std::uint32_t mask = (1U << Bits) - 1;
  const auto bits = static_cast<std::uint32_t>(Bits == 8 ? code : code + 8) & mask;
  word = (word & ~(mask << code_shift<Bits>(e))) | bits << code_shift<Bits>(e);
}
template <int Bits>
std::uint32_t bits_of_code(std::uint32_t word, Index e) {
  return word >> code_shift<Bits>(e) & ((1U << Bits) - 1);
}

// The scale of numbers whose largest becomes the code 127, or -8 of 4 bits, which gives them one
// code more. It is 0 for rows of denormal numbers.
template <int Bits>
float scale_of_codes(const float* x, Index n) {
  constexpr float least = 0x1p-100F;
  float largest = 0;
  for (Index d = 0; d < n; ++d) {
    if (std::abs(x[d]) > std::abs(largest)) largest = x[d];
  }
  if (std::abs(largest) < least) return 0;
  return Bits == 8 ? std::abs(largest) / 127 : largest / -8;
}
// The nearest code of x.
template <int Bits>
int code_of(float x, float per_scale) {
  const float code = x * per_scale;
  return std::min(static_cast<int>(code + (code < 0 ? -0.5F : 0.5F)), Bits == 8 ? 127 : 7);
}

// The signs that rows take before they are rotated, so that constant rows are spread too.
inline constexpr std::array<float, 64> row_signs = [] {
  std::array<float, 64> signs{};
  std::uint64_t digits = 0xB7E151628AED2A6BU;  // of e
  for (float& sign : signs) {
    sign = (digits & 1) == 0 ? 1.0F : -1.0F;
    digits >>= 1;
  }
  return signs;
}();
constexpr float sign_of(Index d) { return row_signs[static_cast<std::size_t>(d % 64)]; }

// Numbers that are rotated together: the largest power of 2 that divides D.
constexpr Index rotated_together(Index D) { return D == 0 ? 1 : D & -D; }

// x = H S x: signs, then Hadamard's matrix. Ashkboos et al., "QuaRot" (2024).
inline void rotate(const simd::CodeKernels& kernels, float* x, Index D) {
  for (Index d = 0; d < D; ++d) x[d] *= sign_of(d);
  kernels.hadamard(x, D / rotated_together(D), rotated_together(D));
}
// The inverse of rotate.
inline void rotate_back(const simd::CodeKernels& kernels, float* x, Index D) {
  kernels.hadamard(x, D / rotated_together(D), rotated_together(D));
  for (Index d = 0; d < D; ++d) x[d] *= sign_of(d);
}

// Memory of some tokens of a head; Word and Scale may be const. Tokens have room in groups of 32.
template <CodeFormat F, class Word = std::uint32_t, class Scale = float>
struct CodePanels {
  static constexpr int key_bits = F::key_bits, value_bits = F::value_bits;
  static constexpr Index keys_in_word = 32 / key_bits, values_in_word = 32 / value_bits;
  static constexpr Index group = 32;

  Word* k;          // [panels, D / keys_in_word, NR]
  Word* v;          // [tokens / values_in_word, columns]
  Scale* k_scales;  // [tokens]
  Scale* v_scales;
  Index D, Dv, nr;
  bool rotated;
  Scale* row;                        // [max(D, Dv)], room of a row that is stored
  const simd::CodeKernels& kernels;  // of the machine, whose NR the panels have

  // Words of so many tokens, a multiple of `group`.
  static Index key_words(Index D) { return (D + keys_in_word - 1) / keys_in_word; }
  static Index columns(Index Dv) { return (Dv + 15) / 16 * 16; }
  static Index key_room(Index tokens, Index D) { return checked_product(tokens, key_words(D)); }
  static Index value_room(Index tokens, Index Dv) {
    return checked_product(tokens / values_in_word, columns(Dv));
  }

  // Where words of token j begin; nothing without features.
  Word* key_words_of(Index j) const { return D == 0 ? k : key_panels().column(j); }
  Word* value_words_of(Index j) const { return Dv == 0 ? v : v + j / values_in_word * columns(Dv); }
  Word& key_word(Index j, Index d) const { return key_panels().at(d / keys_in_word, j); }
  Word& value_word(Index j, Index d) const { return value_words_of(j)[d]; }

  // Rows k [n, D] and v [n, Dv] become tokens [first, first + n).
  template <class K, class V>
  void store(Index first, const View<const K, 2>& k_rows, const View<const V, 2>& v_rows) const {
    for (Index j = 0; j < k_rows.extent[0]; ++j) {
      read_row(k_rows, j);
      store_key(first + j, row);
      read_row(v_rows, j);
      store_value(first + j, row);
    }
  }
  // Token j has the key x [D], or the value [Dv], rotated already.
  void store_key(Index j, const float* x) const {
    const float scale = scale_of_codes<key_bits>(x, D), per_scale = scale == 0 ? 0 : 1 / scale;
    k_scales[j] = scale;
    for (Index d = 0; d < D; ++d) {
      set_code<key_bits>(key_word(j, d), d % keys_in_word, code_of<key_bits>(x[d], per_scale));
    }
  }
  void store_value(Index j, const float* x) const {
    const float scale = scale_of_codes<value_bits>(x, Dv), per_scale = scale == 0 ? 0 : 1 / scale;
    v_scales[j] = scale;
    for (Index d = 0; d < Dv; ++d) {
      const int code = code_of<value_bits>(x[d], per_scale);
      set_code<value_bits>(value_word(j, d), j % values_in_word, scale < 0 ? -1 - code : code);
    }
  }

  // Tokens [first, first + count) of `from`, which may be these, become tokens from `to` on, which
  // are none behind them.
  template <class Other>
  void copy(const Other& from, Index first, Index count, Index to) const {
    if (first % group == 0 && to % group == 0) return copy_groups(from, first, count, to);
    for (Index n = 0; n < count; ++n) {
      const Index source = first + n, target = to + n;
      k_scales[target] = from.k_scales[source];
      v_scales[target] = from.v_scales[source];
      for (Index d = 0; d < D; ++d) {
        copy_code<key_bits>(from.key_word(source, d), d % keys_in_word, key_word(target, d),
                            d % keys_in_word);
      }
      for (Index d = 0; d < Dv; ++d) {
        copy_code<value_bits>(from.value_word(source, d), source % values_in_word,
                              value_word(target, d), target % values_in_word);
      }
    }
  }

  // Keys [first, first + count) as panels of numbers, values as rows; `first` begins a panel.
  void widen(Index first, Index count, float* keys, float* values) const {
    HEED_ASSERT(key_panels().place(first) == 0);
    const auto widen_keys = key_bits == 8 ? kernels.widen_keys_8 : kernels.widen_keys_4;
    const auto widen_values = value_bits == 8 ? kernels.widen_values_8 : kernels.widen_values_4;
    widen_keys(key_words_of(first), k_scales + first, KeyPanels::panels(count, nr), D, keys);
    widen_values(value_words_of(first), v_scales + first, count, Dv, columns(Dv), values);
  }
  // f(panel) for keys [first, first + count), NR at a time; `first` begins a panel.
  template <class Visitor>
  void for_each_panel(Index first, Index count, Visitor&& f) const {
    for (Index j = first; j < first + count; j += nr) {
      f(simd::CodePanel{key_words_of(j), value_words_of(j), k_scales + j, v_scales + j});
    }
  }

 private:
  using KeyPanels = simd::ColumnPanels<Word>;

  KeyPanels key_panels() const { return {k, key_words(D), nr}; }
  template <class X>
  void read_row(const View<const X, 2>& x, Index j) const {
    for (Index d = 0; d < x.extent[1]; ++d) row[d] = static_cast<float>(x(j, d));
    if (rotated) rotate(kernels, row, x.extent[1]);
  }
  template <int Bits>
  static void copy_code(std::uint32_t from, Index e, std::uint32_t& to, Index at) {
    constexpr std::uint32_t mask = (1U << Bits) - 1;
    to = (to & ~(mask << code_shift<Bits>(at))) | bits_of_code<Bits>(from, e)
                                                      << code_shift<Bits>(at);
  }
  template <class Other>
  void copy_groups(const Other& from, Index first, Index count, Index to) const {
    const Index tokens = (count + group - 1) / group * group;
    std::copy_n(from.k + key_room(first, D), key_room(tokens, D), k + key_room(to, D));
    std::copy_n(from.v + value_room(first, Dv), value_room(tokens, Dv), v + value_room(to, Dv));
    std::copy_n(from.k_scales + first, tokens, k_scales + to);
    std::copy_n(from.v_scales + first, tokens, v_scales + to);
  }
};

}  // namespace HEED_ABI
}  // namespace heed::kv
