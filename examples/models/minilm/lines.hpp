// The lines of a text file, checked once so that all else can rely on them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace heed::models::minilm {

class Lines {
 public:
  // Reads a file into memory, or standard input for "-". A line ends at LF or CRLF; a byte-order
  // mark is skipped; what stands behind the last line end is a line if it is not empty. Throws
  // heed::Error, one line with the file and the line's number, for what is not UTF-8 text.
  explicit Lines(const std::string& path);
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  Lines(Lines&&) = delete;
  Lines& operator=(Lines&&) = delete;
  ~Lines() = default;

  const std::vector<std::string_view>& all() const { return lines_; }
  // The file's name in a message.
  const std::string& name() const { return name_; }

 private:
  void split(std::string_view text);

  std::string name_;
  std::string text_;
  std::vector<std::string_view> lines_;  // of text_
};

// True where a line has nothing but ASCII spaces.
bool is_blank(std::string_view line);

// The line as it can be shown on a terminal: at most `width` characters, control characters and
// tabs as spaces.
std::string shown(std::string_view line, std::size_t width);

}  // namespace heed::models::minilm
