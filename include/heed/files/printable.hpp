// Text of a file, quoted so that it fits one line of a message whatever the file holds.
#pragma once

#include <string>
#include <string_view>

#include "heed/core/abi.hpp"

namespace heed::files {
inline namespace HEED_ABI {

// The text in double quotes: bytes that are not printable ASCII as \xNN, cut after `limit` bytes.
inline std::string printable(std::string_view text, std::size_t limit = 60) {
  constexpr std::string_view hex_digits = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      quoted += c;
    } else {
      quoted += {'\\', 'x', hex_digits[byte >> 4U], hex_digits[byte & 15U]};
    }
  }
  quoted += text.size() > limit ? "…\"" : "\"";
  return quoted;
}

}  // namespace HEED_ABI
}  // namespace heed::files
