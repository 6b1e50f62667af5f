// Block-sparse attention: a tensor says of each block of scores whether it attends.
// Child et al., "Generating Long Sequences with Sparse Transformers" (2019), section 5.5.
#pragma once

#include <string>
#include <utility>

#include "heed/mask/dense.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

template <class T>
struct BoundBlocks {
  BoundDense<T> blocks;  // [blocks of queries | 1, blocks of keys | 1]
  int queries, keys;     // of a block

  HEED_DEVICE bool allows(int i, int j) const { return blocks.allows(i / queries, j / keys); }

  // Exact. Asks each block that the tile touches.
  [[gnu::always_inline]] HEED_DEVICE Coverage coverage(Tile tile) const {
    return blocks.coverage({tile.q_begin / queries, (tile.q_end - 1) / queries + 1,
                            tile.k_begin / keys, (tile.k_end - 1) / keys + 1});
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      int left = keys - tile.k_begin % keys;  // keys until the block ends
      int j = tile.k_begin;
      while (j < tile.k_end) {
        const std::uint8_t seen = allows(i, j) ? 1 : 0;
        const int end = left < tile.k_end - j ? j + left : tile.k_end;
        for (; j < end; ++j) allowed[j - tile.k_begin] = seen;
        left = keys;
      }
    }
  }
};

}  // namespace HEED_ABI

template <class T>
struct Blocks {
  Broadcast<T> tensor;
  int queries, keys;

  HEED_DEVICE BoundBlocks<T> bind(const Shape&, Index b, Index h) const {
    return {{tensor.at(b, h)}, queries, keys};
  }
  template <class Arena>
  Blocks to_device(Arena& arena) const {
    return {tensor.to_device(arena), queries, keys};
  }
  [[gnu::always_inline]] void check(const Shape& shape) const {
    Shape blocks = shape;
    blocks.Lq = (shape.Lq + queries - 1) / queries;
    blocks.Lk = (shape.Lk + keys - 1) / keys;
    const std::string what = "heed::mask::blocks, of " + std::to_string(queries) + " queries by " +
                             std::to_string(keys) + " keys";
    tensor.check(what.c_str(), blocks);
  }
};

inline namespace HEED_ABI {

// Query i and key j attend where the element of block (i / queries, j / keys) is nonzero; the last
// blocks may be cut off by the end of the sequence.
//
//   tensor  [blocks of queries, blocks of keys], [B, H, …, …], or what `meaning` says
//           (core/broadcast.hpp); extents of 1 broadcast
//
// Refers to the tensor: it must outlive the mask, and a temporary one is a compile error. Throws
// heed::Error for a block without queries or keys, and where rank and axes disagree.
template <TensorLike X>
Blocks<ScalarOf<X>> blocks(X&& tensor, int queries, int keys, axes meaning = axes::by_rank) {
  static_assert(LastingTensor<X>,
                "heed::mask::blocks: refers to the tensor, and this one is gone when the "
                "expression ends: give it "
                "a name");
  if (queries < 1 || keys < 1) {
    throw Error("heed::mask::blocks: a block of " + std::to_string(queries) + " queries by " +
                std::to_string(keys) + " keys");
  }
  return {broadcast("heed::mask::blocks", tensor, meaning), queries, keys};
}

// Square blocks of `size` queries by `size` keys.
template <TensorLike X>
Blocks<ScalarOf<X>> blocks(X&& tensor, int size, axes meaning = axes::by_rank) {
  return blocks(std::forward<X>(tensor), size, size, meaning);
}

}  // namespace HEED_ABI
}  // namespace heed::mask
