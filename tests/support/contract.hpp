// Every path that computes attention, and small problems, for the tests of the contract.
#pragma once

#include <limits>

#include "support/error.hpp"
#include "support/problem.hpp"

namespace heed::test {

inline constexpr Backend every_backend[] = {Backend::flash, Backend::chunked, Backend::reference};

inline constexpr float inf = std::numeric_limits<float>::infinity();
inline constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// [L, D] problems small enough to read: 5 queries, 7 keys.
template <class T>
struct Small {
  Tensor2<T> q{5, 4}, k{7, 4}, v{7, 3};
  Small() {
    std::uint64_t seed = 0;
    for (Tensor2<T>* x : {&q, &k, &v}) {
      ++seed;
      for (Index n = 0; n < x->size(); ++n) {
        x->data()[n] = static_cast<T>(static_cast<float>(uniform(seed, n)));
      }
    }
  }
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace heed::test
