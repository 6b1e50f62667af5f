// Formats of quantised caches: the bits of keys and of values. A token's key and its value have a
// scale each; a number is scale · code.
#pragma once

#include "heed/core/types.hpp"

namespace heed::kv {

// Codes of 8 bits are -127 … 127, of 4 bits -8 … 7.
struct K8V8 {
  static constexpr int key_bits = 8, value_bits = 8;
};
struct K8V4 {
  static constexpr int key_bits = 8, value_bits = 4;
};
struct K4V4 {
  static constexpr int key_bits = 4, value_bits = 4;
};

template <class F>
concept CodeFormat = requires {
  requires F::key_bits == 4 || F::key_bits == 8;
  requires F::value_bits == 4 || F::value_bits == 8;
};

// Elements or codes.
template <class T>
concept CacheElement = AttentionElement<T> || CodeFormat<T>;

// The type that a source of a cache has: that of its elements; codes are numbers of float.
template <class T>
struct NumberOf {
  using Type = T;
};
template <CodeFormat F>
struct NumberOf<F> {
  using Type = float;
};

}  // namespace heed::kv
