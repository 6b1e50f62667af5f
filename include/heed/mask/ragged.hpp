// Sequences of several lengths, one per batch entry, padded to [B, Lq] and [B, Lk]: each is masked
// as a call of its own over its own queries and keys. For decoding from a cache whose entries have
// several lengths, and for batches whose queries are padded too.
#pragma once

#include <initializer_list>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/per_batch.hpp"
#include "heed/mask/combine.hpp"

namespace heed::mask {

// Where the padding lies.
enum class pad {
  back,  // a sequence fills the first positions
  front  // a sequence fills the last positions
};

inline namespace HEED_ABI {

// Queries [q_begin, q_end) and keys [k_begin, k_end) as a call of their own.
template <BoundMask M>
struct BoundRagged {
  M inside;  // bound to that call
  int q_begin, q_end, k_begin, k_end;

  HEED_DEVICE bool allows(int i, int j) const {
    return i >= q_begin && i < q_end && j >= k_begin && j < k_end &&
           inside.allows(i - q_begin, j - k_begin);
  }

  // As exact as the mask inside.
  [[gnu::always_inline]] HEED_DEVICE Coverage coverage(Tile tile) const {
    const Tile own = clipped(tile);
    if (own.q_begin >= own.q_end || own.k_begin >= own.k_end) return Coverage::Empty;
    const Coverage found = inside.coverage(moved(own));
    const bool whole = own.q_begin == tile.q_begin && own.q_end == tile.q_end &&
                       own.k_begin == tile.k_begin && own.k_end == tile.k_end;
    return whole || found == Coverage::Empty ? found : Coverage::Partial;
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    const Tile own = clipped(tile);
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      const bool seen = i >= own.q_begin && i < own.q_end && own.k_begin < own.k_end;
      const int begin = seen ? own.k_begin : tile.k_end, end = seen ? own.k_end : tile.k_end;
      for (int j = tile.k_begin; j < begin; ++j) allowed[j - tile.k_begin] = 0;
      if (seen) {
        mask::fill(inside, moved({i, i + 1, begin, end}), allowed + (begin - tile.k_begin), stride);
      }
      for (int j = end; j < tile.k_end; ++j) allowed[j - tile.k_begin] = 0;
    }
  }

 private:
  HEED_DEVICE constexpr Tile clipped(Tile t) const {
    return {t.q_begin < q_begin ? q_begin : t.q_begin, t.q_end > q_end ? q_end : t.q_end,
            t.k_begin < k_begin ? k_begin : t.k_begin, t.k_end > k_end ? k_end : t.k_end};
  }
  HEED_DEVICE constexpr Tile moved(Tile t) const {
    return {t.q_begin - q_begin, t.q_end - q_begin, t.k_begin - k_begin, t.k_end - k_begin};
  }
};

}  // namespace HEED_ABI

// All queries of the call, in every batch entry.
struct AllQueries {
  template <class Arena>
  AllQueries to_device(Arena&) const {
    return {};
  }
};

template <class Queries, class Keys, Mask M>
struct Ragged {
  Queries queries;  // [B], or AllQueries
  Keys keys;        // [B]
  M inside;
  pad where;

  HEED_DEVICE auto bind(const Shape& shape, Index b, Index h) const {
    const Shape own = part(shape, b);
    const Index q_begin = where == pad::back ? 0 : shape.Lq - own.Lq;
    const Index k_begin = where == pad::back ? 0 : shape.Lk - own.Lk;
    auto bound = mask::bind(inside, own, b, h);
    return BoundRagged<decltype(bound)>{
        bound, static_cast<int>(q_begin), static_cast<int>(q_begin + own.Lq),
        static_cast<int>(k_begin), static_cast<int>(k_begin + own.Lk)};
  }

  template <class Arena>
  auto to_device(Arena& arena) const {
    auto q = queries.to_device(arena);
    auto k = keys.to_device(arena);
    auto there = mask::to_device(inside, arena);
    return Ragged<decltype(q), decltype(k), decltype(there)>{q, k, there, where};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    require_lengths(keys, shape.B, shape.Lk, "keys");
    if constexpr (all_queries) {
      for (Index b = 0; b < shape.B; ++b) require_room(shape, b);
    } else {
      require_lengths(queries, shape.B, shape.Lq, "queries");
    }
    for (Index b = 0; b < shape.B; ++b) mask::check(inside, part(shape, b));
  }

 private:
  static constexpr bool all_queries = std::is_same_v<Queries, AllQueries>;

  HEED_DEVICE Shape part(const Shape& shape, Index b) const {
    if constexpr (all_queries) {
      return shape.part(shape.Lq, keys[b]);
    } else {
      return shape.part(queries[b], keys[b]);
    }
  }

  template <class Lengths>
  static void require_lengths(const Lengths& lengths, Index B, Index most, const char* what) {
    require_batch("heed::mask::ragged", "lengths", lengths, B);
    for (Index b = 0; b < B; ++b) {
      if (lengths.within(b, 0, most)) continue;
      throw Error("heed::mask::ragged: length " + lengths.text(b) + " is outside 0 … " +
                  std::to_string(most) + " " + what);
    }
  }
  // Fewer keys than queries would put queries before the first key: they are padded, it seems.
  void require_room(const Shape& shape, Index b) const {
    if (keys[b] == 0 || keys[b] >= shape.Lq) return;
    throw Error("heed::mask::ragged: batch entry " + std::to_string(b) + " has " + keys.text(b) +
                " keys but " + std::to_string(shape.Lq) +
                " queries; where queries are padded too, give their lengths: "
                "ragged(query_lengths, key_lengths, mask)");
  }
};

inline namespace HEED_ABI {

// Batch entry b has keys[b] keys, and all Lq queries are the last of its sequence: query i of a
// causal mask stands at keys[b] − Lq + i. A length of 0 is an entry that sees nothing.
//
//   keys    [B]  of any integer type; referred to, a braced list is kept (mask::padding)
//   inside  any mask, bound to each entry as to a call of its lengths
//   where   where keys, and queries, are padded
//
// Throws heed::Error for a length outside 0 … Lk, and for one in 1 … Lq − 1: queries are padded
// then, and need lengths of their own.
template <Borrowed Keys, MaskLike M>
auto ragged(Keys&& keys, const M& inside, pad where = pad::back) {
  return Ragged<AllQueries, PerBatchOf<Keys&>, AsMask<M>>{
      {}, per_batch("heed::mask::ragged", keys), as_mask(inside), where};
}
template <MaskLike M>
Ragged<AllQueries, ListPerBatch, AsMask<M>> ragged(std::initializer_list<Index> keys,
                                                   const M& inside, pad where = pad::back) {
  return {{}, per_batch(keys), as_mask(inside), where};
}

// The same where entry b has queries[b] queries too; its other queries see nothing.
template <Borrowed Queries, Borrowed Keys, MaskLike M = None>
requires(!MaskLike<std::remove_cvref_t<Keys>>) auto ragged(Queries&& queries, Keys&& keys,
                                                           const M& inside = {},
                                                           pad where = pad::back) {
  return Ragged<PerBatchOf<Queries&>, PerBatchOf<Keys&>, AsMask<M>>{
      per_batch("heed::mask::ragged", queries), per_batch("heed::mask::ragged", keys),
      as_mask(inside), where};
}
template <MaskLike M = None>
Ragged<ListPerBatch, ListPerBatch, AsMask<M>> ragged(std::initializer_list<Index> queries,
                                                     std::initializer_list<Index> keys,
                                                     const M& inside = {}, pad where = pad::back) {
  return {per_batch(queries), per_batch(keys), as_mask(inside), where};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
