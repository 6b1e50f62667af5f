// HEED_ASSERT: an invariant of heed's own code; wrong calls by users are heed::Error instead.
#pragma once

#include <cassert>

#if defined(NDEBUG) || defined(__CUDACC__)
#define HEED_ASSERT(condition) assert(condition)
#else
#include <cstdio>
#include <cstdlib>

#include "heed/core/abi.hpp"

// As assert, which also names the function: with a kernel's template arguments that is up to a KiB
// of text in each of them.
#define HEED_ASSERT(condition)  \
  (static_cast<bool>(condition) \
       ? static_cast<void>(0)   \
       : ::heed::assertion_failed(__FILE__ ":" HEED_TEXT(__LINE__) ": " #condition "\n"))
#define HEED_TEXT_(text) #text
#define HEED_TEXT(text) HEED_TEXT_(text)

namespace heed {
inline namespace HEED_ABI {

[[noreturn, gnu::cold, gnu::noinline]] inline void assertion_failed(const char* text) {
  std::fputs(text, stderr);
  std::abort();
}

}  // namespace HEED_ABI
}  // namespace heed
#endif
