// Rotary position embedding: pairs of dimensions turn by an angle that grows with the position, so
// a dot of a query and a key depends on their distance alone.
// Su et al., "RoFormer" (2021), equation 34.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "heed/core/check.hpp"
#include "heed/core/eigen.hpp"

namespace heed::position {

// Which dimensions turn together, r the number that turn.
enum class Pairs {
  half_split,  // d and d + r/2: GPT-NeoX, LLaMA, the documents
  interleaved  // 2d and 2d + 1: the paper, GPT-J
};

struct RopeOptions {
  double base = 10000;
  Pairs pairs = Pairs::half_split;
  Index rotary_dim = 0;  // the first so many dimensions turn, an even number; 0: all
  Index offset = 0;      // position of row 0
};

inline namespace HEED_ABI {

// Turns one row of D elements; `from` and `to` may be the same.
//   turn  [r/2]  cos and sin of each pair's angle
template <class T>
void rotate_row(const T* from, Index from_stride, T* to, Index to_stride, Index D, Index rotary_dim,
                Pairs pairs, const std::vector<std::pair<double, double>>& turn) {
  using R = Accum<T>;
  const bool split = pairs == Pairs::half_split;
  for (Index n = 0; n < rotary_dim / 2; ++n) {
    const Index first = split ? n : 2 * n;
    const Index second = split ? n + rotary_dim / 2 : 2 * n + 1;
    const R x = static_cast<R>(from[first * from_stride]);
    const R y = static_cast<R>(from[second * from_stride]);
    const auto [cosine, sine] = turn[static_cast<std::size_t>(n)];
    const R c = static_cast<R>(cosine);
    const R s = static_cast<R>(sine);
    to[first * to_stride] = static_cast<T>(x * c - y * s);
    to[second * to_stride] = static_cast<T>(y * c + x * s);
  }
  for (Index d = rotary_dim; d < D; ++d) to[d * to_stride] = from[d * from_stride];
}

// The number of dimensions that turn. Throws heed::Error where it is odd or more than D.
inline Index rotary_dim_of(const RopeOptions& options, Index D) {
  const Index dim = options.rotary_dim == 0 ? D : options.rotary_dim;
  if (dim < 0 || dim > D || dim % 2 != 0) {
    throw Error("heed::position::rope: " + std::to_string(dim) + " of " + std::to_string(D) +
                " dimensions cannot turn in pairs");
  }
  if (!(is_finite(options.base) && options.base > 0)) {
    throw Error("heed::position::rope: the base must be positive and finite");
  }
  return dim;
}

// out[…, i, :] = x[…, i, :] turned by position offset + i.
//
//   x    [B, H, L, D], [B, L, D] or [L, D], any layout
//   out  as x; may be x itself
//
// Throws heed::Error for an odd number of turning dimensions, or where the shapes differ.
// Angles in double, so far positions stay accurate. Time O(B·H·L·D).
template <class Out, class X>
void rope_into(Out&& out, const X& x, const RopeOptions& options = {}) {
  const auto from = lift(view_of(x));
  const auto to = lift(mutable_view_of(out));
  for (int d = 0; d < 4; ++d) {
    if (from.extent[d] == to.extent[d]) continue;
    throw Error("heed::position::rope: out " + to_string(to) + " is not of the shape of x " +
                to_string(from));
  }
  const Index D = from.extent[3];
  const Index rotary_dim = rotary_dim_of(options, D);
  std::vector<std::pair<double, double>> turn(static_cast<std::size_t>(rotary_dim / 2));
  for (Index i = 0; i < from.extent[2]; ++i) {
    for (std::size_t n = 0; n < turn.size(); ++n) {
      const double exponent = -2.0 * static_cast<double>(n) / static_cast<double>(rotary_dim);
      const double angle =
          static_cast<double>(options.offset + i) * std::pow(options.base, exponent);
      turn[n] = {std::cos(angle), std::sin(angle)};
    }
    for (Index b = 0; b < from.extent[0]; ++b) {
      for (Index h = 0; h < from.extent[1]; ++h) {
        rotate_row(from.data + from.offset(b, h, i, 0), from.stride[3],
                   to.data + to.offset(b, h, i, 0), to.stride[3], D, rotary_dim, options.pairs,
                   turn);
      }
    }
  }
}

// A turned copy of x, in x's layout and rank.
template <TensorLike X>
auto rope(const X& x, const RopeOptions& options = {}) {
  using Traits = TraitsOf<X>;
  using T = ScalarOf<X>;
  auto out = Traits::template make<T>(view_of(x).extent);
  rope_into(Traits::template owned_view<T>(out), x, options);
  return out;
}

}  // namespace HEED_ABI
}  // namespace heed::position
