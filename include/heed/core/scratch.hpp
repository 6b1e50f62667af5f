// Scratch: one aligned block of memory a call, carved into what each worker needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>

#include "heed/core/assert.hpp"
#include "heed/core/error.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"

namespace heed {

inline constexpr std::size_t scratch_alignment = 64;  // a cache line, and the widest vector

inline namespace HEED_ABI {

// Bytes that are used with `count` pieces of `size` bytes more, in whole cache lines. Out of line:
// a plan carves a dozen arrays. Throws heed::Error where that does not fit 64 bits.
[[gnu::noinline]] inline Index used_with(Index used, Index count, Index size) {
  constexpr auto line = static_cast<Index>(scratch_alignment);
  return checked_sum(used, checked_sum(checked_product(count, size), line - 1) & -line);
}

}  // namespace HEED_ABI

// Hands out pieces of a block in order, each on a cache line of its own. A Carver over nothing
// only counts, so that the sizes are written down once: in the code that carves.
class Carver {
 public:
  explicit Carver(std::byte* begin) : begin_(begin) {}

  // Throws heed::Error where the pieces together do not fit 64 bits.
  template <class T>
  T* array(Index count) {
    T* piece = begin_ == nullptr ? nullptr : reinterpret_cast<T*>(begin_ + used_);
    // NOLINTNEXTLINE(bugprone-sizeof-expression): of a pointer, where pointers are what is stored
    used_ = used_with(used_, count, static_cast<Index>(sizeof(T)));
    return piece;
  }

  std::size_t used() const { return static_cast<std::size_t>(used_); }

 private:
  std::byte* begin_;
  Index used_ = 0;
};

// The caller's workspace where there is one, else one allocation.
class Scratch {
 public:
  // Throws heed::Error if a workspace is given and is too small.
  [[gnu::always_inline]] Scratch(std::size_t bytes, std::span<std::byte> workspace) {
    if (bytes == 0) return;
    if (workspace.data() == nullptr) {
      owned_.reset(new (std::align_val_t{scratch_alignment}) std::byte[bytes]);
      begin_ = owned_.get();
      return;
    }
    void* begin = workspace.data();
    std::size_t room = workspace.size();
    if (std::align(scratch_alignment, bytes, begin, room) == nullptr) {
      refuse({"heed: the workspace has ", workspace.size(), " bytes, this call needs ",
              with_slack(bytes), " (its workspace_bytes)"});
    }
    begin_ = static_cast<std::byte*>(begin);
  }

  std::byte* begin() const { return begin_; }

  // Bytes of a workspace at any address that holds `bytes` aligned.
  static constexpr std::size_t with_slack(std::size_t bytes) {
    return bytes == 0 ? 0 : bytes + scratch_alignment - 1;
  }

 private:
  struct AlignedDelete {
    void operator()(std::byte* block) const {
      ::operator delete[](block, std::align_val_t{scratch_alignment});
    }
  };
  std::unique_ptr<std::byte[], AlignedDelete> owned_;
  std::byte* begin_ = nullptr;
};

}  // namespace heed
