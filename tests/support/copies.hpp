// An arena like that of a device (cuda/device/arena.cuh), in ordinary memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <list>
#include <vector>

#include "heed/core/span.hpp"
#include "heed/core/view.hpp"

namespace heed::test {

// Copies what it is given, and counts. Views must be without gaps.
class Copies {
 public:
  template <class T>
  Span<T> copy(const Span<T>& host) {
    return {static_cast<const T*>(copy(host.data(), sizeof(T) * std::size_t(host.size()))),
            host.size()};
  }
  template <class T, int Rank>
  View<const T, Rank> copy(const View<const T, Rank>& host) {
    View<const T, Rank> there = host;
    there.data =
        static_cast<const T*>(copy(host.data, sizeof(T) * std::size_t(checked_size(host))));
    return there;
  }
  std::size_t count() const { return blocks_.size(); }

 private:
  const void* copy(const void* host, std::size_t bytes) {
    auto& block = blocks_.emplace_back(bytes / sizeof(std::uint64_t) + 1);
    std::memcpy(block.data(), host, bytes);
    return block.data();
  }
  std::list<std::vector<std::uint64_t>> blocks_;
};

}  // namespace heed::test
