// UTF-8 to code points and back, strictly: overlong forms, surrogates and cut sequences are errors.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace heed::models {

// Offset of the first byte that no valid sequence explains, or nothing where all of it is UTF-8.
std::optional<std::size_t> utf8_error(std::string_view text);

// Takes the first code point off a text that is not empty; U+FFFD for a byte that begins none.
char32_t take_utf8(std::string_view& text);

// The code points of valid UTF-8; U+FFFD for each byte that belongs to none.
std::u32string decode_utf8(std::string_view text);

// Appends one code point.
void append_utf8(std::string& text, char32_t point);

}  // namespace heed::models
