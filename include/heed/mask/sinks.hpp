// Attention sinks: the first keys are seen by every query, beside what another mask shows.
// Xiao et al., "Efficient Streaming Language Models with Attention Sinks" (2023), section 3.2.
#pragma once

#include <string>

#include "heed/core/error.hpp"
#include "heed/mask/padding.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

// Keys [0, count): `causal() & (window(width, 0) | sinks(4))`. The brackets matter: & binds before
// |. A count beyond the keys is all of them. Throws heed::Error for a negative count.
inline Prefix sinks(int count) {
  if (count < 0) {
    throw Error("heed::mask::sinks: count " + std::to_string(count) + " is negative");
  }
  return {count};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
