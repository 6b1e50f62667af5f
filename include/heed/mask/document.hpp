// Several documents in one sequence, each position with the id of its own: a query sees the keys
// whose id is its own.
//
// Krell et al., "Efficient Sequence Packing without Cross-contamination" (2021), section 3.2.
#pragma once

#include <string>

#include "heed/core/error.hpp"
#include "heed/core/span.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

struct BoundDocument {
  const int* queries;  // [Lq], the id of each
  const int* keys;     // [Lk]

  HEED_DEVICE constexpr bool allows(int i, int j) const { return queries[i] == keys[j]; }

  // Exact whatever the order of the ids. Costs O(queries + keys) where they ascend; else the keys
  // are searched once for each run of queries of one document.
  [[gnu::always_inline]] HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    const Ids asking = ids_of(queries, tile.q_begin, tile.q_end);
    const Ids asked = ids_of(keys, tile.k_begin, tile.k_end);
    if (asking.most < asked.least || asked.most < asking.least) return Coverage::Empty;
    if (asking.least == asking.most && asked.least == asked.most) return Coverage::Full;
    for (int i = tile.q_begin; i < tile.q_end; ++i) {
      if (i > tile.q_begin && queries[i] == queries[i - 1]) continue;
      for (int j = tile.k_begin; j < tile.k_end; ++j) {
        if (allows(i, j)) return Coverage::Partial;
      }
    }
    return Coverage::Empty;
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    const int* key = keys + tile.k_begin;
    const int count = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      const int id = queries[i];
      for (int c = 0; c < count; ++c) allowed[c] = key[c] == id ? 1 : 0;
    }
  }

 private:
  struct Ids {
    int least, most;
  };

  [[gnu::always_inline]] HEED_DEVICE static constexpr Ids ids_of(const int* ids, int begin,
                                                                 int end) {
    Ids range{ids[begin], ids[begin]};
    for (int n = begin + 1; n < end; ++n) {
      range.least = ids[n] < range.least ? ids[n] : range.least;
      range.most = ids[n] > range.most ? ids[n] : range.most;
    }
    return range;
  }
};

}  // namespace HEED_ABI

struct Document {
  Span<int> queries, keys;  // an id a position, for one batch or for each, batch after batch
  bool shared;              // queries have the ids of their positions among the keys

  HEED_DEVICE BoundDocument bind(const Shape& shape, Index b, Index) const {
    const int* key = row(keys, shape.Lk, b);
    return {shared ? key + shape.end_offset() : row(queries, shape.Lq, b), key};
  }

  template <class Arena>
  Document to_device(Arena& arena) const {
    const Span<int> there = arena.copy(keys);
    return {shared ? there : arena.copy(queries), there, shared};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    require_ids(keys, shape.Lk, shape.B, "keys");
    if (!shared) return require_ids(queries, shape.Lq, shape.B, "queries");
    const Index first = shape.end_offset();
    if (first >= 0 && first <= shape.Lk - shape.Lq) return;
    throw Error("heed::mask::document: ids of the keys alone for " + std::to_string(shape.Lq) +
                " queries and " + std::to_string(shape.Lk) + " keys: the " +
                (first < 0 ? "first" : "last") + " queries have none");
  }

 private:
  HEED_DEVICE static const int* row(const Span<int>& ids, Index length, Index b) {
    return ids.data() + (ids.size() == length ? 0 : b * length);
  }

  [[gnu::always_inline]] static void require_ids(const Span<int>& ids, Index length, Index B,
                                                 const char* what) {
    if (ids.size() == length || ids.size() == B * length) return;
    throw Error("heed::mask::document: " + std::to_string(ids.size()) + " ids for " +
                std::to_string(length) + " " + what + " and a batch of " + std::to_string(B));
  }
};

inline namespace HEED_ABI {

// One id a position, of any value and in any order: `length` ids that serve every batch, or
// B · length, batch after batch. Refers to the ids: they must outlive the mask.
//
//   keys     [Lk] or [B, Lk]; alone, a query has the id of its position aligned to the end
//   queries  [Lq] or [B, Lq]
template <class = void>
Document document(BorrowedSpan<int> keys) { return {keys, keys, true}; }
template <class = void>
Document document(BorrowedSpan<int> queries, BorrowedSpan<int> keys) {
  return {queries, keys, false};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
