// A kernel's fault on the emulator: the kind for tests, the text for people.
#pragma once

#include <stdexcept>
#include <string>

namespace heed::simt {

enum class Wrong {
  race,           // two threads touch a word between barriers, one of them writing
  uninitialised,  // shared memory read before anything was written there
  not_waited,     // shared memory touched before its cp.async was waited for
  out_of_bounds,  // of shared memory, or of the global memory the launch was given
  misaligned,     // an address that the instruction does not take
  unrounded,      // an operand with bits that its format does not have
  divergent       // lanes of a warp, or warps of a block, wait at different places
};

class Fault : public std::runtime_error {
 public:
  Fault(Wrong kind, const std::string& text) : std::runtime_error(text), kind_(kind) {}
  Wrong kind() const { return kind_; }

 private:
  Wrong kind_;
};

}  // namespace heed::simt
