// Memory of an exact size between two pages that nothing may touch: reading or writing one element
// too many ends the program.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <new>
#include <utility>

#include "heed/core/types.hpp"

namespace heed::test {

// At which end the memory meets its page.
enum class Side { behind, before };

inline constexpr Side both_sides[] = {Side::behind, Side::before};

template <class X>
class Guarded {
 public:
  // `count` elements, every one `fill`; `shift` elements away from the guard.
  Guarded(Index count, Side side, X fill, Index shift = 0)
      : count_(count), page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    const std::size_t bytes = static_cast<std::size_t>(count + shift) * sizeof(X);
    inner_ = (bytes + page_ - 1) / page_ * page_;
    void* all = mmap(nullptr, inner_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(all);
    std::byte* const begin = base_ + page_;
    if (inner_ != 0 && mprotect(begin, inner_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    std::byte* const at = side == Side::behind
                              ? begin + inner_ - bytes
                              : begin + static_cast<std::size_t>(shift) * sizeof(X);
    data_ = reinterpret_cast<X*>(at);
    std::fill_n(data_, count, fill);
  }

  Guarded(Guarded&& other) noexcept
      : count_(other.count_),
        page_(other.page_),
        inner_(other.inner_),
        base_(std::exchange(other.base_, nullptr)),
        data_(other.data_) {}
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  Guarded& operator=(Guarded&&) = delete;
  ~Guarded() {
    if (base_ != nullptr) munmap(base_, inner_ + 2 * page_);
  }

  X* data() const { return data_; }
  Index size() const { return count_; }
  X& operator[](Index n) const { return data_[n]; }
  X* begin() const { return data_; }
  X* end() const { return data_ + count_; }

 private:
  Index count_;
  std::size_t page_;
  std::size_t inner_ = 0;
  std::byte* base_ = nullptr;
  X* data_ = nullptr;
};

// The content of memory that no kernel may read, or has not written yet.
template <class X>
inline constexpr X poison = std::numeric_limits<X>::quiet_NaN();

}  // namespace heed::test
