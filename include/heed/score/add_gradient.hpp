// Sums of gradients that a score's parameters share.
#pragma once

#include <type_traits>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed::score {
inline namespace HEED_ABI {

// sum += d in the wider type of both; a half is rounded to afterwards.
template <class X, class R>
[[gnu::always_inline]] inline void add_to(X& sum, R d) {
  using Wide = std::conditional_t<(sizeof(X) > sizeof(R)), X, R>;
  sum = static_cast<X>(static_cast<Wide>(sum) + static_cast<Wide>(d));
}

// Σ_c f(c), c < count, as 16 sums side by side: the loop vectorises.
template <class R, class F>
[[gnu::always_inline]] inline R sum_of(int count, const F& f) {
  constexpr int lanes = 16;
  R sums[lanes] = {};
  int c = 0;
  for (; c + lanes <= count; c += lanes) {
    for (int n = 0; n < lanes; ++n) sums[n] += f(c + n);
  }
  for (int n = 0; c + n < count; ++n) sums[n] += f(c + n);
  for (int n = 0; n < 8; ++n) sums[n] += sums[n + 8];
  for (int n = 0; n < 4; ++n) sums[n] += sums[n + 4];
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

}  // namespace HEED_ABI
}  // namespace heed::score
