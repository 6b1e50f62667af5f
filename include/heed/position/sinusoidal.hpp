// Position as sines and cosines of falling frequency, added to a token's features.
// Vaswani et al., "Attention Is All You Need" (2017), section 3.5.
#pragma once

#include <cmath>
#include <string>

#include "heed/core/check.hpp"
#include "heed/core/eigen.hpp"

namespace heed::position {

struct SinusoidalOptions {
  Index offset = 0;      // position of row 0; any, negative too
  double base = 10'000;  // wavelengths run from 2π to 2π · base
};

inline namespace HEED_ABI {

// Throws heed::Error unless `base` is finite and positive.
inline void check_base(const char* call, double base) {
  if (is_finite(base) && base > 0) return;
  throw Error(std::string(call) + ": base " + std::to_string(base) + " is not finite and positive");
}

// Radians a position at pair `pair` of `dim` features: base^(−2·pair / dim).
inline double frequency(Index pair, Index dim, double base) {
  return std::pow(base, -2.0 * static_cast<double>(pair) / static_cast<double>(dim));
}

// out[p, 2i] = sin(position / base^(2i / D)), out[p, 2i + 1] = cos(the same).
//
//   out  [L, D]   written; any strides, any D, odd too
//
// Angles are in double, so that position 10^6 is as exact as position 1.
// Throws heed::Error for a bad base and where rows of out share memory. Time O(L·D).
template <class Out>
void sinusoidal_into(Out&& out, const SinusoidalOptions& options = {}) {
  constexpr const char* call = "heed::position::sinusoidal";
  const auto view = mutable_view_of(out);
  static_assert(decltype(view)::rank == 2, "heed::position::sinusoidal_into: out is [L, D]");
  using T = typename decltype(view)::Scalar;
  require_sane(view, call, "out");
  require_distinct(view, call, "out");
  check_base(call, options.base);
  for (Index d = 0; d < view.extent[1]; ++d) {
    const double step = frequency(d / 2, view.extent[1], options.base);
    for (Index i = 0; i < view.extent[0]; ++i) {
      const double angle = (static_cast<double>(options.offset) + static_cast<double>(i)) * step;
      view(i, d) =
          static_cast<T>(static_cast<Accum<T>>(d % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
  }
}

// The same as a new row-major tensor [L, D]. Throws heed::Error also for negative sizes.
template <AttentionElement T = float>
Tensor2<T> sinusoidal(Index L, Index D, const SinusoidalOptions& options = {}) {
  if (L < 0 || D < 0) {
    throw Error("heed::position::sinusoidal: a table of " + std::to_string(L) + " positions by " +
                std::to_string(D) + " features");
  }
  Tensor2<T> out = TensorTraits<View<T, 2>>::template make<T>({L, D});
  sinusoidal_into(out, options);
  return out;
}

}  // namespace HEED_ABI
}  // namespace heed::position
