#include "models/printable.hpp"

#include <cstddef>

namespace heed::models {

std::string printable(std::string_view text, std::size_t limit) {
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

}  // namespace heed::models
