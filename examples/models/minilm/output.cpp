#include "models/minilm/output.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "heed/core/error.hpp"
#include "models/utf8.hpp"

namespace heed::models::minilm {
namespace {

void write(const std::string& bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) {
    throw Error("minilm: cannot write to standard output");
  }
}

}  // namespace

Output& Output::text(std::string_view piece) {
  buffer_ += piece;
  flush_if_large();
  return *this;
}

Output& Output::number(float value) {
  if (!std::isfinite(value)) return text("null");
  std::array<char, 32> digits{};
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  return text({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

Output& Output::number(std::size_t value) { return text(std::to_string(value)); }

Output& Output::fixed(double value, int decimals, int width) {
  std::array<char, 64> digits{};
  std::snprintf(digits.data(), digits.size(), "%*.*f", width, decimals, value);
  return text(digits.data());
}

Output& Output::quoted(std::string_view piece) {
  std::string quoted = "\"";
  while (!piece.empty()) {
    const char32_t point = take_utf8(piece);
    if (point == U'"' || point == U'\\') {
      quoted += {'\\', static_cast<char>(point)};
    } else if (point < 0x20) {
      constexpr std::string_view hex_digits = "0123456789abcdef";
      quoted += "\\u00";
      quoted += {hex_digits[point >> 4U], hex_digits[point & 15U]};
    } else {
      append_utf8(quoted, point);
    }
  }
  return text(quoted + "\"");
}

void Output::finish() {
  write(buffer_);
  buffer_.clear();
  if (std::fflush(stdout) != 0) throw Error("minilm: cannot write to standard output");
}

void Output::flush_if_large() {
  constexpr std::size_t large = std::size_t{1} << 16U;
  if (buffer_.size() < large) return;
  write(buffer_);
  buffer_.clear();
}

}  // namespace heed::models::minilm
