// Bit equality, NaN included: of numbers, of arrays, and of tensors of one shape.
#pragma once

#include <cstring>

#include "heed/core/types.hpp"

namespace heed::test {

template <class X>
bool all_same_bits(const X* a, const X* b, Index count) {
  return count == 0 || std::memcmp(a, b, static_cast<std::size_t>(count) * sizeof(X)) == 0;
}

template <class A, class B>
bool same_bits(const A& a, const B& b) {
  if constexpr (requires { a.dimensions() == b.dimensions(); }) {
    if (a.dimensions() != b.dimensions()) return false;
  }
  if constexpr (requires { a.data(); }) {
    return a.size() == b.size() && all_same_bits(a.data(), b.data(), static_cast<Index>(a.size()));
  } else {
    return all_same_bits(&a, &b, 1);
  }
}

}  // namespace heed::test
