// A tree of drafted tokens at the end of a sequence: each sees its ancestors alone, behind the
// whole text before. For many drafts that one call verifies: Miao et al., "SpecInfer" (2024).
#pragma once

#include <string>

#include "heed/core/error.hpp"
#include "heed/core/span.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

struct BoundTree {
  const int* parents;      // of drafted tokens, the last keys up to the last query's position
  Index query_0, draft_0;  // positions of the first query and the first drafted token

  HEED_DEVICE constexpr bool allows(int i, int j) const {
    const Index position = query_0 + i;
    if (position < draft_0) return j <= position;
    return j < draft_0 || descends(position - draft_0, j - draft_0);
  }

  // Exact. Tiles of drafted tokens are looked at pair by pair, until two differ.
  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    const Index first = query_0 + tile.q_begin, last = query_0 + tile.q_end - 1;
    bool some = false, all = true;
    if (first < draft_0) {
      some = tile.k_begin <= (last < draft_0 ? last : draft_0 - 1);
      all = tile.k_end - 1 <= first;
    }
    if (last < draft_0) return coverage_of(some, all);
    some = some || tile.k_begin < draft_0;
    for (Index p = first < draft_0 ? draft_0 : first; p <= last; ++p) {
      for (Index j = tile.k_begin < draft_0 ? draft_0 : tile.k_begin; j < tile.k_end; ++j) {
        const bool seen = descends(p - draft_0, j - draft_0);
        some = some || seen;
        all = all && seen;
        if (some && !all) return Coverage::Partial;
      }
    }
    return coverage_of(some, all);
  }

 private:
  HEED_DEVICE static constexpr Coverage coverage_of(bool some, bool all) {
    return all ? Coverage::Full : some ? Coverage::Partial : Coverage::Empty;
  }
  // True where `token` is `ancestor` or descends from it. A parent comes before its children.
  HEED_DEVICE constexpr bool descends(Index token, Index ancestor) const {
    while (token > ancestor) token = parents[token];
    return token == ancestor;
  }
};

}  // namespace HEED_ABI

struct Tree {
  Span<int> parents;  // [count] or [B, count]
  Index count;

  HEED_DEVICE BoundTree bind(const Shape& shape, Index b, Index) const {
    const int* own = parents.data() + (parents.size() == count ? 0 : b * count);
    const Index query_0 = shape.end_offset();
    return {own, query_0, query_0 + shape.Lq - count};
  }

  template <class Arena>
  Tree to_device(Arena& arena) const {
    return {arena.copy(parents), count};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    if (parents.size() != count && parents.size() != shape.B * count) {
      throw Error("heed::mask::tree: " + std::to_string(parents.size()) + " parents of " +
                  std::to_string(count) + " drafted tokens and a batch of " +
                  std::to_string(shape.B));
    }
    if (shape.end_offset() + shape.Lq < count) {
      throw Error("heed::mask::tree: " + std::to_string(count) + " drafted tokens among " +
                  std::to_string(shape.end_offset() + shape.Lq) + " keys");
    }
    for (Index n = 0; n < parents.size(); ++n) {
      if (parents[n] >= -1 && parents[n] < n % count) continue;
      throw Error("heed::mask::tree: drafted token " + std::to_string(n % count) + " has parent " +
                  std::to_string(parents[n]) + ", which does not come before it");
    }
  }
};

inline namespace HEED_ABI {

// The last keys are drafted tokens: each sees itself, its ancestors and all keys before the draft.
// Queries before the draft are causal.
//
//   parents  parents[n] < n is the parent of drafted token n, −1 where it follows the text; [count]
//            for all batch entries, or [B, count]. Referred to: they must outlive the mask.
//
// Throws heed::Error for a parent that does not come before its child. Time of allows: O(depth).
template <class = void>
Tree tree(BorrowedSpan<int> parents) { return {parents, parents.size()}; }
template <class = void>
Tree tree(BorrowedSpan<int> parents, Index count) { return {parents, count}; }

}  // namespace HEED_ABI
}  // namespace heed::mask
