// The one exception heed throws for a wrong call: its text names the call and every shape involved.
#pragma once

#include <concepts>
#include <cstdio>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed {

class Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// A text, a number or a list of extents of an error: [2,8,128,64]. Two words: every refusal makes
// several.
struct ErrorPart {
  static constexpr Index is_text = -1, is_real = -2;

  const void* data = nullptr;  // characters up to a 0, a double or extents; null: count is a number
  Index count = 0;             // of extents, or is_text, or is_real

  // NOLINTBEGIN(google-explicit-constructor)
  ErrorPart(const char* text) : data(text), count(is_text) {}
  ErrorPart(const std::string& text) : ErrorPart(text.c_str()) {}
  ErrorPart(const double& number) : data(&number), count(is_real) {}
  template <std::integral N>
  requires(!std::same_as<N, char> && !std::same_as<N, bool>) ErrorPart(N number)
      : count(static_cast<Index>(number)) {}
  // NOLINTEND(google-explicit-constructor)
  ErrorPart(const Index* extents, int rank) : data(extents), count(rank) {}
};

inline namespace HEED_ABI {

// A number as std::to_string writes it, whose code stands in every file.
template <class N>
[[gnu::cold, gnu::noinline]] void append(std::string& to, const char* format, N number) {
  char digits[400];  // 309 before the point of the largest double
  std::snprintf(digits, sizeof digits, format, number);
  to += digits;
}

// Parts one behind the other. A sum of strings would be compiled wherever it stands: a fifth of
// the code around the kernels was such sums.
[[gnu::cold, gnu::noinline]] inline std::string joined(std::initializer_list<ErrorPart> parts) {
  std::string all;
  for (const ErrorPart& part : parts) {
    if (part.data == nullptr) {
      append(all, "%lld", static_cast<long long>(part.count));
    } else if (part.count == ErrorPart::is_text) {
      all += static_cast<const char*>(part.data);
    } else if (part.count == ErrorPart::is_real) {
      append(all, "%f", *static_cast<const double*>(part.data));
    } else {
      for (Index d = 0; d < part.count; ++d) {
        append(all, d == 0 ? "[%lld" : ",%lld",
               static_cast<long long>(static_cast<const Index*>(part.data)[d]));
      }
      all += "]";
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
