// Tiles of elements in shared memory: how a block cuts its work, how tiles are loaded and stored.
//
// A row of a tile is cut into chunks of 16 bytes; chunk c of row r lies at place c xor (r mod 8) of
// that row. So the eight rows that ldmatrix reads at once, at one c, lie in different banks, and so
// do eight neighbouring chunks of a row when they are stored.
#pragma once

#include <type_traits>

#include "heed/core/view.hpp"
#include "heed/cuda/arch/ptx.cuh"

namespace heed::cuda {

// Tile sizes of a block of four warps. `Width` is the head size, rounded up; `Exact`: D and Dv are
// `Width`, and no loop checks its end.
//
// 32 queries a warp: each fragment of keys or values that is loaded feeds two products; with 16,
// reading shared memory (4 clocks for 2 products that take 3) would be the limit. At 256 the sums
// of 32 queries do not fit the registers. One buffer for keys, one for values: values arrive during
// q·kᵀ, the next keys during softmax and p·v. With rows of up to 256 bytes two blocks fit an SM,
// with the longest one does even where shared memory is 99 KiB (sm_86, sm_89, sm_120): 64 queries
// and 64 keys at a time, or, of tf32, 128 and 32.
template <int Width, bool Exact, int Element_bytes = 2>
struct KernelTraits {
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
  static constexpr ptx::Shared seen_at = heads_at + 32;  // 8 bytes a thread
  static constexpr ptx::Shared shared_bytes = seen_at + 8 * threads;
  static_assert(shared_bytes <= 99 * 1024);
};

inline namespace HEED_ABI {

// visit(KernelTraits) with the narrowest cut for the larger of D and Dv; wider heads go through the
// widest in chunks.
template <class T, class Visit>
void dispatch_traits(Index D, Index Dv, const Visit& visit) {
  const Index wide = D > Dv ? D : Dv;
  if constexpr (std::is_same_v<T, Tf32>) {
    if (wide <= 64) return visit(KernelTraits<64, false, 4>{});
    visit(KernelTraits<128, false, 4>{});
  } else {
    const bool square = D == Dv;
    if (square && D == 64) return visit(KernelTraits<64, true>{});
    if (square && D == 128) return visit(KernelTraits<128, true>{});
    if (wide <= 128) return visit(KernelTraits<128, false>{});
    visit(KernelTraits<256, false>{});
  }
}

// Where chunk `chunk` of row `row` of a tile lies.
template <class KernelTraits>
HEED_GPU ptx::Shared swizzled_offset(ptx::Shared tile, int row, int chunk) {
  return tile +
         static_cast<ptx::Shared>(row * KernelTraits::row_bytes + ((chunk ^ (row & 7)) * 16));
}

// Of `columns` columns, those that take part in products: whole blocks of 16.
template <class KernelTraits>
HEED_GPU int used_columns(int columns) {
  if constexpr (KernelTraits::exact) return KernelTraits::width;
  const int used = (columns + 15) / 16 * 16;
  return used < KernelTraits::width ? used : KernelTraits::width;
}

template <class T>
HEED_GPU T from_bits(std::uint32_t bits) {
  return {static_cast<decltype(T::bits)>(bits)};
}

template <class T>
HEED_GPU T from_float(float x) {
  if constexpr (std::is_same_v<T, Tf32>) {
    return {__builtin_bit_cast(std::uint32_t, x)};
  } else {
    return from_bits<T>(ptx::pack<T>(x, 0));
  }
}

// Pops the first element and appends `bits`: a rolled loop then needs no indexed local memory.
template <class T>
HEED_GPU T rotate(Chunk& chunk, std::uint32_t bits) {
  const T first = from_bits<T>(chunk.word[0]);
  constexpr int shift = 8 * static_cast<int>(sizeof(T)) % 32;
  const std::uint32_t next[4] = {chunk.word[1], chunk.word[2], chunk.word[3], bits};
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    chunk.word[n] = shift == 0 ? next[n] : chunk.word[n] >> shift | next[n] << (32 - shift) % 32;
  }
  return first;
}

// A chunk of a row whose memory has no aligned runs of 16 bytes; zeros beyond `count`.
template <class KernelTraits, class T>
HEED_GPU Chunk gather(const T* from, Index step, int count) {
  Chunk chunk{};
#pragma unroll 1
  for (int n = 0; n < KernelTraits::chunk; ++n, from += step) {
    rotate<T>(chunk, n < count ? ptx::load_global(from).bits : 0u);
  }
  return chunk;
}

// tile[r] = x(row_begin + r, column_begin …): Rows rows, zero outside x. With `vectors` nothing is
// there before the copies are waited for. Not unrolled: the addresses of all its rows would take
// the registers that sums need.
template <class KernelTraits, int Rows, class T>
HEED_GPU void load_tile(ptx::Shared tile, const View<const T, 2>& x, int row_begin,
                        int column_begin, bool vectors) {
  constexpr int rows_at_once = KernelTraits::threads / KernelTraits::row_chunks;
  const int thread = ptx::thread();
  const int chunk = thread % KernelTraits::row_chunks;
  const int columns = static_cast<int>(x.extent[1]) - column_begin;
  if (chunk * KernelTraits::chunk >= used_columns<KernelTraits>(columns)) return;
  const int left =
      KernelTraits::exact ? KernelTraits::chunk : columns - KernelTraits::chunk * chunk;
  const int count = left < 0 ? 0 : left > KernelTraits::chunk ? KernelTraits::chunk : left;
  const int rows = count == 0 ? 0 : static_cast<int>(x.extent[0]) - row_begin;  // that exist
  int r = thread / KernelTraits::row_chunks;
  const T* from = x.data + (row_begin + static_cast<Index>(r)) * x.stride[0] +
                  (column_begin + KernelTraits::chunk * chunk) * x.stride[1];
#pragma unroll 1
  for (; r < Rows; r += rows_at_once, from += rows_at_once * x.stride[0]) {
    const ptx::Shared to = swizzled_offset<KernelTraits>(tile, r, chunk);
    if (vectors) {
      ptx::cp_async(to, r < rows ? from : x.data,
                    r < rows ? count * KernelTraits::element_bytes : 0);
    } else {
      ptx::store_shared(to, gather<KernelTraits>(from, x.stride[1], r < rows ? count : 0));
    }
  }
}

// x(row_begin + r, column_begin …) = tile[r], where x has such an element.
template <class KernelTraits, int Rows, class T>
HEED_GPU void store_tile(ptx::Shared tile, const View<T, 2>& x, int row_begin, int column_begin,
                         bool vectors) {
  constexpr int rows_at_once = KernelTraits::threads / KernelTraits::row_chunks;
  const int chunk = ptx::thread() % KernelTraits::row_chunks;
  const int left = static_cast<int>(x.extent[1]) - column_begin - KernelTraits::chunk * chunk;
  const int rows = static_cast<int>(x.extent[0]) - row_begin;
  int r = ptx::thread() / KernelTraits::row_chunks;
  T* to = x.data + (row_begin + static_cast<Index>(r)) * x.stride[0] +
          (column_begin + KernelTraits::chunk * chunk) * x.stride[1];
#pragma unroll 1
  for (; r < Rows && r < rows && left > 0; r += rows_at_once, to += rows_at_once * x.stride[0]) {
    Chunk elements = ptx::load_shared<Chunk>(swizzled_offset<KernelTraits>(tile, r, chunk));
    if (vectors && left >= KernelTraits::chunk) {
      ptx::store_global(reinterpret_cast<Chunk*>(to), elements);
      continue;
    }
    T* element = to;
#pragma unroll 1
    for (int n = 0; n < KernelTraits::chunk && n < left; ++n, element += x.stride[1]) {
      ptx::store_global(element, rotate<T>(elements, 0));
    }
  }
}

// low and high to columns `column` and `column` + 1 of the n-th eight; `column` is even.
template <class KernelTraits, class T>
HEED_GPU void store_pair(ptx::Shared tile, int row, int n, int column, float low, float high) {
  constexpr int chunks = 8 / KernelTraits::chunk;  // of eight columns
  const int chunk = chunks == 1 ? 0 : column / KernelTraits::chunk;
  const ptx::Shared to = swizzled_offset<KernelTraits>(tile, row, chunks * n + chunk) +
                         static_cast<ptx::Shared>((column - chunk * KernelTraits::chunk) *
                                                  KernelTraits::element_bytes);
  if constexpr (std::is_same_v<T, Tf32>) {
    struct alignas(8) Pair {
      float low, high;
    };
    ptx::store_shared(to, Pair{low, high});
  } else {
    ptx::store_shared(to, ptx::pack<T>(low, high));
  }
}

// change(element) -> element, for every element of the tile that this thread itself loaded: no
// barrier is needed before, one is after.
template <class T, class KernelTraits, int Rows, class Change>
HEED_GPU void change_own(ptx::Shared tile, int columns, const Change& change) {
  const int chunk = ptx::thread() % KernelTraits::row_chunks;
  if (chunk * KernelTraits::chunk >= used_columns<KernelTraits>(columns)) return;
#pragma unroll 1
  for (int r = ptx::thread() / KernelTraits::row_chunks; r < Rows;
       r += KernelTraits::threads / KernelTraits::row_chunks) {
    const ptx::Shared at = swizzled_offset<KernelTraits>(tile, r, chunk);
    Chunk elements = ptx::load_shared<Chunk>(at);
#pragma unroll 1
    for (int n = 0; n < KernelTraits::chunk; ++n) {
      rotate<T>(elements, change(from_bits<T>(elements.word[0])).bits);
    }
    ptx::store_shared(at, elements);
  }
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
