// Drafted tokens on several branches, whose positions modules do not know.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// True for drafted tokens on several branches (mask::tree), also where masks are combined; not seen
// within mask::any.
template <class M>
bool has_branches(const M& mask) {
  if constexpr (requires { mask.has_branches(); }) {
    return mask.has_branches();
  } else if constexpr (requires { mask.a, mask.b; }) {
    return has_branches(mask.a) || has_branches(mask.b);
  } else {
    return false;
  }
}

// Throws heed::Error for such a mask. A module that knows positions gives each token the one behind
// the last, which is wrong on the second branch.
template <class M>
void refuse_branches(const char* call, const M& mask) {
  if (!has_branches(mask)) return;
  refuse({call,
          ": drafted tokens on several branches (mask::tree) have no positions of their own; "
          "verify one branch a call, or call heed::attention behind position::rope"});
}

}  // namespace HEED_ABI
}  // namespace heed::nn
