// Tiles of elements between global and shared memory.
#pragma once

#include <type_traits>

#include "heed/core/view.hpp"
#include "heed/cuda/arch/copy_sm80.cuh"
#include "heed/cuda/arch/mma_sm80.cuh"
#include "heed/cuda/kernel/swizzle.cuh"

namespace heed::cuda {

inline namespace HEED_ABI {

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
