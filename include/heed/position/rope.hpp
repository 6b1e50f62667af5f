// Rotary position: each pair of features is turned by an angle that grows with the position, so
// that q·k depends on positions only through their difference.
// Su et al., "RoFormer" (2021), section 3.2.2.
#pragma once

#include <string>
#include <type_traits>

#include "heed/core/check.hpp"
#include "heed/core/layout.hpp"
#include "heed/core/tensor.hpp"
#include "heed/position/rope_frequencies.hpp"
#include "heed/position/rope_rows.hpp"
#include "heed/position/rope_turn.hpp"

namespace heed::position {

struct RopeOptions {
  RopePairs pairs = RopePairs::half_split;
  Index dim = 0;         // features [0, dim) are rotated, the others kept; 0: all
  Index offset = 0;      // position of token 0; any, negative too
  double base = 10'000;  // pair n turns base^(−2n / dim) radians a position
  RopeScaling scaling = {};
  std::span<const Index> ids = {};  // token i stands at offset + ids[i]; [L], or [B · L]
};

inline namespace HEED_ABI {

// The rotated features of a call. Throws heed::Error for what rope_into refuses.
template <class T, int Rank>
Index check_rope(const View<T, Rank>& out, const View<const T, Rank>& x, Index dim,
                 const RopeTokens& tokens) {
  constexpr const char* call = "heed::position::rope";
  const auto shapes = [&] { return "out " + to_string(out) + ", x " + to_string(x); };
  require_sane(x, call, "x");
  require_sane(out, call, "out");
  bool same_memory = out.data == x.data;
  for (int d = 0; d < Rank; ++d) {
    require(out.extent[d] == x.extent[d], call, "out must have the shape of x", shapes);
    same_memory = same_memory && (out.stride[d] == x.stride[d] || x.extent[d] == 1);
  }
  require_distinct(out, call, "out");
  require(same_memory || !may_overlap(out, x), call, "out overlaps x without being x", shapes);
  const Index D = x.extent[Rank - 1];
  if (dim == 0) dim = D;
  if (dim < 0 || dim > D || dim % 2 != 0) {
    throw Error(std::string(call) + ": " + std::to_string(dim) +
                " features to rotate must be even and at most the dim " + std::to_string(D) +
                " (x " + to_string(x) + ")");
  }
  check_ids(tokens, lift(x).extent[0], x.extent[Rank - 2]);
  return dim;
}

// out = x, each pair of features (a, b) of a token turned by the angle t = its position · the
// pair's frequency: (a·cos t − b·sin t, b·cos t + a·sin t), times the scaling's magnitude.
//
//   x    [B, H, L, D], [B, L, D] or [L, D]; heed::blhd(x) for [B, L, H, D]; any strides
//   out  x's shape, any strides; may be x
//
// Angles are in double, so that position 10^6 is as exact as position 1; the turn is in float
// for half types. Throws heed::Error for an odd dim or one above D, a bad base, scaling or number
// of ids, and where shapes disagree or out overlaps x without being x. Time O(L·dim·(B·H + a sine
// and a cosine)).
template <class Out, TensorLike X>
void rope_into(Out&& out, const X& x, const RopeOptions& options = {}) {
  using T = ScalarOf<X>;
  const auto to = mutable_view_of(out);
  static_assert(std::is_same_v<decltype(to.data), T*>,
                "heed::position::rope_into: out must be writable and of x's element type");
  const auto from = view_of(x);
  const RopeTokens tokens{options.offset, options.ids};
  const Index dim = check_rope(to, from, options.dim, tokens);
  const RopeFrequencies frequencies = rope_frequencies(dim, options.base, options.scaling);
  ComputedRows<Accum<T>> rows(frequencies, tokens, lift(from).extent[2]);
  turn_tokens(lift(to), lift(from), dim, options.pairs, rows);
}

// to = from, turned by a table's angles as Rows reads them.
template <class Rows, class To, class From, class R>
void turn_by_table(const To& to, const From& from, const RopeTable<R>& table,
                   const RopeTokens& tokens, RopePairs pairs) {
  const auto lifted = lift(from);
  check_rope(to, from, table.dim(), tokens);
  check_positions(table.first(), table.count(), tokens, lifted.extent[0], lifted.extent[2]);
  Rows rows{table, tokens, lifted.extent[2]};
  turn_tokens(lift(to), lifted, table.dim(), pairs, rows);
}

// The same with cosines and sines of a table, which serves every layer and call: the speed of
// memory. Rotates the table's dim features.
//
//   table  RopeTable<float>, RopeTable<double> for double tensors
//
// Throws heed::Error also for a position that is not in the table. Time O(B·H·L·dim).
template <class Out, TensorLike X>
void rope_into(Out&& out, const X& x, const RopeTable<Accum<ScalarOf<X>>>& table,
               const RopeTokens& tokens = {}, RopePairs pairs = RopePairs::half_split) {
  using T = ScalarOf<X>;
  const auto to = mutable_view_of(out);
  static_assert(std::is_same_v<decltype(to.data), T*>,
                "heed::position::rope_into: out must be writable and of x's element type");
  turn_by_table<TabulatedRows<Accum<T>>>(to, view_of(x), table, tokens, pairs);
}

// d_x = the gradient of x of that call, d_out being the gradient of its out: turned back by the
// same angles, times the scaling's magnitude. d_x may be d_out.
template <class DX, TensorLike D>
void rope_gradient_into(DX&& d_x, const D& d_out, const RopeTable<Accum<ScalarOf<D>>>& table,
                        const RopeTokens& tokens = {}, RopePairs pairs = RopePairs::half_split) {
  using T = ScalarOf<D>;
  const auto to = mutable_view_of(d_x);
  static_assert(std::is_same_v<decltype(to.data), T*>,
                "heed::position::rope_gradient_into: d_x must be writable and of d_out's type");
  turn_by_table<InverseRows<Accum<T>>>(to, view_of(d_out), table, tokens, pairs);
}

// The same as a new tensor of x's kind and layout.
template <TensorLike X>
auto rope(const X& x, const RopeOptions& options = {}) {
  return written_as(x, [&](const auto& to) { rope_into(to, x, options); });
}
template <TensorLike X>
auto rope(const X& x, const RopeTable<Accum<ScalarOf<X>>>& table, const RopeTokens& tokens = {},
          RopePairs pairs = RopePairs::half_split) {
  return written_as(x, [&](const auto& to) { rope_into(to, x, table, tokens, pairs); });
}

}  // namespace HEED_ABI
}  // namespace heed::position
