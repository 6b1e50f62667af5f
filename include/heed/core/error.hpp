// The one exception heed throws for a wrong call: its text names the call and every shape involved.
#pragma once

#include <concepts>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed {

class Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// A text, a number or a list of extents of an error: [2,8,128,64].
struct ErrorPart {
  std::string_view text{};
  const Index* extent = nullptr;  // [count]
  Index count = 0;                // or the number, where there is neither text nor extents

  // NOLINTBEGIN(google-explicit-constructor)
  ErrorPart(const char* of) : text(of) {}
  ErrorPart(const std::string& of) : text(of) {}
  template <std::integral N>
  requires(!std::same_as<N, char> && !std::same_as<N, bool>) ErrorPart(N number)
      : count(static_cast<Index>(number)) {}
  // NOLINTEND(google-explicit-constructor)
  ErrorPart(const Index* extents, int rank) : extent(extents), count(rank) {}
};

inline namespace HEED_ABI {

// Parts one behind the other. A sum of strings would be compiled wherever it stands: a fifth of
// the code around the kernels was such sums.
[[gnu::cold, gnu::noinline]] inline std::string joined(std::initializer_list<ErrorPart> parts) {
  std::string all;
  for (const ErrorPart& part : parts) {
    if (part.text.data() != nullptr) {
      all += part.text;
    } else if (part.extent != nullptr) {
      for (Index d = 0; d < part.count; ++d) {
        all += d == 0 ? '[' : ',';
        all += std::to_string(part.extent[d]);
      }
      all += ']';
    } else {
      all += std::to_string(part.count);
    }
  }
  return all;
}

// Throws heed::Error of these parts.
[[noreturn, gnu::cold, gnu::noinline]] inline void refuse(std::initializer_list<ErrorPart> parts) {
  throw Error(joined(parts));
}

}  // namespace HEED_ABI
}  // namespace heed
