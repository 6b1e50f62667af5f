// Rotary position: each pair of features is turned by an angle that grows with the position, so
// that q·k depends on positions only through their difference.
// Su et al., "RoFormer" (2021), section 3.2.2.
#pragma once

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "heed/core/check.hpp"
#include "heed/core/tensor.hpp"
#include "heed/position/sinusoidal.hpp"

namespace heed::position {

// Which two of the `dim` rotated features make pair n.
enum class RopePairs {
  half_split,  // n and n + dim / 2: LLaMA, GPT-NeoX
  interleaved  // 2n and 2n + 1: the paper, GPT-J
};

struct RopeOptions {
  RopePairs pairs = RopePairs::half_split;
  Index dim = 0;         // features [0, dim) are rotated, the others kept; 0: all
  Index offset = 0;      // position of token 0; any, negative too
  double base = 10'000;  // pair n turns base^(−2n / dim) radians a position
};

inline namespace HEED_ABI {

// The rotated features of a call. Throws heed::Error for what rope_into refuses.
template <class T, int Rank>
Index check_rope(const View<T, Rank>& out, const View<const T, Rank>& x,
                 const RopeOptions& options) {
  constexpr const char* call = "heed::position::rope";
  const auto shapes = [&] { return "out " + to_string(out) + ", x " + to_string(x); };
  require_sane(x, call, "x");
  require_sane(out, call, "out");
  bool same_memory = out.data == x.data;
  for (int d = 0; d < Rank; ++d) {
    require(out.extent[d] == x.extent[d], call, "out has not the shape of x", shapes);
    same_memory = same_memory && (out.stride[d] == x.stride[d] || x.extent[d] == 1);
  }
  require(!repeats_elements(out), call, "out repeats elements (a stride of 0)", shapes);
  require(same_memory || !may_overlap(out, x), call, "out overlaps x without being x", shapes);
  check_base(call, options.base);
  const Index D = x.extent[Rank - 1];
  const Index dim = options.dim == 0 ? D : options.dim;
  if (dim < 0 || dim > D || dim % 2 != 0) {
    throw Error(std::string(call) + ": " + std::to_string(dim) +
                " features to rotate must be even and at most the dim " + std::to_string(D) +
                " (x " + to_string(x) + ")");
  }
  return dim;
}

// The pairs of one token, turned by cos and sin [dim / 2]; features behind dim are copied.
template <class T, class R>
void rotate_token(T* out, Index out_stride, const T* x, Index x_stride, Index D, Index dim,
                  RopePairs pairs, const R* cos, const R* sin) {
  const bool split = pairs == RopePairs::half_split;
  for (Index n = 0; n < dim / 2; ++n) {
    const Index first = split ? n : 2 * n;
    const Index second = split ? n + dim / 2 : 2 * n + 1;
    const R a = static_cast<R>(x[first * x_stride]);
    const R b = static_cast<R>(x[second * x_stride]);
    out[first * out_stride] = static_cast<T>(a * cos[n] - b * sin[n]);
    out[second * out_stride] = static_cast<T>(b * cos[n] + a * sin[n]);
  }
  if (out == x) return;
  for (Index d = dim; d < D; ++d) out[d * out_stride] = x[d * x_stride];
}

// out = x, each pair of features (a, b) of token i turned by the angle t = (offset + i) ·
// frequency: (a·cos t − b·sin t, b·cos t + a·sin t).
//
//   x    [B, H, L, D], [B, L, D] or [L, D]; heed::blhd(x) for [B, L, H, D]; any strides
//   out  x's shape, any strides; may be x
//
// Angles are taken in double, so that position 10^6 is as good as position 1; the turn is in float
// for half types. Throws heed::Error for an odd dim or one above D, a bad base, and where shapes
// disagree or out overlaps x without being x. Time O(L·dim·(B·H + a sine and a cosine)).
template <class Out, TensorLike X>
void rope_into(Out&& out, const X& x, const RopeOptions& options = {}) {
  using T = ScalarOf<X>;
  using R = Accum<T>;
  const auto to_view = mutable_view_of(out);
  static_assert(std::is_same_v<decltype(to_view.data), T*>,
                "heed::position::rope_into: out must be writable and of x's element type");
  const auto from_view = view_of(x);
  const Index dim = check_rope(to_view, from_view, options);
  const auto to = lift(to_view);
  const auto from = lift(from_view);
  const auto pairs = static_cast<std::size_t>(dim / 2);
  std::vector<double> step(pairs);
  for (std::size_t n = 0; n < pairs; ++n) {
    step[n] = frequency(static_cast<Index>(n), dim, options.base);
  }
  std::vector<R> cos(pairs), sin(pairs);
  for (Index i = 0; i < from.extent[2]; ++i) {
    for (std::size_t n = 0; n < pairs; ++n) {
      const double angle = (static_cast<double>(options.offset) + static_cast<double>(i)) * step[n];
      cos[n] = static_cast<R>(std::cos(angle));
      sin[n] = static_cast<R>(std::sin(angle));
    }
    for (Index b = 0; b < from.extent[0]; ++b) {
      for (Index h = 0; h < from.extent[1]; ++h) {
        rotate_token(to.data + to.offset(b, h, i, 0), to.stride[3],
                     from.data + from.offset(b, h, i, 0), from.stride[3], from.extent[3], dim,
                     options.pairs, cos.data(), sin.data());
      }
    }
  }
}

// The same as a new tensor of x's kind and layout.
template <TensorLike X>
auto rope(const X& x, const RopeOptions& options = {}) {
  using T = ScalarOf<X>;
  using Traits = TraitsOf<X>;
  const auto view = view_of(x);
  auto out = Traits::template make<T>(view.extent);
  rope_into(Traits::template owned_view<T>(out), x, options);
  return out;
}

}  // namespace HEED_ABI
}  // namespace heed::position
