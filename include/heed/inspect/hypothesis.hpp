// Hypothesis: attention with one of the usual mistakes, or with two of them, to compare other
// code's numbers with.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/shape.hpp"

namespace heed::inspect {

// Mistakes with the mask.
enum class MaskUse {
  hide,
  ignore,
  invert,
  transpose,
  zero_score,
  after_softmax,
  one_key_less,
  one_key_more,
  add
};

// Whose product a score is.
enum class ProductUse { rows, exchanged, k_transposed, heads_by_view };

// The matrix that the weights multiply.
enum class ValueUse { values, keys, transposed };

// One way to compute weights: the right one, or the right one with one mistake.
struct Hypothesis {
  const char* sentence;
  MaskUse mask = MaskUse::hide;
  bool scaled = true;           // by the call's scale; else by 1
  bool scaled_again = false;    // by the scale twice
  bool scale_inverted = false;  // by 1 / scale
  bool modified = true;         // by the score modifiers
  bool over_keys = true;        // the softmax; else over queries
  bool softmax_again = false;
  ProductUse product = ProductUse::rows;
  ValueUse value = ValueUse::values;  // of an output

  bool right_scale() const { return scaled && !scaled_again && !scale_inverted; }
  bool right_softmax() const { return over_keys && !softmax_again; }
};

inline namespace HEED_ABI {

namespace suspect {

inline constexpr std::array<Hypothesis, 16> mistakes{{
    {.sentence = "The scores are not scaled: multiply q k by 1/sqrt(D) before the softmax",
     .scaled = false},
    {.sentence = "The scores are scaled twice", .scaled_again = true},
    {.sentence = "The scores are multiplied by sqrt(D) instead of divided", .scale_inverted = true},
    {.sentence = "The softmax runs over the queries: normalise each row, over the keys (the last "
                 "dimension)",
     .over_keys = false},
    {.sentence = "The softmax is applied twice", .softmax_again = true},
    {.sentence = "The mask is inverted: true must mean attend", .mask = MaskUse::invert},
    {.sentence = "The mask is not applied", .mask = MaskUse::ignore},
    {.sentence = "The mask is transposed: rows are queries, columns are keys",
     .mask = MaskUse::transpose},
    {.sentence =
         "Masked scores are set to 0: exp(0) is 1, so they still get weight; set them to -inf",
     .mask = MaskUse::zero_score},
    {.sentence = "The mask is applied after the softmax: rows no longer sum to 1; mask the scores",
     .mask = MaskUse::after_softmax},
    {.sentence =
         "The mask is off by one: a query misses the last key it may see (causal is j <= i, "
         "not j < i)",
     .mask = MaskUse::one_key_less},
    {.sentence = "The mask is off by one: a query sees one key too many (causal is j <= i, not "
                 "j <= i + 1)",
     .mask = MaskUse::one_key_more},
    {.sentence = "A Boolean mask is added to the scores: that adds 0 or 1 and hides nothing; an "
                 "additive mask is 0 or -inf",
     .mask = MaskUse::add},
    {.sentence = "The score modifiers are left out", .modified = false},
    {.sentence = "q and k are exchanged", .product = ProductUse::exchanged},
    {.sentence =
         "k is multiplied without its transpose: the product is q k, not q kT; Lk = D hides "
         "it",
     .product = ProductUse::k_transposed},
}};

// Mistakes that only inputs of several heads, or an output, can show.
inline constexpr Hypothesis heads_by_view{
    .sentence =
        "The heads are split by a view of [B, L, H D] as [B, H, L, D], which mixes "
        "positions: view it as [B, L, H, D] and transpose, or pass heed::blhd",
    .product = ProductUse::heads_by_view};

inline constexpr std::array<Hypothesis, 2> value_mistakes{{
    {.sentence = "The weights are multiplied by k instead of v", .value = ValueUse::keys},
    {.sentence = "The weights are transposed before they are multiplied by v",
     .value = ValueUse::transposed},
}};

// True where a call of this shape can have the mistake.
inline bool fits(const Hypothesis& way, const Shape& s) {
  const bool one_length = s.Lq == s.Lk, one_head_count = s.Hq == s.Hkv;
  if (way.product == ProductUse::exchanged && !(one_length && one_head_count)) return false;
  if (way.product == ProductUse::k_transposed && s.Lk != s.D) return false;
  if (way.product == ProductUse::heads_by_view && s.Hq == 1) return false;
  if (way.value == ValueUse::keys && s.D != s.Dv) return false;
  if (way.value == ValueUse::transposed && !one_length) return false;
  return way.mask != MaskUse::transpose || one_length;
}

// Both mistakes at once; none where they concern the same step.
inline std::optional<Hypothesis> both(const Hypothesis& a, const Hypothesis& b) {
  Hypothesis way = a;
  if (b.mask != MaskUse::hide) {
    if (a.mask != MaskUse::hide) return std::nullopt;
    way.mask = b.mask;
  }
  if (!b.right_scale()) {
    if (!a.right_scale()) return std::nullopt;
    way.scaled = b.scaled, way.scaled_again = b.scaled_again, way.scale_inverted = b.scale_inverted;
  }
  if (!b.right_softmax()) {
    if (!a.right_softmax()) return std::nullopt;
    way.over_keys = b.over_keys, way.softmax_again = b.softmax_again;
  }
  if (b.product != ProductUse::rows) {
    if (a.product != ProductUse::rows) return std::nullopt;
    way.product = b.product;
  }
  if (b.value != ValueUse::values) {
    if (a.value != ValueUse::values) return std::nullopt;
    way.value = b.value;
  }
  way.modified = a.modified && b.modified;
  return way;
}

// A hypothesis under test, and how far it is from what was given.
struct Trial {
  Hypothesis way;
  std::string text;
  double off = 0;
};

inline std::vector<Trial> single_trials(const Shape& shape, bool of_output) {
  std::vector<Trial> trials;
  const auto add = [&](const Hypothesis& way) {
    if (fits(way, shape)) trials.push_back({way, way.sentence});
  };
  for (const Hypothesis& way : mistakes) add(way);
  add(heads_by_view);
  if (of_output) {
    for (const Hypothesis& way : value_mistakes) add(way);
  }
  return trials;
}

inline std::vector<Trial> double_trials(const std::vector<Trial>& singles) {
  std::vector<Trial> trials;
  for (std::size_t n = 0; n < singles.size(); ++n) {
    for (std::size_t m = 0; m < n; ++m) {
      const auto way = both(singles[m].way, singles[n].way);
      if (way) trials.push_back({*way, singles[m].text + ". And: " + singles[n].text});
    }
  }
  return trials;
}

}  // namespace suspect
}  // namespace HEED_ABI
}  // namespace heed::inspect
