// The memory that a launch may touch: kernels reach nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cuda/simt/fault.hpp"

namespace heed::simt {

class GlobalMemory {
 public:
  template <class T>
  void add(T* data, std::size_t count) {
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    ranges_.push_back({begin, begin + count * sizeof(T)});
  }

  void check(int thread, const void* at, std::size_t bytes) const {
    const auto begin = reinterpret_cast<std::uintptr_t>(at);
    for (const Range& range : ranges_) {
      if (begin >= range.begin && begin + bytes <= range.end) return;
    }
    throw Fault(Wrong::out_of_bounds, "thread " + std::to_string(thread) + " touches " +
                                          std::to_string(bytes) +
                                          " bytes of global memory that the launch was not given");
  }

 private:
  struct Range {
    std::uintptr_t begin, end;
  };
  std::vector<Range> ranges_;
};

}  // namespace heed::simt
