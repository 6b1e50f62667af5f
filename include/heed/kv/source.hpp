// The source contract: where the keys and values of a call come from, beside its mask and score.
//
// A source keeps the keys and values of a head in runs of rows at equal stride: a dense tensor is
// one run, a page of a cache is one. A run may have any length, from 1 key on.
//   - Packed calls copy a KV block of several runs (64 to 512 keys) together before they pack it.
//   - Unpacked calls (decoding) read runs in place where they begin and end at multiples of the
//     kernels' NR (32 keys at most), those in panels at multiples of a register (16 at most): pages
//     of multiples of 16 tokens are not copied. Scattered pages of latent caches are, unless they
//     have multiples of NR, and those of kernels of 4 lanes below 64 features.
// Row sources have the bits of a dense tensor with the same keys, however they are cut into runs.
#pragma once

#include <concepts>
#include <string>
#include <type_traits>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/core/shape.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/simd/gemm/column_panels.hpp"
#include "heed/simd/table.hpp"

namespace heed::kv {

// Takes the rows of k and v, [n, D] and [n, Dv], from key `first` on.
template <class T>
struct RunVisitor {
  void operator()(Index first, const View<const T, 2>& k, const View<const T, 2>& v) const;
};

//   for_each_run(begin, end, f)  f(first, k, v) for the runs of keys [begin, end) in ascending
//   order
template <class S, class T>
concept BoundSource = requires(const S& source, Index begin, Index end, const RunVisitor<T>& f) {
  source.for_each_run(begin, end, f);
};

// Keys of one run in panels, as the kernels of q·kᵀ read them: key j of the run is column
// (offset + j) % width of panel (offset + j) / width. Panels have NR columns (simd::TileShape), or
// those of a register where a page is not a multiple of NR.
template <class T>
struct PanelKeys {
  const T* panels;  // [panels, D, width]
  Index offset;     // below width
  Index count;      // of keys
  Index width;

  // Key j's column, from a feature of which the next lies `width` further.
  const T* column(Index j, Index D) const { return in_panels(D).column(offset + j); }
  // Keys of key j's panel from it on, if there are so many.
  Index left(Index j) const { return in_panels(0).left(offset + j); }

 private:
  simd::ColumnPanels<const T> in_panels(Index D) const { return {panels, D, width}; }
};

template <class T>
struct PanelVisitor {
  void operator()(Index first, const PanelKeys<T>& k, const View<const T, 2>& v) const;
};

// A bound source may keep its keys in panels. Its calls then sum in one order, that of the kernels
// whose packed words are elements: a row has the same bits in prefill and in decoding.
//   for_each_panel_run(begin, end, f)  f(first, k, v) for the runs of keys [begin, end) in
//   ascending order; the rows of v are contiguous
template <class S, class T>
concept PanelSource = requires(const S& source, Index begin, Index end, const PanelVisitor<T>& f) {
  source.for_each_panel_run(begin, end, f);
};

// A panel source whose values are the first Dv features of their keys. The v of its runs has no
// columns, [n, 0]; for_each_row_run (kv/row_runs.hpp) reads them.
template <class S>
concept LatentSource = requires {
  requires bool(S::values_in_keys);
};

struct CodePanelVisitor {
  void operator()(const simd::CodePanel& panel) const;
};

// A bound source may keep its keys and values in codes (kv/format.hpp). They are multiplied as they
// are where the machine sums products of bytes, else a KV block is widened before it is attended
// to. A row has the same bits in prefill and in decoding. `begin` is a multiple of NR.
//   kernels()                           of the machine, whose NR the panels have
//   for_each_code_panel(begin, end, f)  f(panel) for NR tokens at a time
//   widen(begin, end, k, v)             k [panels, D, NR] and v [end - begin, Dv] of keys
//                                       [begin, end)
//   rotated()                           rows are rotated: so is q before the call, and out is
//                                       rotated back
template <class S>
concept CodeSource = requires(const S& source, Index begin, Index end, float* to,
                              const CodePanelVisitor& f) {
  S::Format::key_bits + S::Format::value_bits;
  { source.kernels() } -> std::same_as<const simd::CodeKernels&>;
  source.for_each_code_panel(begin, end, f);
  source.widen(begin, end, to, to);
  { source.rotated() } -> std::same_as<bool>;
};

//   length(b)                keys of batch entry b, Lk at most
//   bind(shape, b, kv_head)  the keys and values of one key head; copied to each worker
// A type named Scalar, where a source has one, is that of its elements.
template <class S, class T>
concept Source = requires(const S& source, const Shape& shape, Index b, Index kv_head) {
  { source.length(b) } -> std::convertible_to<Index>;
  requires BoundSource<decltype(source.bind(shape, b, kv_head)), T> ||
      PanelSource<decltype(source.bind(shape, b, kv_head)), T> ||
      CodeSource<decltype(source.bind(shape, b, kv_head))>;
};

// The type of a source's elements: its Scalar, or that of q.
template <class S, class T>
struct ElementOfSource {
  using Type = T;
};
template <class S, class T>
requires requires { typename S::Scalar; }
struct ElementOfSource<S, T> {
  using Type = typename S::Scalar;
};
template <class S, class T>
using ElementOf = typename ElementOfSource<S, T>::Type;

// True where q may be of T: the source's elements are too, or are summed in it.
template <class S, class T>
inline constexpr bool serves =
    std::is_same_v<ElementOf<S, T>, T> || std::is_same_v<Accum<ElementOf<S, T>>, T>;

// True where masks and scores of batch entry b count from length(b), as in a call of its own; else
// they count from Lk, the longest length.
template <class S>
inline constexpr bool counts_from_length = false;
template <class S>
requires requires { requires bool(S::counts_from_length); }
inline constexpr bool counts_from_length<S> = true;

inline namespace HEED_ABI {

// The shape that masks and scores of batch entry b are bound to.
template <class S>
Shape shape_of_entry(const S& source, const Shape& shape, Index b) {
  if constexpr (counts_from_length<S>) {
    Shape own = shape.at(source.length(b) - shape.Lq);
    own.missing = shape.Lk - source.length(b);
    return own;
  } else {
    return shape;
  }
}

}  // namespace HEED_ABI

// The shape of a source: keys [B, Hkv, length(b), D] and values [B, Hkv, length(b), Dv].
struct Extents {
  Index B, Hkv, D, Dv;
};

inline namespace HEED_ABI {

inline std::string to_string(const Extents& of) {
  return joined({"B ", of.B, ", Hkv ", of.Hkv, ", D ", of.D, ", Dv ", of.Dv});
}

}  // namespace HEED_ABI

// A source that stands in a call for k and v: heed::attention(q, source, mask, score, options).
template <class S>
concept HasExtents = requires(const S& source) {
  { source.extents() } -> std::same_as<Extents>;
};

}  // namespace heed::kv
