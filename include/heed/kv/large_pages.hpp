// Memory of caches in the operating system's large pages: decoding reads it from end to end.
#pragma once

#include <cstddef>
#include <limits>
#include <new>

#include "heed/core/abi.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace heed::kv {
inline namespace HEED_ABI {

// An allocator of arrays that asks for pages of 2 MiB where an array fills one (Linux; elsewhere
// nothing is asked). The hardware's prefetch ends at each page of 4 KiB.
template <class T>
struct LargePages {
  using value_type = T;  // NOLINT(readability-identifier-naming): a standard allocator's

  LargePages() = default;
  template <class U>
  LargePages(const LargePages<U>&) noexcept {}  // NOLINT(google-explicit-constructor)

  static constexpr std::size_t page = std::size_t{2} << 20;

  T* allocate(std::size_t count) {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) {
      throw std::bad_array_new_length();
    }
    const std::size_t bytes = count * sizeof(T);
    void* memory = ::operator new(bytes, alignment(bytes));
#if defined(__linux__)
    if (bytes >= page) madvise(memory, bytes, MADV_HUGEPAGE);  // where it fails, pages are small
#endif
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    ::operator delete(memory, alignment(count * sizeof(T)));
  }

  template <class U>
  bool operator==(const LargePages<U>&) const noexcept {
    return true;
  }

 private:
  static std::align_val_t alignment(std::size_t bytes) {
    return std::align_val_t{bytes >= page ? page : std::size_t{64}};
  }
};

}  // namespace HEED_ABI
}  // namespace heed::kv
