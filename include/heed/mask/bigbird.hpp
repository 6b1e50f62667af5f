// BigBird's pattern: a window, a few global tokens, a few random keys.
// Zaheer et al., "Big Bird: Transformers for Longer Sequences" (2020), section 2.
#pragma once

#include "heed/mask/combine.hpp"
#include "heed/mask/global.hpp"
#include "heed/mask/random.hpp"
#include "heed/mask/window.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

// local(window_size) | global(num_global) | random(num_random, seed)
template <class = void>
auto bigbird(Index window_size = 64, int num_global = 2, int num_random = 3,
                    std::uint64_t seed = 0) {
  return local(window_size) | global(num_global) | random(num_random, seed);
}

}  // namespace HEED_ABI
}  // namespace heed::mask
