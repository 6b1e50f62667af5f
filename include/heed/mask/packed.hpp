// Sequences of several lengths laid end to end, given by their cumulative lengths (cu_seqlens of
// flash-attention's varlen calls): each query sees the keys of its own sequence, and there what
// another mask allows, as if every sequence were a call of its own.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/core/span.hpp"
#include "heed/mask/combine.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

// The sequence that position `at` lies in: the last that begins at or before it.
HEED_DEVICE constexpr Index sequence_at(const Span<int>& ends, int at) {
  Index first = 0, last = ends.size() - 2;
  while (first < last) {
    const Index middle = (first + last + 1) / 2;
    if (ends[middle] <= at) {
      first = middle;
    } else {
      last = middle - 1;
    }
  }
  return first;
}

// Throws heed::Error unless the ends ascend from 0 to `length`.
inline void require_ends(const Span<int>& ends, Index length, const char* what) {
  std::string problem;
  if (ends.size() == 0) {
    problem = "are empty; they begin with 0";
  } else if (ends[0] != 0) {
    problem = "begin with " + std::to_string(ends[0]) + ", not 0";
  } else if (const int end = ends[ends.size() - 1]; end != length) {
    problem = "end with " + std::to_string(end) + ", but there are " + std::to_string(length);
  }
  for (Index n = 1; n < ends.size() && problem.empty(); ++n) {
    if (ends[n] >= ends[n - 1]) continue;
    problem = "fall from " + std::to_string(ends[n - 1]) + " to " + std::to_string(ends[n]) +
              " at index " + std::to_string(n);
  }
  if (problem.empty()) return;
  throw Error("heed::mask::packed: the cumulative lengths of the " + std::string(what) + " " +
              problem);
}

template <Mask M>
struct BoundPacked {
  Span<int> queries, keys;  // [sequences + 1]
  const M* inside;
  Shape shape;
  Index b, h;

  HEED_DEVICE bool allows(int i, int j) const {
    const Index n = sequence_at(queries, i);
    return j >= keys[n] && j < keys[n + 1] && mask_of(n).allows(i - queries[n], j - keys[n]);
  }

  // As exact as the mask inside. Costs O(log sequences), and asks it once a sequence of the tile.
  [[gnu::always_inline]] HEED_DEVICE Coverage coverage(Tile tile) const {
    const Index q_first = sequence_at(queries, tile.q_begin);
    const Index k_first = sequence_at(keys, tile.k_begin);
    const Index q_last = sequence_at(queries, tile.q_end - 1);
    const Index k_last = sequence_at(keys, tile.k_end - 1);
    const Index last = q_last < k_last ? q_last : k_last;
    for (Index n = q_first < k_first ? k_first : q_first; n <= last; ++n) {
      const Tile part{larger(tile.q_begin, queries[n]), smaller(tile.q_end, queries[n + 1]),
                      larger(tile.k_begin, keys[n]), smaller(tile.k_end, keys[n + 1])};
      if (part.q_begin >= part.q_end || part.k_begin >= part.k_end) continue;
      const Coverage found =
          mask_of(n).coverage({part.q_begin - queries[n], part.q_end - queries[n],
                               part.k_begin - keys[n], part.k_end - keys[n]});
      if (found == Coverage::Empty) continue;
      const bool whole = part.q_begin == tile.q_begin && part.q_end == tile.q_end &&
                         part.k_begin == tile.k_begin && part.k_end == tile.k_end;
      return whole ? found : Coverage::Partial;
    }
    return Coverage::Empty;
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      const Index n = sequence_at(queries, i);
      const int begin = smaller(larger(tile.k_begin, keys[n]), tile.k_end);
      const int end = larger(smaller(tile.k_end, keys[n + 1]), begin);
      for (int j = tile.k_begin; j < begin; ++j) allowed[j - tile.k_begin] = 0;
      if (begin < end) {
        const int row = i - queries[n];
        mask::fill(mask_of(n), {row, row + 1, begin - keys[n], end - keys[n]},
                   allowed + (begin - tile.k_begin), stride);
      }
      for (int j = end; j < tile.k_end; ++j) allowed[j - tile.k_begin] = 0;
    }
  }

 private:
  HEED_DEVICE auto mask_of(Index n) const {
    const Shape own = shape.part(queries[n + 1] - queries[n], keys[n + 1] - keys[n]);
    return mask::bind(*inside, own, b, h);
  }

  HEED_DEVICE static constexpr int smaller(int a, int b) { return a < b ? a : b; }
  HEED_DEVICE static constexpr int larger(int a, int b) { return a < b ? b : a; }
};

}  // namespace HEED_ABI

template <Mask M>
struct Packed {
  Span<int> queries, keys;  // [sequences + 1], ascending from 0 to Lq and to Lk
  M inside;

  HEED_DEVICE BoundPacked<M> bind(const Shape& shape, Index b, Index h) const {
    return {queries, keys, &inside, shape, b, h};
  }

  template <class Arena>
  auto to_device(Arena& arena) const {
    const Span<int> q = arena.copy(queries);
    const Span<int> k = keys.data() == queries.data() ? q : arena.copy(keys);
    auto there = mask::to_device(inside, arena);
    return Packed<decltype(there)>{q, k, there};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    require_ends(queries, shape.Lq, "queries");
    require_ends(keys, shape.Lk, "keys");
    if (queries.size() != keys.size()) {
      throw Error("heed::mask::packed: " + std::to_string(queries.size() - 1) +
                  " sequences of queries but " + std::to_string(keys.size() - 1) + " of keys");
    }
    for (Index n = 0; n + 1 < queries.size(); ++n) {
      mask::check(inside, shape.part(queries[n + 1] - queries[n], keys[n + 1] - keys[n]));
    }
  }
};

inline namespace HEED_ABI {

// Refers to the cumulative lengths: they must outlive the mask.
//
//   queries  [sequences + 1]   0, then the end of each sequence; equal neighbours: an empty one
//   keys     [sequences + 1]   the same, of the keys; the queries' where they are left out
//   inside   any mask, bound to each sequence as to a call of its lengths: mask::causal() aligns
//            the ends of each sequence's queries and keys
template <MaskLike M = None>
Packed<AsMask<M>> packed(BorrowedSpan<int> queries, BorrowedSpan<int> keys, const M& inside = {}) {
  return {queries, keys, as_mask(inside)};
}
template <MaskLike M = None>
Packed<AsMask<M>> packed(BorrowedSpan<int> lengths, const M& inside = {}) {
  return {lengths, lengths, as_mask(inside)};
}

// Where sequences of these lengths end, from 0 on: the cumulative lengths that `packed` wants.
// Throws heed::Error for a negative length and where their sum does not fit an int.
inline std::vector<int> cumulative(std::span<const int> lengths) {
  std::vector<int> ends{0};
  for (const int length : lengths) {
    int end = 0;
    if (length < 0 || __builtin_add_overflow(ends.back(), length, &end)) {
      throw Error("heed::mask::cumulative: a length of " + std::to_string(length) + " after " +
                  std::to_string(ends.back()) + " positions");
    }
    ends.push_back(end);
  }
  return ends;
}

}  // namespace HEED_ABI
}  // namespace heed::mask
