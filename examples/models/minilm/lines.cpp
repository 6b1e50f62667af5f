#include "models/minilm/lines.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "heed/core/error.hpp"
#include "models/input_file.hpp"
#include "models/utf8.hpp"

namespace heed::models::minilm {
namespace {

std::string read_standard_input() {
  std::string text;
  std::array<char, 1U << 16U> block{};
  std::size_t count = 0;
  while ((count = std::fread(block.data(), 1, block.size(), stdin)) > 0) {
    text.append(block.data(), count);
  }
  if (std::ferror(stdin) != 0) throw Error("minilm: cannot read standard input");
  return text;
}

}  // namespace

Lines::Lines(const std::string& path)
    : name_(path == "-" ? "standard input" : path),
      text_(path == "-" ? read_standard_input() : InputFile(path).text()) {
  split(text_);
}

void Lines::split(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  const auto refuse = [&](const std::string& why) {
    throw Error("minilm: " + name_ + ":" + std::to_string(lines_.size() + 1) + ": " + why);
  };
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find('\0') != std::string_view::npos) refuse("a zero byte; this is not a text file");
    if (const auto bad = utf8_error(line)) {
      refuse("byte " + std::to_string(*bad + 1) + " of the line is not UTF-8");
    }
    lines_.push_back(line);
  }
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

std::string shown(std::string_view line, std::size_t width) {
  // Four bytes hold any character, so a longer line need not be decoded to be cut.
  const std::u32string points = decode_utf8(line.substr(0, 4 * (width + 1)));
  const bool cut = points.size() > width;
  std::string text;
  for (const char32_t point : points.substr(0, cut ? width - 1 : width)) {
    const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    append_utf8(text, control ? U' ' : point);
  }
  return cut ? text + "…" : text;
}

}  // namespace heed::models::minilm
