// Standard output, written in pieces and checked: a full disk is an error, not half a file.
#pragma once

#include <string>
#include <string_view>

namespace heed::models::minilm {

class Output {
 public:
  Output& text(std::string_view piece);
  // The shortest digits that read back as the same float; "null", as JSON has it, for what is not a
  // number.
  Output& number(float value);
  Output& number(std::size_t value);
  // Rounded to `decimals`, right-aligned in `width`.
  Output& fixed(double value, int decimals, int width);
  // A JSON string, quotes included; U+FFFD for each byte that is not UTF-8.
  Output& quoted(std::string_view piece);

  // Writes what is left. Throws heed::Error where standard output does not take it.
  void finish();

 private:
  void flush_if_large();

  std::string buffer_;
};

}  // namespace heed::models::minilm
