// A text as ids of its characters: Shakespeare's plays, or a made one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace characters {

// All plays below a folder as plain text: the marks of Markdown are left out. Throws heed::Error
// where there are none.
std::string read_plays(const std::filesystem::path& folder);

// The characters of a text that are held out: `wanted` of them. Throws heed::Error where that is
// more than a tenth.
std::size_t held_out_size(std::string_view text, std::size_t wanted);

// The numbers from one to twelve in words, again and again.
std::string made_text(std::size_t size);

// Ids of characters: bytes in ascending order, those that the text has.
class Alphabet {
 public:
  explicit Alphabet(std::string_view text);

  int size() const { return static_cast<int>(characters_.size()); }
  char character(int id) const { return characters_[static_cast<std::size_t>(id)]; }
  // Throws heed::Error for a character that is not in the alphabet.
  std::vector<int> ids(std::string_view text) const;

 private:
  std::string characters_;  // [size], ascending
};

}  // namespace characters
