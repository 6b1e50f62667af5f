// Rotary position by the caller's own cosines and sines: ONNX's RotaryEmbedding, exported models,
// and any frequencies that rope_frequencies does not have.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "heed/position/rope.hpp"

namespace heed::position {

// Rows of the caller's tables, as numbers of R, for some tokens at a time.
template <class R, class C>
class GivenRows : public BufferedRows<R> {
  using Rows = BufferedRows<R>;
  using Rows::cos_, Rows::first_, Rows::pairs_, Rows::sin_;

 public:
  // cos, sin  [B or 1, positions, pairs]; `rows` says which token takes which row of a batch.
  [[gnu::always_inline]] GivenRows(const View<const C, 3>& cos, const View<const C, 3>& sin,
                                   const RopeTokens& rows, Index L)
      : Rows(cos.extent[2]), from_cos_(cos), from_sin_(sin), rows_(rows), L_(L) {}

  // Tokens [first, first + count) of batch b come next; the same ones come for b = 0, 1, ….
  [[gnu::always_inline]] void prepare(Index b, Index first, Index count) {
    first_ = first;
    const bool one = from_cos_.extent[0] == 1;
    if (b > 0 && one && !ids_by_batch(rows_, L_)) return;
    for (Index t = 0; t < count; ++t) {
      const Index row = rows_.offset + place_of(rows_, L_, b, first + t);
      for (Index n = 0; n < pairs_; ++n) {
        const auto to = static_cast<std::size_t>(t * pairs_ + n);
        cos_[to] = static_cast<R>(from_cos_(one ? 0 : b, row, n));
        sin_[to] = static_cast<R>(from_sin_(one ? 0 : b, row, n));
      }
    }
  }

 private:
  View<const C, 3> from_cos_, from_sin_;
  const RopeTokens& rows_;
  Index L_;
};

inline namespace HEED_ABI {

// A table as [B or 1, positions, pairs].
template <class C, int Rank>
View<const C, 3> batched_table(const View<const C, Rank>& table) {
  if constexpr (Rank == 3) {
    return table;
  } else {
    return {
        table.data, {1, table.extent[0], table.extent[1]}, {0, table.stride[0], table.stride[1]}};
  }
}

// Throws heed::Error for tables that differ, do not fit x, or lack a token's position.
template <class T, int Rank, class C>
void check_tables(const View<T, Rank>& out, const View<const T, Rank>& x,
                  const View<const C, 3>& cos, const View<const C, 3>& sin, bool by_token,
                  const RopeTokens& tokens) {
  constexpr const char* call = "heed::position::rope";
  const auto shapes = [&] {
    return "cos " + to_string(cos) + ", sin " + to_string(sin) + ", x " + to_string(x);
  };
  require_sane(cos, call, "cos");
  require_sane(sin, call, "sin");
  check_rope(out, x, 2 * cos.extent[2], tokens);
  const auto lifted = lift(x);
  require(std::equal(cos.extent, cos.extent + 3, sin.extent), call,
          "sin must have the shape of cos", shapes);
  require(cos.extent[2] > 0, call, "cos and sin have no pairs", shapes);
  require(!may_overlap(out, cos) && !may_overlap(out, sin), call, "out overlaps cos or sin",
          shapes);
  if (!by_token) {
    check_positions(0, cos.extent[1], tokens, lifted.extent[0], lifted.extent[2]);
    return;
  }
  require(tokens.offset == 0 && tokens.ids.empty(), call,
          "cos and sin of rank 3 have a row a token, so there are no positions to give", shapes);
  require((cos.extent[0] == 1 || cos.extent[0] == lifted.extent[0]) &&
              cos.extent[1] == lifted.extent[2],
          call, "cos and sin must be [B or 1, L, pairs]", shapes);
}

// out = x, pair n of a token turned by the angle whose cosine and sine are given: (a, b) becomes
// (a·cos − b·sin, b·cos + a·sin). Features [0, 2 · pairs) are rotated, the others kept.
//
//   x, out    as in rope_into(out, x, options)
//   cos, sin  [positions, pairs]   token i takes row offset + i, or offset + its id
//             [B, L, pairs]        token i of batch b takes row i of batch b; B may be 1; no tokens
//             any floating-point type and strides; out must not overlap them
//
// The two need not lie on a circle: a scaling's magnitude may be in them. Hugging Face's tables
// have each number twice, in the order of the features: pass the first half of their columns.
// Throws heed::Error where shapes do not fit, for a position that is not in the tables, and where
// rope_into does. Time O(B·H·L·dim).
template <class Out, TensorLike X, TensorLike C, TensorLike S>
void rope_into(Out&& out, const X& x, const C& cos, const S& sin, const RopeTokens& tokens = {},
               RopePairs pairs = RopePairs::half_split) {
  using T = ScalarOf<X>;
  const auto to = mutable_view_of(out);
  static_assert(std::is_same_v<decltype(to.data), T*>,
                "heed::position::rope_into: out must be writable and of x's element type");
  static_assert(std::is_same_v<ScalarOf<C>, ScalarOf<S>>,
                "heed::position::rope_into: cos and sin must have the same element type");
  static_assert(rank_of<C> == rank_of<S> && (rank_of<C> == 2 || rank_of<C> == 3),
                "heed::position::rope_into: cos and sin are [positions, pairs] or [B, L, pairs]");
  const auto from = view_of(x);
  const auto of_cos = batched_table(view_of(cos)), of_sin = batched_table(view_of(sin));
  check_tables(to, from, of_cos, of_sin, rank_of<C> == 3, tokens);
  GivenRows<Accum<T>, ScalarOf<C>> rows(of_cos, of_sin, tokens, lift(from).extent[2]);
  turn_tokens(lift(to), lift(from), 2 * of_cos.extent[2], pairs, rows);
}

// The same as a new tensor of x's kind and layout.
template <TensorLike X, TensorLike C, TensorLike S>
auto rope(const X& x, const C& cos, const S& sin, const RopeTokens& tokens = {},
          RopePairs pairs = RopePairs::half_split) {
  return written_as(x, [&](const auto& to) { rope_into(to, x, cos, sin, tokens, pairs); });
}

}  // namespace HEED_ABI
}  // namespace heed::position
