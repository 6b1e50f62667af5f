// Memory for the weights of a model, in pages of 2 MiB where the system grants them. A decoded
// token walks through all of it: 4 KiB at a time a read waits for the page's address.
#pragma once

#include <cstddef>
#include <limits>
#include <new>
#include <vector>

namespace heed::models {

// AddressSanitizer sees a read past the end of an allocation, but not of a piece of one. With it
// each piece is allocated alone.
#if defined(__SANITIZE_ADDRESS__)
#define HEED_WEIGHTS_ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEED_WEIGHTS_ALONE 1
#endif
#endif
#if defined(HEED_WEIGHTS_ALONE)
inline constexpr bool weights_share_blocks = false;
#else
inline constexpr bool weights_share_blocks = true;
#endif

// Pieces, aligned to 64 bytes, of blocks of 32 MiB that many weights share: a layer's weight is
// smaller than a page. A larger piece has a block of its own. A block is freed with the last of its
// pieces. Throws std::bad_alloc.
void* take_weight_memory(std::size_t bytes);
void return_weight_memory(void* piece) noexcept;

template <class T>
struct WeightAllocator {
  using value_type = T;

  WeightAllocator() = default;
  template <class U>
  explicit(false) WeightAllocator(const WeightAllocator<U>&) noexcept {}

  T* allocate(std::size_t count) {
    if (count > std::numeric_limits<std::size_t>::max() / 2 / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(take_weight_memory(count * sizeof(T)));
  }
  void deallocate(T* piece, std::size_t) noexcept { return_weight_memory(piece); }
  bool operator==(const WeightAllocator&) const = default;
};

template <class T>
using WeightVector = std::vector<T, WeightAllocator<T>>;

}  // namespace heed::models
