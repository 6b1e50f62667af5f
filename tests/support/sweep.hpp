// The share of a sweep's cases that runs: all, and one of four under sanitizers, where a case takes
// ten times as long.
#pragma once

#include "support/draw.hpp"

namespace heed::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr Index cases_per_run = 4;
#else
inline constexpr Index cases_per_run = 1;
#endif

// Cases are drawn, not counted off: a count would keep step with a loop of as many sizes.
class Sweep {
 public:
  bool takes_next() { return draw(19, next_++, cases_per_run) == 0; }

 private:
  std::uint32_t next_ = 0;
};

}  // namespace heed::test
