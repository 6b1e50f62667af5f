// Tiles of 16-bit elements in shared memory and their way into a warp's fragments.
//
// A row of a tile is cut into chunks of 16 bytes; chunk c of row r lies at place c xor (r mod 8) of
// that row. So the eight rows that ldmatrix reads at once, at one c, lie in different banks, and so
// do eight neighbouring chunks of a row when they are stored.
#pragma once

#include "heed/core/view.hpp"
#include "heed/cuda/ptx.cuh"

namespace heed::cuda {

// How a block of four warps cuts its work. `Width` is the head size, rounded up; `Exact` says that
// D and Dv are `Width`, so that no loop asks how far it may go.
//
// 32 queries a warp: each fragment of keys or values that is loaded feeds two products; with 16,
// reading shared memory (4 clocks for 2 products that take 3) would be the limit. At 256 the sums
// of 32 queries do not fit the registers. One buffer for keys, one for values: values arrive during
// q·kᵀ, the next keys during softmax and p·v, and two blocks fit an SM at 64 and 128, one at 256
// even where shared memory is 99 KiB (sm_86, sm_89, sm_120).
template <int Width, bool Exact, int Row_blocks = (Width <= 128 ? 2 : 1)>
struct Cut {
  static_assert(Width % 64 == 0,
                "a row has whole groups of eight chunks, or the swizzle leaves it");
  static constexpr int width = Width;
  static constexpr bool exact = Exact;
  static constexpr int threads = 128;
  static constexpr int row_blocks = Row_blocks;  // of 16 queries, a warp
  static constexpr int warp_queries = 16 * row_blocks;
  static constexpr int queries = threads / ptx::warp_lanes * warp_queries;
  static constexpr int keys = 64;
  static constexpr int row_chunks = Width / 8;
  static constexpr int row_bytes = Width * 2;
  static constexpr int blocks_per_sm = Width <= 128 ? 2 : 1;
  static constexpr bool chunked = !Exact && Width == 256;  // D may be wider than a tile

  // Columns of q·kᵀ are unrolled all, or two steps where their number is not known.
  static constexpr int dot_steps = Exact ? Width / 16 : 2;

  static constexpr ptx::Shared q_at = 0;
  static constexpr ptx::Shared k_at = q_at + queries * row_bytes;
  static constexpr ptx::Shared v_at = k_at + keys * row_bytes;
  static constexpr ptx::Shared walk_at = v_at + keys * row_bytes;
  static constexpr ptx::Shared heads_at = walk_at + 64;
  static constexpr ptx::Shared seen_at = heads_at + 32;  // 8 bytes a thread
  static constexpr ptx::Shared shared_bytes = seen_at + 8 * threads;
};

inline namespace HEED_ABI {

// visit(Cut) with the narrowest cut for the larger of D and Dv; wider heads go through the widest
// in chunks.
template <class Visit>
void with_cut(Index D, Index Dv, const Visit& visit) {
  const Index wide = D > Dv ? D : Dv;
  const bool square = D == Dv;
  if (square && D == 64) return visit(Cut<64, true>{});
  if (square && D == 128) return visit(Cut<128, true>{});
  if (wide <= 128) return visit(Cut<128, false>{});
  visit(Cut<256, false>{});
}

// Where chunk `chunk` of row `row` of a tile lies.
template <class Cut>
HEED_GPU ptx::Shared place(ptx::Shared tile, int row, int chunk) {
  return tile + static_cast<ptx::Shared>(row * Cut::row_bytes + ((chunk ^ (row & 7)) * 16));
}

// Chunks of a row that hold one of `columns` columns, in whole steps of the tensor cores.
template <class Cut>
HEED_GPU int used_chunks(int columns) {
  if constexpr (Cut::exact) return Cut::row_chunks;
  const int used = (columns + 15) / 16 * 2;
  return used < Cut::row_chunks ? used : Cut::row_chunks;
}

// Takes the first of a chunk's eight elements off and puts `bits` behind the last. Loops that go
// through a chunk so need not be unrolled, and need no memory: they stand in many places.
HEED_GPU std::uint32_t rotate(Chunk& eight, std::uint32_t bits) {
  const std::uint32_t first = eight.word[0] & 0xffffu;
  eight.word[0] = eight.word[0] >> 16 | eight.word[1] << 16;
  eight.word[1] = eight.word[1] >> 16 | eight.word[2] << 16;
  eight.word[2] = eight.word[2] >> 16 | eight.word[3] << 16;
  eight.word[3] = eight.word[3] >> 16 | bits << 16;
  return first;
}

// Eight elements of a row whose memory has no aligned runs of 16 bytes; zeros beyond `count`.
template <class T>
HEED_GPU Chunk gather(const T* from, Index step, int count) {
  Chunk eight{};
#pragma unroll 1
  for (int n = 0; n < 8; ++n, from += step) {
    rotate(eight, n < count ? ptx::load_global(from).bits : 0u);
  }
  return eight;
}

// tile[r] = x(row_begin + r, column_begin …): Rows rows, zero outside x. With `vectors` nothing is
// there before the copies are waited for. Not unrolled: the addresses of all its rows would take
// the registers that sums need.
template <class Cut, int Rows, class T>
HEED_GPU void load_tile(ptx::Shared tile, const View<const T, 2>& x, int row_begin,
                        int column_begin, bool vectors) {
  constexpr int rows_at_once = Cut::threads / Cut::row_chunks;
  const int thread = ptx::thread();
  const int chunk = thread % Cut::row_chunks;
  const int columns = static_cast<int>(x.extent[1]) - column_begin;
  if (chunk >= used_chunks<Cut>(columns)) return;
  const int left = Cut::exact ? 8 : columns - 8 * chunk;
  const int count = left < 0 ? 0 : left > 8 ? 8 : left;
  const int rows = count == 0 ? 0 : static_cast<int>(x.extent[0]) - row_begin;  // that exist
  int r = thread / Cut::row_chunks;
  const T* from = x.data + (row_begin + static_cast<Index>(r)) * x.stride[0] +
                  (column_begin + 8 * chunk) * x.stride[1];
#pragma unroll 1
  for (; r < Rows; r += rows_at_once, from += rows_at_once * x.stride[0]) {
    const ptx::Shared to = place<Cut>(tile, r, chunk);
    if (vectors) {
      ptx::cp_async(to, r < rows ? from : x.data, r < rows ? count * 2 : 0);
    } else {
      ptx::store_shared(to, gather(from, x.stride[1], r < rows ? count : 0));
    }
  }
}

// x(row_begin + r, column_begin …) = tile[r], where x has such an element.
template <class Cut, int Rows, class T>
HEED_GPU void store_tile(ptx::Shared tile, const View<T, 2>& x, int row_begin, int column_begin,
                         bool vectors) {
  constexpr int rows_at_once = Cut::threads / Cut::row_chunks;
  const int chunk = ptx::thread() % Cut::row_chunks;
  const int left = static_cast<int>(x.extent[1]) - column_begin - 8 * chunk;
  const int rows = static_cast<int>(x.extent[0]) - row_begin;
  int r = ptx::thread() / Cut::row_chunks;
  T* to = x.data + (row_begin + static_cast<Index>(r)) * x.stride[0] +
          (column_begin + 8 * chunk) * x.stride[1];
#pragma unroll 1
  for (; r < Rows && r < rows && left > 0; r += rows_at_once, to += rows_at_once * x.stride[0]) {
    const auto eight = ptx::load_shared<Chunk>(place<Cut>(tile, r, chunk));
    if (vectors && left >= 8) {
      ptx::store_global(reinterpret_cast<Chunk*>(to), eight);
      continue;
    }
    Chunk rest = eight;
    T* element = to;
#pragma unroll 1
    for (int n = 0; n < 8 && n < left; ++n, element += x.stride[1]) {
      ptx::store_global(element, T{static_cast<std::uint16_t>(rotate(rest, 0))});
    }
  }
}

// change(element) -> element, for every element of the tile that this thread itself loaded: no
// barrier is needed before, one is after.
template <class T, class Cut, int Rows, class Change>
HEED_GPU void change_own(ptx::Shared tile, int columns, const Change& change) {
  const int chunk = ptx::thread() % Cut::row_chunks;
  if (chunk >= used_chunks<Cut>(columns)) return;
#pragma unroll 1
  for (int r = ptx::thread() / Cut::row_chunks; r < Rows; r += Cut::threads / Cut::row_chunks) {
    const ptx::Shared at = place<Cut>(tile, r, chunk);
    Chunk eight = ptx::load_shared<Chunk>(at);
#pragma unroll 1
    for (int n = 0; n < 8; ++n) {
      const T element{static_cast<std::uint16_t>(eight.word[0])};
      rotate(eight, change(element).bits);
    }
    ptx::store_shared(at, eight);
  }
}

// Addresses of one lane for ldmatrix: `at(row, column)`, both multiples of 16, costs an exclusive
// or and a constant offset.
template <class Cut>
class Corner {
 public:
  // This lane's row and its chunk, 0 or 1, of the sixteen by sixteen at the tile's beginning.
  HEED_GPU Corner(ptx::Shared tile, int row, int chunk) : first_(place<Cut>(tile, row, chunk)) {}

  // Tiles begin at multiples of a row, so a chunk's bits are a field of the address.
  HEED_GPU ptx::Shared at(int row, int column) const {
    return (first_ ^ static_cast<ptx::Shared>(column * 2)) +
           static_cast<ptx::Shared>(row * Cut::row_bytes);
  }

 private:
  ptx::Shared first_;
};

// 16 rows by 16 columns as the left operand of a product: q, of the rows from `row` on.
template <class Cut>
HEED_GPU Corner<Cut> left_corner(ptx::Shared tile, int row) {
  const int lane = ptx::thread() % ptx::warp_lanes;
  return {tile, row + lane % 16, lane / 16};
}

// 16 rows by 16 columns, transposed, as two right operands: registers 0 and 1 for the first eight
// rows, 2 and 3 for the others. So q · kᵀ takes keys.
template <class Cut>
HEED_GPU Corner<Cut> transposed_corner(ptx::Shared tile) {
  const int lane = ptx::thread() % ptx::warp_lanes;
  return {tile, lane / 16 * 8 + lane % 8, lane / 8 % 2};
}

// 16 rows by 16 columns as two right operands: registers 0 and 1 for the first eight columns, 2 and
// 3 for the others. So p · v takes values, with ldmatrix.trans.
template <class Cut>
HEED_GPU Corner<Cut> right_corner(ptx::Shared tile) {
  const int lane = ptx::thread() % ptx::warp_lanes;
  return {tile, lane % 16, lane / 16};
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
