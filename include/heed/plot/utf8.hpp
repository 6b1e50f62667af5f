// Tokens are UTF-8 of unknown origin: read code points without trusting them, and neutralise the
// control characters that could move a terminal's cursor or end an HTML element.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "heed/core/abi.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

inline constexpr char32_t replacement_character = 0xFFFD;

namespace utf8 {

// Length announced by a lead byte; 0 for a byte that starts nothing.
constexpr std::size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

constexpr bool is_legal(char32_t code_point, std::size_t length) {
  const bool overlong =
      (length == 3 && code_point < 0x800) || (length == 4 && code_point < 0x10000);
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  return !overlong && !surrogate && code_point <= 0x10FFFF;
}

constexpr bool is_control(char32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
}

// Marks that reorder or hide text: zero-width and bidirectional controls.
constexpr bool is_invisible(char32_t code_point) {
  return (code_point >= 0x200B && code_point <= 0x200F) ||
         (code_point >= 0x2028 && code_point <= 0x202E) ||
         (code_point >= 0x2060 && code_point <= 0x2069) || code_point == 0xFEFF;
}

}  // namespace utf8

// Reads the code point at `position` and moves past it; a byte that is not UTF-8 reads as U+FFFD
// and is skipped alone. Needs position < text.size().
constexpr char32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto lead = static_cast<unsigned char>(text[position]);
  const std::size_t length = utf8::sequence_length(lead);
  if (length == 0 || position + length > text.size()) return ++position, replacement_character;
  char32_t code_point = length == 1 ? lead : lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[position + i]);
    if ((byte & 0xC0U) != 0x80U) return ++position, replacement_character;
    code_point = (code_point << 6) | (byte & 0x3FU);
  }
  if (!utf8::is_legal(code_point, length)) return ++position, replacement_character;
  position += length;
  return code_point;
}

// The beginning of a text in whole code points, at most `bytes`.
constexpr std::string_view beginning(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  std::size_t end = bytes;
  while (end + 4 > bytes && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) {
    --end;
  }
  return text.substr(0, end);
}

// The text with every control, invisible or malformed character as U+FFFD: safe to print, one line.
inline std::string printable(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    const char32_t code_point = next_code_point(text, position);
    const bool refused = code_point == replacement_character || utf8::is_control(code_point) ||
                         utf8::is_invisible(code_point);
    safe += refused ? std::string_view("\xEF\xBF\xBD") : text.substr(begin, position - begin);
  }
  return safe;
}

}  // namespace HEED_ABI
}  // namespace heed::plot
