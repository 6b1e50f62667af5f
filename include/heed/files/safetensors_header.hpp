// The grammar of a safetensors header. Nothing is built for text that has no place in one, so
// neither deep nesting nor long lists of a hostile file cost memory, and each key may come once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "heed/files/json_text.hpp"
#include "heed/files/printable.hpp"

namespace heed::files {

struct TensorEntry {
  std::string dtype = {};                 // as written: "F32", "BF16", …
  std::vector<std::uint64_t> shape = {};  // its product times the type's size fits the bytes below
  std::size_t begin = 0;                  // [begin, end) within the data
  std::size_t end = 0;
};

using TensorTable = std::map<std::string, TensorEntry, std::less<>>;
using Metadata = std::map<std::string, std::string, std::less<>>;

struct SafetensorsHeader {
  TensorTable tensors = {};
  Metadata metadata = {};
};

inline namespace HEED_ABI {

class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  SafetensorsHeader parse() && {
    for_each_key([&](std::string name) {
      name_ = std::move(name);
      if (!names_.insert(name_).second) refuse("is there twice");
      if (text_.peek() != '{') misplaced();
      if (name_ == "__metadata__") {
        metadata();
      } else {
        tensor();
      }
    });
    if (text_.peek() != '\0') text_.fail();
    return std::move(header_);
  }

 private:
  // Ample for any tensor; keeps a hostile shape from growing with the header.
  static constexpr std::size_t max_rank = 16;

  template <class F>
  void for_each_key(const F& f) {
    text_.expect('{');
    if (text_.take('}')) return;
    do {
      std::string key = text_.string();
      text_.expect(':');
      f(std::move(key));
    } while (text_.take(','));
    text_.expect('}');
  }

  void metadata() {
    for_each_key([&](std::string key) {
      if (text_.peek() != '"') misplaced();
      header_.metadata[std::move(key)] = text_.string();
    });
  }

  void tensor() {
    std::set<std::string> fields;
    TensorEntry entry;
    std::vector<std::uint64_t> offsets;
    for_each_key([&](const std::string& field) {
      if (!fields.insert(field).second) refuse("has the field " + printable(field) + " twice");
      const char begins = text_.peek();
      if (field == "dtype" && begins == '"') {
        entry.dtype = text_.string();
      } else if (field == "shape" && begins == '[') {
        entry.shape = counts(max_rank);
      } else if (field == "data_offsets" && begins == '[') {
        offsets = counts(2);
      } else {
        misplaced();
      }
    });
    if (fields != std::set<std::string>{"data_offsets", "dtype", "shape"}) {
      refuse("has other fields than dtype, shape and data_offsets");
    }
    if (offsets.size() != 2) refuse("has other than two data_offsets");
    entry.begin = offsets[0], entry.end = offsets[1];
    header_.tensors.emplace(name_, std::move(entry));
  }

  // A list of at most `most` numbers.
  std::vector<std::uint64_t> counts(std::size_t most) {
    std::vector<std::uint64_t> all;
    text_.expect('[');
    if (text_.take(']')) return all;
    do {
      const char begins = text_.peek();
      if (begins < '0' || begins > '9') misplaced();
      const std::string_view number = text_.number();
      const auto count = JsonText::count_of(number);
      if (!count) refuse("holds " + printable(number) + ", which is not a 64-bit count");
      if (all.size() == most) refuse_number(number);
      all.push_back(*count);
    } while (text_.take(','));
    text_.expect(']');
    return all;
  }

  // Refuses the value that comes next.
  [[noreturn]] void misplaced() {
    const char begins = text_.peek();
    if (begins == '{') refuse("holds an object where none belongs");
    if (begins == '[') refuse("holds a list where none belongs");
    if (begins == '"') refuse("holds a text where none belongs");
    if (begins == 'n') {
      text_.expect_word("null");
      refuse("holds null");
    }
    if (begins == 't' || begins == 'f') {
      text_.expect_word(begins == 't' ? "true" : "false");
      refuse("holds true or false");
    }
    refuse_number(text_.number());
  }

  [[noreturn]] void refuse_number(std::string_view number) const {
    const bool negative = number.front() == '-';
    const auto count = JsonText::count_of(number.substr(negative ? 1 : 0));
    if (!count) refuse("holds " + printable(number) + ", which is not a 64-bit count");
    if (negative) refuse("holds the negative number " + std::string(number));
    refuse("holds the number " + std::string(number) + " where none belongs");
  }

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error("entry " + printable(name_) + " " + why);
  }

  JsonText text_;
  SafetensorsHeader header_;
  std::set<std::string> names_;  // of the header so far
  std::string name_;
};

// The tensors as written; their numbers are not yet compared with anything. Throws heed::Error for
// text that is not JSON (bad UTF-8 included), not of the header's form, or followed by other than
// spaces.
inline SafetensorsHeader read_safetensors_header(std::string_view header) {
  if (header.empty() || header.front() != '{') throw Error("the header does not begin with {");
  const std::size_t zero = header.find('\0');
  if (zero != std::string_view::npos) {
    throw Error("the header is not JSON at byte " + std::to_string(zero));
  }
  if (const char last = header[header.find_last_not_of(' ')];
      last == '\n' || last == '\t' || last == '\r') {
    throw Error("the header is padded with other than spaces");
  }
  return HeaderParser(header).parse();
}

}  // namespace HEED_ABI
}  // namespace heed::files
