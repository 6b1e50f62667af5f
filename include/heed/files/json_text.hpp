// JSON as a stream of tokens: enough for headers of a fixed form, and strict about them.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"

namespace heed::files {
inline namespace HEED_ABI {

// Appends a code point as UTF-8.
inline void append_utf8(std::string& to, std::uint32_t point) {
  const auto byte = [&](std::uint32_t bits) { to += static_cast<char>(bits); };
  if (point < 0x80) return byte(point);
  if (point < 0x800) {
    byte(0xC0U | point >> 6U);
  } else {
    if (point < 0x10000) {
      byte(0xE0U | point >> 12U);
    } else {
      byte(0xF0U | point >> 18U);
      byte(0x80U | (point >> 12U & 0x3FU));
    }
    byte(0x80U | (point >> 6U & 0x3FU));
  }
  byte(0x80U | (point & 0x3FU));
}

// Bytes of the UTF-8 sequence that text begins with, or 0 where it is none: too long a form, a
// surrogate, beyond U+10FFFF, or cut. The Unicode Standard 15.0, table 3-7.
inline std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t n) -> unsigned {
    return n < text.size() ? static_cast<unsigned char>(text[n]) : 0U;
  };
  const auto follows = [&](std::size_t n) { return (at(n) & 0xC0U) == 0x80U; };
  const unsigned first = at(0), second = at(1);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4 || !follows(1)) return 0;
  if (first < 0xE0) return 2;
  if (!follows(2)) return 0;
  if (first < 0xF0) {
    const bool fits = !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F);
    return fits ? 3 : 0;
  }
  const bool fits = !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F);
  return fits && follows(3) ? 4 : 0;
}

// Reads tokens in order; throws heed::Error, with the byte, for text that is not JSON. Nothing is
// built but the token asked for, so deep nesting costs nothing.
class JsonText {
 public:
  explicit JsonText(std::string_view text) : text_(text) {}

  [[noreturn]] void fail() const {
    throw Error("the header is not JSON at byte " + std::to_string(at_));
  }

  // The first character of the next token; 0 at the end.
  char peek() {
    while (at_ < text_.size() &&
           std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos)
      ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool take(char token) {
    if (peek() != token) return false;
    ++at_;
    return true;
  }
  void expect(char token) {
    if (!take(token)) fail();
  }
  void expect_word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) fail();
    at_ += word.size();
  }

  // A text in quotes, as UTF-8.
  std::string string() {
    expect('"');
    std::string value;
    while (true) {
      if (at_ >= text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20) fail();
      if (text_[at_] == '"') break;
      if (text_[at_] == '\\') {
        ++at_;
        escaped(value);
        continue;
      }
      const std::size_t length = utf8_length(text_.substr(at_));
      if (length == 0) fail();
      value += text_.substr(at_, length);
      at_ += length;
    }
    ++at_;
    return value;
  }

  // A number as it is written.
  std::string_view number() {
    const std::size_t begin = at_;
    if (next() == '-') ++at_;
    if (next() == '0') {
      ++at_;
    } else {
      digits();
    }
    if (next() == '.') {
      ++at_;
      digits();
    }
    if (next() == 'e' || next() == 'E') {
      ++at_;
      if (next() == '+' || next() == '-') ++at_;
      digits();
    }
    return text_.substr(begin, at_ - begin);
  }

  // The whole number of 64 bits that a text is, or nothing.
  static std::optional<std::uint64_t> count_of(std::string_view number) {
    std::uint64_t value = 0;
    const char* end = number.data() + number.size();
    const auto result = std::from_chars(number.data(), end, value);
    if (result.ec != std::errc{} || result.ptr != end) return std::nullopt;
    return value;
  }

 private:
  char next() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void digits() {
    if (next() < '0' || next() > '9') fail();
    while (next() >= '0' && next() <= '9') ++at_;
  }

  void escaped(std::string& value) {
    constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const std::size_t found = at_ < text_.size() ? names.find(text_[at_]) : std::string_view::npos;
    if (found != std::string_view::npos) {
      value += meanings[found];
      ++at_;
    } else {
      append_utf8(value, unicode_escape());
    }
  }

  std::uint32_t unicode_escape() {
    const std::uint32_t high = hex_word();
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || next() != '\\') fail();
    ++at_;
    const std::uint32_t low = hex_word();
    if (low < 0xDC00 || low > 0xDFFF) fail();
    return 0x10000 + ((high - 0xD800) << 10U) + (low - 0xDC00);
  }

  std::uint32_t hex_word() {
    if (next() != 'u' || text_.size() - at_ < 5) fail();
    std::uint32_t word = 0;
    const char *begin = text_.data() + at_ + 1, *end = begin + 4;
    const auto result = std::from_chars(begin, end, word, 16);
    if (result.ec != std::errc{} || result.ptr != end) fail();
    at_ += 5;
    return word;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// The text in quotes.
inline std::string json_quoted(std::string_view text) {
  constexpr std::string_view hex_digits = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < 0x20) {
      quoted += "\\u00";
      quoted += {hex_digits[byte >> 4U], hex_digits[byte & 15U]};
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace HEED_ABI
}  // namespace heed::files
