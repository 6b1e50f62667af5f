#include "models/byte_level_words.hpp"

#include <utf8proc.h>

#include <cstddef>

#include "models/utf8.hpp"

namespace heed::models {
namespace {

enum class Kind { letter, number, space, other, end };

Kind kind_of(char32_t point) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return Kind::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return Kind::number;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return Kind::space;
    default:
      return (point >= 0x9 && point <= 0xd) || point == 0x85 ? Kind::space : Kind::other;
  }
}

struct Character {
  Kind kind;
  std::size_t bytes;
};

Character first_character(std::string_view text) {
  if (text.empty()) return {Kind::end, 0};
  std::string_view rest = text;
  const char32_t point = take_utf8(rest);
  return {kind_of(point), text.size() - rest.size()};
}

// Bytes of the characters of one kind that a text begins with, and of the last of them.
struct Run {
  std::size_t bytes = 0, last = 0;
};
Run run_of(Kind kind, std::string_view text) {
  Run run;
  while (true) {
    const Character next = first_character(text.substr(run.bytes));
    if (next.kind != kind) return run;
    run.bytes += next.bytes;
    run.last = next.bytes;
  }
}

// Bytes of an English contraction's end that the text begins with, else 0.
std::size_t contraction(std::string_view text) {
  for (const std::string_view end : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(end)) return end.size();
  }
  return 0;
}

std::size_t word_bytes(std::string_view text) {
  if (const std::size_t bytes = contraction(text); bytes > 0) return bytes;
  const Character first = first_character(text);
  if (first.kind == Kind::number) return first.bytes;
  // A space belongs to the word behind it.
  const std::size_t space = text.front() == ' ' ? 1 : 0;
  const Kind kind = first_character(text.substr(space)).kind;
  if (kind == Kind::letter || kind == Kind::other) {
    return space + run_of(kind, text.substr(space)).bytes;
  }
  // Spaces before a word leave their last to it, or alone.
  const Run spaces = run_of(Kind::space, text);
  const Kind next = first_character(text.substr(spaces.bytes)).kind;
  const bool at_end = next == Kind::end || next == Kind::number;
  return at_end || spaces.bytes == spaces.last ? spaces.bytes : spaces.bytes - spaces.last;
}

}  // namespace

std::string_view first_byte_level_word(std::string_view text) {
  return text.substr(0, word_bytes(text));
}

std::vector<std::string_view> byte_level_words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    words.push_back(first_byte_level_word(text));
    text.remove_prefix(words.back().size());
  }
  return words;
}

}  // namespace heed::models
