// Rotary position on a grid, for images: half of the rotated features turn with the token's row,
// the other half with its column, so that q·k depends on both distances.
// Heo et al., "Rotary Position Embedding for Vision Transformer" (2024), section 3.1, axial.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "heed/position/rope.hpp"

namespace heed::position {

// Where the tokens of a call stand on the grid, for every batch or for each.
struct GridPlaces {
  std::vector<Index> row, column;  // [L] or [B · L]
};

inline namespace HEED_ABI {

// Features [first, first + count) of every token.
template <class T, int Rank>
View<T, Rank> features(View<T, Rank> x, Index first, Index count) {
  x.extent[Rank - 1] = count;
  if (x.data != nullptr) x.data += first * x.stride[Rank - 1];
  return x;
}

// A grid of `width` columns, row after row: token i stands in row i / width, column i % width.
// Throws heed::Error for a negative height and for a width below 1.
template <class = void>
GridPlaces grid(Index height, Index width) {
  if (height < 0 || width < 1) {
    throw Error("heed::position::grid: " + std::to_string(height) + " rows of " +
                std::to_string(width));
  }
  const Index count = checked_product(height, width);
  GridPlaces places;
  for (Index i = 0; i < count; ++i) {
    places.row.push_back(i / width);
    places.column.push_back(i % width);
  }
  return places;
}

// out = x, features [0, dim / 2) turned as rope_into turns them at the token's row, features
// [dim / 2, dim) at its column; each half has the frequencies and pairs of dim / 2 features.
//
//   x, out  as in rope_into
//   places  a row and a column a token, both added to options.offset
//
// Throws heed::Error where rope_into does, for a dim that is not a multiple of 4, and where places
// are missing or options have ids of their own.
template <class Out, TensorLike X>
void rope_2d_into(Out&& out, const X& x, const GridPlaces& places, RopeOptions options = {}) {
  constexpr const char* call = "heed::position::rope_2d";
  const auto to = mutable_view_of(out);
  static_assert(std::is_same_v<decltype(to.data), ScalarOf<X>*>,
                "heed::position::rope_2d_into: out must be writable and of x's element type");
  const auto from = view_of(x);
  const auto tokens = [&](const std::vector<Index>& ids) {
    return RopeTokens{options.offset, ids};
  };
  const Index dim = check_rope(to, from, options.dim, tokens(places.row));
  check_rope(to, from, options.dim, tokens(places.column));
  require(dim % 4 == 0, call, "the number of features to rotate is not a multiple of 4",
          [&] { return "dim " + std::to_string(dim) + ", x " + to_string(from); });
  require(places.row.size() == places.column.size(), call,
          "places have not as many rows as columns", [&] {
            return std::to_string(places.row.size()) + " and " +
                   std::to_string(places.column.size());
          });
  require(options.ids.empty(), call, "ids beside places",
          [&] { return std::to_string(options.ids.size()) + " ids"; });
  require(!places.row.empty() || from.empty(), call, "no places",
          [&] { return "x " + to_string(from); });
  const Index D = from.extent[rank_of<X> - 1];
  if (dim == 0) return;  // so is D
  options.dim = dim / 2;
  options.ids = places.row;
  rope_into(features(to, 0, dim / 2), features(from, 0, dim / 2), options);
  options.ids = places.column;
  rope_into(features(to, dim / 2, D - dim / 2), features(from, dim / 2, D - dim / 2), options);
}

// The same as a new tensor of x's kind and layout.
template <TensorLike X>
auto rope_2d(const X& x, const GridPlaces& places, const RopeOptions& options = {}) {
  return written_as(x, [&](const auto& to) { rope_2d_into(to, x, places, options); });
}

}  // namespace HEED_ABI
}  // namespace heed::position
