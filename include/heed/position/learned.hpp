// Position as a row of a learned table, and how rows of positions are added to tokens.
#pragma once

#include <string>

#include "heed/core/check.hpp"
#include "heed/core/tensor.hpp"

namespace heed::position {

inline namespace HEED_ABI {

// Rows offset … offset + L − 1 of a table, as a view of it.
//
//   table    [max_len, D]
//   returns  [L, D]         refers to the table: a temporary one is a compile error
//
// Throws heed::Error, with both numbers, where a position is not in the table.
template <TensorLike Table>
View<const ScalarOf<Table>, 2> learned(Table&& table, Index L, Index offset = 0) {
  static_assert(rank_of<Table> == 2, "heed::position::learned: the table is [max_len, D]");
  static_assert(LastingTensor<Table>,
                "heed::position::learned: refers to the tensor, and this one is gone when the "
                "expression ends: give it "
                "a name");
  constexpr const char* call = "heed::position::learned";
  const auto all = view_of(table);
  require_sane(all, call, "table");
  if (L < 0 || offset < 0 || offset > all.extent[0] || L > all.extent[0] - offset) {
    throw Error(std::string(call) + ": " + std::to_string(L) + " positions from " +
                std::to_string(offset) + " are not in a table of " + std::to_string(all.extent[0]) +
                " (table " + to_string(all) + ")");
  }
  return {all.data == nullptr ? nullptr : all.data + offset * all.stride[0],
          {L, all.extent[1]},
          {all.stride[0], all.stride[1]}};
}

// x[b, i] += positions[i]
//
//   x          [B, L, D] or [L, D]   written
//   positions  [L, D]                sinusoidal(…), learned(…), or any other
//
// Sums in float for half types. Throws heed::Error where shapes disagree and
// where rows of x share memory.
template <class X, TensorLike P>
void add_into(X&& x, const P& positions) {
  constexpr const char* call = "heed::position::add_into";
  const auto to = mutable_view_of(x);
  constexpr int rank = decltype(to)::rank;
  static_assert((rank == 2 || rank == 3) && rank_of<P> == 2,
                "heed::position::add_into: x is [B, L, D] or [L, D], positions are [L, D]");
  using T = typename decltype(to)::Scalar;
  const auto from = view_of(positions);
  require_sane(to, call, "x");
  require_distinct(to, call, "x");
  require_sane(from, call, "positions");
  const auto tokens = lift(to);  // [B, 1, L, D]
  require(tokens.extent[2] == from.extent[0] && tokens.extent[3] == from.extent[1], call,
          "positions are not [L,D] of x",
          [&] { return "x " + to_string(to) + ", positions " + to_string(from); });
  if (tokens.empty()) return;
  const Index step = tokens.stride[3], from_step = from.stride[1];
  for (Index b = 0; b < tokens.extent[0]; ++b) {
    for (Index i = 0; i < from.extent[0]; ++i) {
      T* row = tokens.data + b * tokens.stride[0] + i * tokens.stride[2];
      const auto* added = from.data + i * from.stride[0];
      for (Index d = 0; d < from.extent[1]; ++d, row += step, added += from_step) {
        *row = static_cast<T>(static_cast<Accum<T>>(*row) + static_cast<Accum<T>>(*added));
      }
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::position
