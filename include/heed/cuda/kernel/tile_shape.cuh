// Kernel traits: how a block cuts its work, and how it lays out its shared memory.
#pragma once

#include <type_traits>

#include "heed/core/types.hpp"
#include "heed/cuda/arch/simt.cuh"

namespace heed::cuda {

// Tile sizes of a block of four warps on tensor cores. `Width` is the head size, rounded up;
// `Exact`: D and Dv are `Width`, and no loop checks its end.
//
// 32 queries a warp: each fragment of keys or values that is loaded feeds two products; with 16,
// reading shared memory (4 clocks for 2 products that take 3) would be the limit. At 256 the sums
// of 32 queries do not fit the registers. One buffer for keys, one for values: values arrive during
// q·kᵀ, the next keys during softmax and p·v. With rows of up to 256 bytes two blocks fit an SM,
// with the longest one does even where shared memory is 99 KiB (sm_86, sm_89, sm_120): 64 queries
// and 64 keys at a time, or, of tf32, 128 and 32.
template <int Width, bool Exact, int Element_bytes = 2>
struct MmaTraits {
  static constexpr int width = Width;
  static constexpr bool exact = Exact;
  static constexpr int element_bytes = Element_bytes;
  static constexpr int threads = 128;
  static constexpr int row_blocks = Width <= 128 ? 2 : 1;  // of 16 queries, a warp
  static constexpr int warp_queries = 16 * row_blocks;
  static constexpr int queries = threads / ptx::warp_lanes * warp_queries;
  static constexpr int row_bytes = Width * Element_bytes;
  static_assert(row_bytes % 128 == 0,
                "a row has whole groups of eight chunks, or the swizzle leaves it");
  static constexpr int row_chunks = row_bytes / 16;
  static constexpr int chunk = 16 / Element_bytes;  // elements
  static constexpr int keys = row_blocks * row_bytes <= 512 ? 64 : 32;
  static constexpr int blocks_per_sm = row_bytes <= 256 ? 2 : 1;
  static constexpr bool chunked = !Exact && row_bytes == 512;  // D may be wider than a tile

  // One product of tensor cores takes 32 bytes of a row. All are unrolled, or two where their
  // number is not known.
  static constexpr int dot_columns = 32 / Element_bytes;
  static constexpr int dot_steps = Exact ? Width / dot_columns : 2;

  static constexpr ptx::Shared q_at = 0;
  static constexpr ptx::Shared k_at = q_at + queries * row_bytes;
  static constexpr ptx::Shared v_at = k_at + keys * row_bytes;
  static constexpr ptx::Shared kv_tiles_at = v_at + keys * row_bytes;
  static constexpr ptx::Shared heads_at = kv_tiles_at + 64;
  static constexpr ptx::Shared unmasked_at = heads_at + 32;  // 8 bytes a thread
  static constexpr ptx::Shared shared_bytes = unmasked_at + 8 * threads;
  static_assert(shared_bytes <= 99 * 1024);
};

// Tile sizes of a block of 16 by 16 threads without tensor cores: `Width` of the value's dimensions
// at a time. A thread has 4 by 4 of the scores: two loads of 16 bytes feed 16 multiply-adds, which
// is what shared memory can keep up with.
template <class R, int Width>
struct SimtTraits {
  static constexpr int width = Width;
  static constexpr int threads = 256;
  static constexpr int queries = 64;
  static constexpr int keys = 64;
  static constexpr int per_thread = 4;  // queries, and keys
  static constexpr int blocks_per_sm = sizeof(R) == 4 ? 2 : 1;

  // 128 bytes of a query or key at a time; 16 more keep neighbouring rows in different banks.
  static constexpr int depth = 128 / static_cast<int>(sizeof(R));
  static constexpr int pad = 16 / static_cast<int>(sizeof(R));
  static constexpr int dot_row = depth + pad;
  static constexpr int weight_row = keys + pad;

  HEED_DEVICE static constexpr ptx::Shared bytes(int count) {
    return static_cast<ptx::Shared>(count) * static_cast<ptx::Shared>(sizeof(R));
  }
  static constexpr ptx::Shared q_at = 0;
  static constexpr ptx::Shared k_at = q_at + bytes(queries * dot_row);
  static constexpr ptx::Shared p_at = k_at + bytes(keys * dot_row);
  static constexpr ptx::Shared v_at = p_at + bytes(queries * weight_row);
  static constexpr ptx::Shared kv_tiles_at = v_at + bytes(keys * width);
  static constexpr ptx::Shared shared_bytes = kv_tiles_at + 64;
};

inline namespace HEED_ABI {

// visit(traits) with the narrowest tile for the larger of D and Dv. Wider heads go through the
// widest in chunks; double has at most 64 dimensions of a value, whose tile must fit shared memory.
template <class T, class Visit>
void dispatch_traits(Index D, Index Dv, const Visit& visit) {
  const Index wide = D > Dv ? D : Dv;
  if constexpr (std::is_same_v<T, double>) {
    visit(SimtTraits<T, 64>{});
  } else if constexpr (std::is_same_v<T, float>) {
    if (Dv <= 64) return visit(SimtTraits<T, 64>{});
    visit(SimtTraits<T, 128>{});
  } else if constexpr (std::is_same_v<T, Tf32>) {
    if (wide <= 64) return visit(MmaTraits<64, false, 4>{});
    visit(MmaTraits<128, false, 4>{});
  } else {
    const bool square = D == Dv;
    if (square && D == 64) return visit(MmaTraits<64, true>{});
    if (square && D == 128) return visit(MmaTraits<128, true>{});
    if (wide <= 128) return visit(MmaTraits<128, false>{});
    visit(MmaTraits<256, false>{});
  }
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
