#include "models/bert_words.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
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

// The canonical decomposition (NFD) of one character, at most four long.
using Decomposition = std::array<utf8proc_int32_t, 8>;

std::span<const utf8proc_int32_t> decompose(char32_t point, Decomposition& parts) {
  constexpr auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE);  // NOLINT
  int boundary = 0;
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(point), parts.data(),
                              static_cast<utf8proc_ssize_t>(parts.size()), options, &boundary);
  if (count < 0) throw Error(std::string("heed::models::bert_words: ") + utf8proc_errmsg(count));
  return std::span(parts).first(static_cast<std::size_t>(count));
}

int combining_class(utf8proc_int32_t point) {
  return utf8proc_get_property(point)->combining_class;
}

// Cuts a stream of characters into words, of which it holds one.
class WordCutter {
 public:
  using Visit = std::function<bool(const std::u32string&)>;

  WordCutter(std::size_t longest, const Visit& visit) : longest_(longest), visit_(visit) {}

  bool wants_more() const { return wants_more_; }

  void take(char32_t point) {
    if (is_control(point)) return;
    const bool alone = is_cjk_ideograph(point);
    if (alone) end_word();
    Decomposition parts{};
    for (const utf8proc_int32_t part : decompose(is_space(point) ? U' ' : point, parts)) {
      order(part);
    }
    if (alone) end_word();
  }

  void end_word() {
    end_marks();
    if (!word_.empty()) wants_more_ = wants_more_ && visit_(word_);
    word_.clear();
  }

 private:
  // Canonical order: marks between two characters of class 0 are sorted by their class. Accents
  // (Mn) go, so only the few marks of other categories are kept to be sorted; where these alone
  // make the word too long, their order means nothing.
  void order(utf8proc_int32_t part) {
    const int place = combining_class(part);
    if (place == 0 || marks_.size() > longest_) end_marks();
    if (category(static_cast<char32_t>(part)) == UTF8PROC_CATEGORY_MN) return;
    if (place == 0) return put(part);
    const auto behind = std::upper_bound(
        marks_.begin(), marks_.end(), place,
        [](int wanted, utf8proc_int32_t mark) { return wanted < combining_class(mark); });
    marks_.insert(behind, part);
  }

  void end_marks() {
    for (const utf8proc_int32_t mark : std::exchange(marks_, {})) put(mark);
  }

  void put(utf8proc_int32_t part) {
    const auto lower = static_cast<char32_t>(utf8proc_tolower(part));
    if (is_space(lower)) return end_word();
    const bool alone = is_punctuation(lower);
    if (alone) end_word();
    if (word_.size() <= longest_) word_ += lower;
    if (alone) end_word();
  }

  std::size_t longest_;
  const Visit& visit_;
  std::u32string word_;
  std::vector<utf8proc_int32_t> marks_;
  bool wants_more_ = true;
};

}  // namespace

void each_bert_word(std::string_view text, std::size_t longest,
                    const std::function<bool(const std::u32string& word)>& visit) {
  WordCutter cutter(longest, visit);
  while (!text.empty() && cutter.wants_more()) cutter.take(take_utf8(text));
  cutter.end_word();
}

std::vector<std::u32string> bert_words(std::string_view text) {
  std::vector<std::u32string> words;
  each_bert_word(text, text.size(), [&](const std::u32string& word) {
    words.push_back(word);
    return true;
  });
  return words;
}

}  // namespace heed::models
