#include "models/text_stream.hpp"

#include <algorithm>
#include <cstddef>

#include "models/utf8.hpp"

namespace heed::models {
namespace {

// Bytes of the character that one with this first byte would have.
std::size_t length_of(char first) {
  const auto lead = static_cast<unsigned char>(first);
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 1;
}

// True where `rest` is the begin of a character that more bytes may end.
bool is_begun(std::string_view rest) {
  if (rest.size() >= length_of(rest.front())) return false;
  return std::ranges::all_of(rest.substr(1),
                             [](char c) { return static_cast<unsigned char>(c) >> 6U == 2U; });
}

void append_shown(std::string& text, char32_t point) {
  const bool control =
      (point < 0x20 && point != U'\n' && point != U'\t') || (point >= 0x7f && point < 0xa0);
  append_utf8(text, control ? U'\ufffd' : point);
}

}  // namespace

std::string TextStream::take(std::string_view bytes) {
  begun_ += bytes;
  std::string text;
  std::string_view rest = begun_;
  while (!rest.empty() && !is_begun(rest)) append_shown(text, take_utf8(rest));
  begun_ = std::string(rest);
  return text;
}

std::string TextStream::finish() {
  const bool cut = !begun_.empty();
  begun_.clear();
  return cut ? "\xef\xbf\xbd" : "";
}

}  // namespace heed::models
