#include "models/bert_words.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "heed/core/error.hpp"
#include "models/utf8.hpp"

namespace heed::models {
namespace {

utf8proc_category_t category(char32_t point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(point));
}

// Unicode's White_Space, less what `is_control` takes first.
bool is_space(char32_t point) {
  switch (category(point)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    default:
      return point == U'\t' || point == U'\n' || point == U'\r';
  }
}

bool is_control(char32_t point) {
  if (point == U'\t' || point == U'\n' || point == U'\r') return false;
  switch (category(point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
      return true;
    default:
      return point == U'\ufffd';
  }
}

bool is_ascii_alphanumeric(char32_t point) {
  return (point >= U'0' && point <= U'9') || (point >= U'A' && point <= U'Z') ||
         (point >= U'a' && point <= U'z');
}

bool is_punctuation(char32_t point) {
  // All of ASCII's are punctuation to BERT, also those that Unicode calls symbols, like $ and ^.
  if (point < 0x80) return point > 0x20 && point < 0x7f && !is_ascii_alphanumeric(point);
  switch (category(point)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return true;
    default:
      return false;
  }
}

bool is_cjk_ideograph(char32_t point) {
  constexpr std::array<std::pair<char32_t, char32_t>, 8> blocks{
      {{0x3400, 0x4dbf},
       {0x4e00, 0x9fff},
       {0xf900, 0xfaff},
       {0x20000, 0x2a6df},
       {0x2a700, 0x2b73f},
       {0x2b740, 0x2b81f},
       // The reference's typing error for
       // 0x2b820; the model was trained so.
       {0x2b920, 0x2ceaf},
       {0x2f800, 0x2fa1f}}};
  return std::any_of(blocks.begin(), blocks.end(), [point](const auto& block) {
    return point >= block.first && point <= block.second;
  });
}

// UTF-8 without control characters, each space a plain one, ideographs between spaces.
std::string cleaned(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (const char32_t point : decode_utf8(text)) {
    if (is_control(point)) continue;
    const bool alone = is_cjk_ideograph(point);
    if (alone) clean += ' ';
    append_utf8(clean, is_space(point) ? U' ' : point);
    if (alone) clean += ' ';
  }
  return clean;
}

// Canonical decomposition (NFD), marks in canonical order.
std::vector<utf8proc_int32_t> decomposed(const std::string& text) {
  constexpr auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE);    // NOLINT
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());  // NOLINT
  const auto size = static_cast<utf8proc_ssize_t>(text.size());
  const utf8proc_ssize_t count = utf8proc_decompose(bytes, size, nullptr, 0, options);
  if (count < 0) throw Error(std::string("heed::models::bert_words: ") + utf8proc_errmsg(count));
  std::vector<utf8proc_int32_t> points(static_cast<std::size_t>(count));
  utf8proc_decompose(bytes, size, points.data(), count, options);
  return points;
}

}  // namespace

std::vector<std::u32string> bert_words(std::string_view text) {
  std::vector<std::u32string> words;
  bool inside = false;
  for (const utf8proc_int32_t part : decomposed(cleaned(text))) {
    const auto point = static_cast<char32_t>(part);
    if (category(point) == UTF8PROC_CATEGORY_MN) continue;
    const auto lower = static_cast<char32_t>(utf8proc_tolower(part));
    const bool alone = is_punctuation(lower);
    const bool space = is_space(lower);
    if (!space && (alone || !inside)) words.emplace_back();
    if (!space) words.back() += lower;
    inside = !alone && !space;
  }
  return words;
}

}  // namespace heed::models
