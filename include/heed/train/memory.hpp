// Memory between the steps of a training.
#pragma once

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif
#include <limits>

namespace heed::train {

// The process keeps memory that it frees, for whatever it allocates next. Each training step frees
// what it has saved; without this call, the system takes the pages back and clears them for the
// next step. False where the C library is not glibc, which alone can be told so.
inline bool keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int largest = 32 << 20;  // that glibc takes from its heap
  return mallopt(M_MMAP_THRESHOLD, largest) != 0 &&
         mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max()) != 0;
#else
  return false;
#endif
}

}  // namespace heed::train
