#include "text.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "heed/core/error.hpp"

namespace characters {

namespace {

// Without the marks of headings, names and directions, without spaces before a line's end and
// without more than one empty line.
std::string plain(std::string_view markdown) {
  std::string text;
  for (const char c : markdown) {
    if (c == '*' || c == '_' || c == '#' || c == '\\' || c == '\r') continue;
    if (c == ' ' && (text.empty() || text.back() == '\n')) continue;
    if (c == '\n') {
      while (!text.empty() && text.back() == ' ') text.pop_back();
      if (text.ends_with("\n\n")) continue;
    }
    text += c;
  }
  return text;
}

}  // namespace

std::string read_plays(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> plays;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".md") plays.push_back(entry.path());
  }
  if (plays.empty()) throw heed::Error("characters: no play (*.md) in " + folder.string());
  std::sort(plays.begin(), plays.end());
  std::string text;
  for (const auto& play : plays) {
    std::ifstream in(play, std::ios::binary);
    const std::string markdown{std::istreambuf_iterator<char>(in), {}};
    if (in.bad() || markdown.empty()) throw heed::Error("characters: cannot read " + play.string());
    text += plain(markdown);
  }
  return text;
}

std::size_t held_out_size(std::string_view text, std::size_t wanted) {
  if (text.size() / 10 >= wanted) return wanted;
  throw heed::Error("characters: the text has " + std::to_string(text.size()) +
                    " characters, fewer than " + std::to_string(10 * wanted));
}

std::string made_text(std::size_t size) {
  std::string text;
  while (text.size() < size) {
    text += "one two three four five six seven eight nine ten eleven twelve\n";
  }
  return text.substr(0, size);
}

Alphabet::Alphabet(std::string_view text) {
  std::array<bool, 256> found{};
  for (const char c : text) found[static_cast<unsigned char>(c)] = true;
  for (std::size_t c = 0; c < found.size(); ++c) {
    if (found[c]) characters_ += static_cast<char>(c);
  }
}

std::vector<int> Alphabet::ids(std::string_view text) const {
  std::vector<int> ids;
  ids.reserve(text.size());
  for (const char c : text) {
    const std::size_t id = characters_.find(c);
    if (id == std::string::npos) {
      throw heed::Error(std::string("characters: '") + c + "' is not in the alphabet");
    }
    ids.push_back(static_cast<int>(id));
  }
  return ids;
}

}  // namespace characters
