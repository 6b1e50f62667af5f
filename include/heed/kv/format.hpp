// Formats of caches. Quantised: the bits of keys and of values; a token's key and its value have a
// scale each, and a number is scale · code. Latent: values are a part of their keys.
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

// Elements of T whose values are the first Dv features of their keys, kept once: latent attention
// in the form that absorbs its projections. DeepSeek-AI, "DeepSeek-V2" (2024), section 2.1.
template <AttentionElement T>
struct Latent {
  using Element = T;
};
template <class F>
inline constexpr bool is_latent = false;
template <class T>
inline constexpr bool is_latent<Latent<T>> = true;

// Elements or codes.
template <class T>
concept CacheElement = AttentionElement<T> || CodeFormat<T> || is_latent<T>;

// The type that a source of a cache has: that of its elements; codes are numbers of float.
template <class T>
struct NumberOf {
  using Type = T;
};
template <CodeFormat F>
struct NumberOf<F> {
  using Type = float;
};
template <class T>
struct NumberOf<Latent<T>> {
  using Type = T;
};

}  // namespace heed::kv
