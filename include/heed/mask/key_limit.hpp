// Masks under which a query sees a prefix of the keys: none, causal, padding, or both. They are all
// that sums over prefixes can serve.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/padding.hpp"

namespace heed::mask {
inline namespace HEED_ABI {

// Query i of a batch sees the keys [0, keys(i)).
struct KeyLimit {
  Index length;  // keys that there are and that are no padding
  Index offset;  // position of query 0 among the keys
  bool causal;

  constexpr Index keys(Index i) const {
    return causal ? std::clamp<Index>(i + offset + 1, 0, length) : length;
  }
};

constexpr KeyLimit key_limit(const None&, const Shape& shape, Index) {
  return {shape.keys(), 0, false};
}
constexpr KeyLimit key_limit(const Causal& causal, const Shape& shape, Index) {
  return {shape.keys(), query_0_position(causal.alignment, shape), true};
}
template <class Lengths>
constexpr KeyLimit key_limit(const BasicPadding<Lengths>& padding, const Shape& shape, Index b) {
  return {std::min<Index>(padding.lengths[b], shape.keys()), 0, false};
}

template <class A, class B>
constexpr KeyLimit key_limit(const And<A, B>& both, const Shape& shape, Index b) {
  const KeyLimit first = key_limit(both.a, shape, b);
  const KeyLimit second = key_limit(both.b, shape, b);
  return {std::min(first.length, second.length), first.offset + second.offset,
          first.causal || second.causal};
}

// The key limit of each batch entry, [B], of the shape that `shape_of_entry(b)` gives.
template <class M, class F>
std::vector<KeyLimit> key_limits_of(const M& mask, Index B, const F& shape_of_entry) {
  std::vector<KeyLimit> all;
  for (Index b = 0; b < B; ++b) all.push_back(key_limit(mask, shape_of_entry(b), b));
  return all;
}
template <class M>
std::vector<KeyLimit> key_limits_of(const M& mask, const Shape& shape) {
  return key_limits_of(mask, shape.B, [&](Index) { return shape; });
}

// Masks of padding alone.
template <class M>
inline constexpr bool is_padding_only = false;
template <>
inline constexpr bool is_padding_only<None> = true;
template <class Lengths>
inline constexpr bool is_padding_only<BasicPadding<Lengths>> = true;

template <class M>
inline constexpr bool is_prefix_mask = is_padding_only<M>;
template <>
inline constexpr bool is_prefix_mask<Causal> = true;
template <class Lengths>
inline constexpr bool is_prefix_mask<And<Causal, BasicPadding<Lengths>>> = true;
template <class Lengths>
inline constexpr bool is_prefix_mask<And<BasicPadding<Lengths>, Causal>> = true;

}  // namespace HEED_ABI
}  // namespace heed::mask
