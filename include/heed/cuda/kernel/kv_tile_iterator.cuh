// The tiles of keys that a block visits: those that the mask does not call Empty, in ascending
// order.
//
// A mask's coverage may cost much (a dense one reads its tile), so it is asked once a tile, by one
// thread each: as many tiles at a time as the block has threads.
#pragma once

#include "heed/cuda/arch/simt.cuh"
#include "heed/mask/mask.hpp"

namespace heed::cuda {

template <class KernelTraits>
class KvTileIterator {
 public:
  static constexpr int span = KernelTraits::threads;  // tiles at a time

  // Looks at tiles [first, first + span) of `keys` keys. A barrier for the whole block.
  template <class M>
  HEED_GPU void load(const M& mask, int q_begin, int q_end, Index first, Index keys) {
    const Index k_begin = (first + ptx::thread()) * KernelTraits::keys;
    bool visit = false;
    bool full = false;
    if (k_begin < keys) {
      const Index k_end = k_begin + KernelTraits::keys < keys ? k_begin + KernelTraits::keys : keys;
      const mask::Coverage coverage =
          mask.coverage({q_begin, q_end, static_cast<int>(k_begin), static_cast<int>(k_end)});
      visit = coverage != mask::Coverage::Empty;
      full = coverage == mask::Coverage::Full && k_end - k_begin == KernelTraits::keys;
    }
    const std::uint32_t visits = ptx::warp_ballot(visit);
    const std::uint32_t fulls = ptx::warp_ballot(full);
    ptx::barrier();  // nobody still reads the words of the span before
    if (ptx::thread() % ptx::warp_lanes == 0) {
      const auto warp = static_cast<ptx::Shared>(ptx::thread() / ptx::warp_lanes);
      ptx::store_shared(KernelTraits::kv_tiles_at + 8 * warp, visits);
      ptx::store_shared(KernelTraits::kv_tiles_at + 8 * warp + 4, fulls);
    }
    ptx::barrier();
  }

  // The first tile to visit from `tile` on, relative to the span; `span` where there is none.
  HEED_GPU int next(int tile) const {
    for (int word = tile / 32; word < span / 32; ++word) {
      const std::uint32_t later = word == tile / 32 ? ~0u << (tile % 32) : ~0u;
      const std::uint32_t visits = word_at(8 * static_cast<ptx::Shared>(word)) & later;
      if (visits != 0) return 32 * word + ptx::lowest_bit(visits);
    }
    return span;
  }

  // True where every query of the block sees every key of the tile, all of which exist.
  HEED_GPU bool full(int tile) const {
    return (word_at(8 * static_cast<ptx::Shared>(tile / 32) + 4) >> (tile % 32) & 1u) != 0;
  }

 private:
  HEED_GPU static std::uint32_t word_at(ptx::Shared offset) {
    return ptx::uniform(ptx::load_shared<std::uint32_t>(KernelTraits::kv_tiles_at + offset));
  }
};

}  // namespace heed::cuda
