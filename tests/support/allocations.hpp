// Counts what a call allocates, or lets an allocation fail: a global operator new, so one file of a
// program includes this.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace heed::test {

inline std::atomic<bool> counting{false};
inline std::atomic<int> allocations{0};

inline std::atomic<int> left_to_succeed{-1};  // allocations before one fails; negative: all succeed

inline void* counted(std::size_t bytes, std::size_t alignment) {
  if (counting) ++allocations;
  if (left_to_succeed >= 0 && left_to_succeed-- == 0) throw std::bad_alloc();
  void* block = nullptr;
  if (posix_memalign(&block, alignment, bytes == 0 ? 1 : bytes) != 0) throw std::bad_alloc();
  return block;
}

// Allocations of one call, all threads together.
template <class Call>
int allocations_of(const Call& call) {
  allocations = 0;
  counting = true;
  call();
  counting = false;
  return allocations;
}

// False where `call` throws std::bad_alloc as its n-th allocation fails.
template <class Call>
bool survives_failure_of(int n, const Call& call) {
  left_to_succeed = n;
  bool survived = true;
  try {
    call();
  } catch (const std::bad_alloc&) {
    survived = false;
  }
  left_to_succeed = -1;
  return survived;
}

}  // namespace heed::test

void* operator new(std::size_t bytes) {
  return heed::test::counted(bytes, alignof(std::max_align_t));
}
void* operator new[](std::size_t bytes) {
  return heed::test::counted(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return heed::test::counted(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return heed::test::counted(bytes, static_cast<std::size_t>(alignment));
}
// All of them, or a sanitizer sees its own operator new paired with the free below.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes);
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete[](void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete[](void* block, std::size_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, const std::nothrow_t&) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete[](void* block, const std::nothrow_t&) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete[](void* block, std::align_val_t) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete[](void* block, std::size_t, std::align_val_t) noexcept {
  std::free(block);
}
