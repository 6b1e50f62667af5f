// The two factorised patterns of Sparse Transformers, both causal, both heads of a pattern in one.
// Child et al., "Generating Long Sequences with Sparse Transformers" (2019), section 4.3.
#pragma once

#include <limits>
#include <string>

#include "heed/core/error.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/dilated.hpp"
#include "heed/mask/window.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

// The query's block of keys, and the last `summary` keys of every block.
struct BoundSummaries {
  Index position;  // of query 0
  int block, summary;

  HEED_DEVICE constexpr bool allows(int i, int j) const {
    return j % block >= block - summary || j / block == block_of(i);
  }

  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    const Index first = block_of(tile.q_begin), last = block_of(tile.q_end - 1);
    // Keys of the queries' own blocks; each of these blocks has a query in the tile.
    const Index own_begin = within(first * block, tile), own_end = within((last + 1) * block, tile);
    if (own_begin == own_end && no_summary(tile.k_begin, tile.k_end)) return Coverage::Empty;
    const bool all = first == last
                         ? all_summary(tile.k_begin, own_begin) && all_summary(own_end, tile.k_end)
                         : all_summary(tile.k_begin, tile.k_end);
    return all ? Coverage::Full : Coverage::Partial;
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      const Index own = block_of(i);
      Index key_block = tile.k_begin / block;
      int at = tile.k_begin % block;  // in the block
      for (int j = tile.k_begin; j < tile.k_end;) {
        const bool last = at >= block - summary;
        const int run = (last ? block : block - summary) - at;
        const int end = run < tile.k_end - j ? j + run : tile.k_end;
        const std::uint8_t seen = last || key_block == own ? 1 : 0;
        for (; j < end; ++j) allowed[j - tile.k_begin] = seen;
        at += run;
        if (at == block) {
          at = 0;
          ++key_block;
        }
      }
    }
  }

 private:
  HEED_DEVICE constexpr Index block_of(int i) const { return (position + i) / block; }
  HEED_DEVICE static constexpr Index within(Index key, Tile tile) {
    return key < tile.k_begin ? tile.k_begin : key > tile.k_end ? tile.k_end : key;
  }
  // True where all keys [begin, end) are among the last of a block; no_summary: none of them.
  HEED_DEVICE constexpr bool all_summary(Index begin, Index end) const {
    const Index at = begin % block;
    return begin >= end || summary == block ||
           (at >= block - summary && at + (end - begin) <= block);
  }
  HEED_DEVICE constexpr bool no_summary(Index begin, Index end) const {
    return summary == 0 || begin % block + (end - begin) <= block - summary;
  }
};

}  // namespace HEED_ABI

struct Summaries {
  int block, summary;

  HEED_DEVICE constexpr BoundSummaries bind(const Shape& shape, Index, Index) const {
    return {shape.end_offset(), block, summary};
  }
};

inline namespace HEED_ABI {

// Strided: j ≤ p, and p − j ≤ stride or (p − j) mod stride = 0, p the query's position aligned to
// the end. The paper's A⁽¹⁾ = {t, …, i}, t = max(0, i − l), and A⁽²⁾ = {j : (i − j) mod l = 0}.
// Throws heed::Error for a stride below 1.
inline Or<Window, Dilated> sparse_strided(int stride) {
  if (stride < 1) {
    throw Error("heed::mask::sparse_strided: stride " + std::to_string(stride) + " is below 1");
  }
  return {window(stride, 0), dilated(std::numeric_limits<std::int32_t>::max(), 0, stride)};
}

// Fixed: j ≤ p, and ⌊j / block⌋ = ⌊p / block⌋ or j mod block ≥ block − summary. The paper's A⁽¹⁾
// and A⁽²⁾ = {j : j mod l ∈ {t, …, l}}, t = l − c, with l = block and c = summary.
// Throws heed::Error for a block below 1 and for a summary outside 0 … block.
inline And<Causal, Summaries> sparse_fixed(int block, int summary = 1) {
  if (block < 1 || summary < 0 || summary > block) {
    throw Error("heed::mask::sparse_fixed: a summary of " + std::to_string(summary) +
                " keys of a block of " + std::to_string(block));
  }
  return {causal(), Summaries{block, summary}};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
