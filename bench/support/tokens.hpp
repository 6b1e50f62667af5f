// Tokens with structure: on noise every approximation of the softmax looks bad.
#pragma once

#include "support/operands.hpp"

namespace heed::bench {

// The share of a row's weight on tokens of its own topic, of 64: nearly all, or hardly more
// than on others.
enum class Attention { sharp, soft };

// One head of tokens that belong to 64 topics, 32 tokens in a row to the same: a key is its topic's
// direction and some noise, a query asks for a topic near in direction to its own, a value is its
// topic's and some noise.
struct Tokens {
  static constexpr Index D = 64, topics = 64, run = 32;
  static constexpr float noise = 0.5f;

  Tensor4<float> q, k, v;  // [1, 1, L, D]

  Tokens(Index L, Attention attention)
      : q(numbers<float>(1, 1, 1, L, D)),
        k(numbers<float>(2, 1, 1, L, D)),
        v(numbers<float>(3, 1, 1, L, D)) {
    // The score of a pair of one topic, D · size² / √D, is about 8 or 1: e^8 is 47 times what the
    // 63 other topics hold together, e a twenty-third of it.
    const float size = attention == Attention::sharp ? 1.0f : 0.353553f;
    const auto topic = numbers<float>(4, 1, 1, topics, D);
    const auto value = numbers<float>(5, 1, 1, topics, D);
    for (Index i = 0; i < L; ++i) {
      const Index t = i / run % topics;
      for (Index d = 0; d < D; ++d) {
        q(0, 0, i, d) = size * (topic(0, 0, t, d) + noise * q(0, 0, i, d));
        k(0, 0, i, d) = size * (topic(0, 0, t, d) + noise * k(0, 0, i, d));
        v(0, 0, i, d) = value(0, 0, t, d) + noise * v(0, 0, i, d);
      }
    }
  }
};

}  // namespace heed::bench
