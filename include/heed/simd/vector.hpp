// Registers as GNU vectors: any width compiles on any machine, so that the shapes of wide
// instruction sets can be run where only narrow ones exist.
#pragma once

#include <utility>

#include "heed/core/elementary.hpp"
#include "heed/core/types.hpp"

#define HEED_INLINE inline __attribute__((always_inline))

namespace heed::simd {

template <class R, int Lanes>
struct Register {
  // NOLINTNEXTLINE(modernize-use-using): the attribute belongs to a declarator
  typedef R type __attribute__((vector_size(sizeof(R) * Lanes)));
  // The same in memory, at any address, over objects of any type.
  // NOLINTNEXTLINE(modernize-use-using)
  typedef R unaligned
      __attribute__((vector_size(sizeof(R) * Lanes), aligned(alignof(R)), may_alias));
};

// An array whose length is an int, as all sizes of kernels are.
template <class X, int Count>
using Array = X[static_cast<std::size_t>(Count)];

// Integers as wide as R, signed.
template <class R>
using SignedBitsOf = std::conditional_t<sizeof(R) == 4, std::int32_t, std::int64_t>;

}  // namespace heed::simd
