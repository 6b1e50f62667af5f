#include "models/utf8.hpp"

#include <array>
#include <initializer_list>

namespace heed::models {
namespace {

struct Sequence {
  char32_t point = 0;
  std::size_t length = 0;  // 0: not a valid sequence
};

constexpr char32_t low_bits(unsigned char byte, unsigned count) {
  return byte & ((1U << count) - 1U);
}

std::size_t length_by_lead(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

// The sequence that begins the (non-empty) text.
Sequence first_sequence(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = length_by_lead(lead);
  if (length <= 1) return {lead, length};
  if (length > text.size()) return {};
  char32_t point = low_bits(lead, 7U - static_cast<unsigned>(length));
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >> 6U != 2U) return {};
    point = point << 6U | low_bits(byte, 6);
  }
  constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = point >= 0xd800 && point < 0xe000;
  if (point < smallest[length] || surrogate || point > 0x10ffff) return {};
  return {point, length};
}

}  // namespace

std::optional<std::size_t> utf8_error(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = first_sequence(text.substr(at)).length;
    if (length == 0) return at;
    at += length;
  }
  return std::nullopt;
}

char32_t take_utf8(std::string_view& text) {
  const Sequence sequence = first_sequence(text);
  text.remove_prefix(sequence.length == 0 ? 1 : sequence.length);
  return sequence.length == 0 ? U'\ufffd' : sequence.point;
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  while (!text.empty()) points.push_back(take_utf8(text));
  return points;
}

void append_utf8(std::string& text, char32_t point) {
  const auto continuation = [&](unsigned shift) {
    text += static_cast<char>(0x80U | (point >> shift & 0x3fU));
  };
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xc0U | point >> 6U);
    continuation(0);
  } else if (point < 0x10000) {
    text += static_cast<char>(0xe0U | point >> 12U);
    for (const unsigned shift : {6U, 0U}) continuation(shift);
  } else {
    text += static_cast<char>(0xf0U | point >> 18U);
    for (const unsigned shift : {12U, 6U, 0U}) continuation(shift);
  }
}

}  // namespace heed::models
