// The best keys of a row, found while its scores pass by.
//
// A row keeps candidates that beat a threshold, the worst of its best so far. When its room is full
// it drops all but the best and raises the threshold, so that soon hardly a score is looked at
// twice. Scores are compared as integers of the same order, without branches on single numbers.
// Measured (Zen 4, 4096 queries and keys of 64, 32 kept): 53 ms; with std::nth_element over floats
// and a branch a score 70.
#pragma once

#include <algorithm>
#include <limits>

#include "heed/core/types.hpp"
#include "heed/simd/vector.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

template <class R>
using SortKey = simd::SignedBitsOf<R>;

template <class R>
inline constexpr SortKey<R> lowest_sort_key = std::numeric_limits<SortKey<R>>::min();

// Integers in the order of scores: −0 is 0, and NaN, which may not get lost, is above everything.
template <class R>
[[gnu::always_inline]] constexpr SortKey<R> sort_key_of(R score) {
  constexpr BitsOf<R> infinity = masked_bits<R> & ~(BitsOf<R>{1} << (8 * sizeof(R) - 1));
  constexpr SortKey<R> highest = std::numeric_limits<SortKey<R>>::max();
  const auto bits = __builtin_bit_cast(SortKey<R>, score);
  SortKey<R> rank = bits ^ ((bits >> (8 * sizeof(R) - 1)) & highest);
  rank = rank == -1 ? 0 : rank;
  return static_cast<BitsOf<R>>(bits & highest) > infinity ? highest : rank;
}

// The score of that rank.
template <class R>
constexpr R score_of_sort_key(SortKey<R> rank) {
  constexpr SortKey<R> highest = std::numeric_limits<SortKey<R>>::max();
  return __builtin_bit_cast(R, rank ^ ((rank >> (8 * sizeof(R) - 1)) & highest));
}

template <class R>
struct TopKSelector {
  SortKey<R>* ranks;  // [room], a multiple of every panel
  int* keys;          // [room], in ascending order
  int keep;
  Index room, count;
  SortKey<R> threshold;  // at first that of −inf, which masked scores do not beat

  static constexpr Index room_for(Index keep) {
    return (keep + std::clamp<Index>(keep, 64, 1 << 16) + 127) / 64 * 64;
  }

  // Keeps the `keep` largest; ties keep the lowest index.
  template <int Panel>
  [[gnu::always_inline]] inline void drop() {
    if (count <= keep) return;
    const auto [least, more] = split<Panel>();
    SortKey<R>* const to = ranks;
    int* const keys_to = keys;
    const Index all = count;
    Index kept = 0, equal = keep - more;
    SortKey<R> worst = std::numeric_limits<SortKey<R>>::max();
    for (Index n = 0; n < all; ++n) {
      const SortKey<R> rank = to[n];
      const int tie = rank == least ? 1 : 0;
      const int good = (rank > least ? 1 : 0) | (tie & (equal > 0 ? 1 : 0));
      equal -= tie;
      worst = std::min(worst, good != 0 ? rank : worst);
      to[kept] = rank;
      keys_to[kept] = keys_to[n];
      kept += good;
    }
    count = keep;
    threshold = worst;
  }

  // Takes what beats the threshold of `Count` scores whose keys begin with `first`.
  template <int Panel, int Count>
  [[gnu::always_inline]] inline void add(const SortKey<R>* some, int first) {
    SortKey<R>* const to = ranks + count;
    int* const keys_to = keys + count;
    const SortKey<R> least = threshold;
    int taken = 0;  // apart from `count`, which a compiler may take for one of the numbers written
    for (int c = 0; c < Count; ++c) {
      to[taken] = some[c];
      keys_to[taken] = first + c;
      taken += some[c] > least ? 1 : 0;
    }
    count += taken;
    if (count > room - Panel) drop<Panel>();
  }

 private:
  // `more` ranks, at most `keep`, are above `least`, and with those equal to it there are as many
  // or more.
  struct Split {
    SortKey<R> least;
    int more;
  };

  // Found bit by bit: the largest rank that `keep` of them reach, or any that just so many do.
  template <int Panel>
  [[gnu::always_inline]] inline Split split() const {
    constexpr BitsOf<R> sign = BitsOf<R>{1} << (8 * sizeof(R) - 1);
    std::fill(ranks + count, ranks + (count + Panel - 1) / Panel * Panel, lowest_sort_key<R>);
    BitsOf<R> found = 0;  // with the sign turned around, so that 0 is the lowest
    int more = 0;
    for (BitsOf<R> bit = sign; bit != 0; bit >>= 1) {
      const auto least = static_cast<SortKey<R>>((found | bit) ^ sign);
      const int reached = count_from<Panel>(least);
      if (reached == keep) return {static_cast<SortKey<R>>(least - 1), keep};
      if (reached > keep) {
        found |= bit;
      } else {
        more = reached;
      }
    }
    return {static_cast<SortKey<R>>(found ^ sign), more};
  }

  // The number of ranks that are at least that.
  template <int Panel>
  [[gnu::always_inline]] inline int count_from(SortKey<R> least) const {
    SortKey<R> reached = 0;
    for (Index n = 0; n < count; n += Panel) {
      for (int c = 0; c < Panel; ++c) reached += ranks[n + c] >= least ? 1 : 0;
    }
    return static_cast<int>(reached);
  }
};

// Offers the scores of a tile to its rows; compiled for each instruction set.
template <class R>
struct PushScores {
  TopKSelector<R>* best;  // [rows]

  struct Part {
    int rows, first_key;
  };

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* scores, const Part& part) const {
    constexpr int run = std::min(Panel, 16);  // scores that are taken or left together
    for (int r = 0; r < part.rows; ++r, scores += Panel) {
      TopKSelector<R>& row = best[r];
      if (!any_above<Panel>(scores, row.threshold)) continue;
      for (int c = 0; c < Panel; c += run) {
        if (!any_above<run>(scores + c, row.threshold)) continue;
        simd::Array<SortKey<R>, run> ranks;
        for (int n = 0; n < run; ++n) ranks[n] = sort_key_of(scores[c + n]);
        row.template add<Panel, run>(ranks, part.first_key + c);
      }
    }
  }

 private:
  template <int Count>
  [[gnu::always_inline]] static inline bool any_above(const R* scores, SortKey<R> threshold) {
    const R least = score_of_sort_key<R>(threshold);
    SortKey<R> above = 0;
    for (int c = 0; c < Count; ++c) above |= scores[c] <= least ? 0 : 1;  // NaN is above
    return above != 0;
  }
};

// Keeps the largest of a row; compiled for each instruction set.
template <class R>
struct Compact {
  template <int Panel>
  [[gnu::always_inline]] inline void operator()(TopKSelector<R>* row) const {
    row->template drop<Panel>();
  }
};

}  // namespace HEED_ABI
}  // namespace heed::approx
