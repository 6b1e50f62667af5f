// ALiBi: −slope·|distance| is added to a score, each head with its own slope.
// Press, Smith, Lewis, "Train Short, Test Long" (2021), section 3.
#pragma once

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/core/span.hpp"
#include "heed/score/add_gradient.hpp"
#include "heed/score/score.hpp"

namespace heed::score {

inline namespace HEED_ABI {

struct BoundAlibi {
  static constexpr bool unit_derivative = true;

  float slope;
  int offset;  // Lk − Lq: both sequences end together

  template <class R>
  HEED_DEVICE constexpr R value(R s, int i, int j) const {
    const int distance = j - i - offset;
    return s - static_cast<R>(slope) * static_cast<R>(distance < 0 ? -distance : distance);
  }
  template <class R>
  HEED_DEVICE constexpr R derivative(R, int, int) const {
    return R(1);
  }

  // sums [1, 1]
  template <class X, class R>
  void add_gradient(const View<X, 2>& sums, R d, R, int i, int j) const {
    add_gradient(sums, &d, &d, i, j, 1);
  }
  template <class X, class R>
  [[gnu::always_inline]] void add_gradient(const View<X, 2>& sums, const R* d, const R*, int i,
                                           int j, int keys) const {
    const int first = j - i - offset;
    add_to(sums(0, 0), -sum_of<R>(keys, [&](int c) {
             const int distance = first + c;
             return d[c] * static_cast<R>(distance < 0 ? -distance : distance);
           }));
  }
};

}  // namespace HEED_ABI

struct Alibi {
  Span<float> slopes;  // [Hq], or [B, Hq]

  HEED_DEVICE BoundAlibi bind(const Shape& shape, Index b, Index h) const {
    return {slopes[slopes.size() == shape.Hq ? h : b * shape.Hq + h],
            static_cast<int>(shape.end_offset())};
  }
  template <class Arena>
  Alibi to_device(Arena& arena) const {
    return {arena.copy(slopes)};
  }

  View<const float, 4> parameters(const Shape& shape) const {
    const Index batches = slopes.size() == shape.Hq ? 1 : shape.B;
    return {slopes.data(), {batches, shape.Hq, 1, 1}, {shape.Hq, 1, 0, 0}};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    const bool shared = slopes.size() == shape.Hq;
    if (!shared && slopes.size() != shape.B * shape.Hq) {
      throw Error("heed::score::alibi: " + std::to_string(slopes.size()) + " slopes for " +
                  std::to_string(shape.Hq) + " query heads and a batch of " +
                  std::to_string(shape.B));
    }
    for (Index n = 0; n < slopes.size(); ++n) {
      if (is_finite(slopes[n])) continue;
      std::string place = std::to_string(n % shape.Hq);
      if (!shared) place += " of batch entry " + std::to_string(n / shape.Hq);
      throw Error("heed::score::alibi: the slope of head " + place + " is not finite");
    }
  }
};

inline namespace HEED_ABI {

// Refers to `slopes`, of any sign, the paper's or learned: they must outlive the score.
//
//   slopes  [Hq], one per query head, or B · Hq, those of batch entry after batch entry
inline Alibi alibi(BorrowedSpan<float> slopes) { return {slopes}; }

// The paper's slopes: 2^(−8 n / heads), n = 1 … heads, where heads is a power of two; else those of
// the power below, then every other one of the power above. Throws heed::Error for heads < 1.
inline std::vector<float> alibi_slopes(int heads) {
  if (heads < 1) {
    throw Error("heed::score::alibi_slopes: heads " + std::to_string(heads) + " is below 1");
  }
  const int power = static_cast<int>(std::bit_floor(static_cast<unsigned>(heads)));
  std::vector<float> slopes;
  for (int n = 1; n <= power; ++n) {
    slopes.push_back(static_cast<float>(std::exp2(-8.0 * n / power)));
  }
  for (int n = 0; n < heads - power; ++n) {
    slopes.push_back(static_cast<float>(std::exp2(-8.0 * (2 * n + 1) / (2.0 * power))));
  }
  return slopes;
}

}  // namespace HEED_ABI
}  // namespace heed::score
