#include "texts.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <istream>
#include <iterator>

#include "heed/core/error.hpp"
#include "heed/core/random.hpp"
#include "heed/train/shuffled.hpp"

namespace sentences {

namespace {

// The next record of comma-separated values: fields in quotes may hold commas, line breaks and
// doubled quotes (RFC 4180). False at the end.
bool next_record(std::istream& in, std::vector<std::string>& fields) {
  fields.assign(1, "");
  bool quoted = false;
  for (int c = in.get(); c != std::istream::traits_type::eof(); c = in.get()) {
    if (c == '"' && quoted && in.peek() == '"') {
      fields.back() += static_cast<char>(in.get());
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c == '\n' && !quoted) {
      return true;
    } else {
      fields.back() += static_cast<char>(c);
    }
  }
  return fields.size() > 1;
}

// The tweets have characters that were broken before they were collected.
std::string ascii(std::string_view text) {
  std::string kept;
  for (const char c : text) {
    if (c >= ' ' && c <= '~') kept += c;
    if (c == '\n') kept += ' ';
  }
  return kept;
}

// `each` of the texts of both classes in turn.
Texts drawn(const std::vector<std::string>& negative, const std::vector<std::string>& positive,
            std::size_t each) {
  const auto count = static_cast<heed::Index>(each);
  const auto from_negative = heed::train::Shuffled(std::ssize(negative), count)(0);
  const auto from_positive = heed::train::Shuffled(std::ssize(positive), count)(0);
  Texts all;
  for (std::size_t n = 0; n < each; ++n) {
    all.texts.push_back(negative[static_cast<std::size_t>(from_negative[n])]);
    all.texts.push_back(positive[static_cast<std::size_t>(from_positive[n])]);
    all.labels.insert(all.labels.end(), {0, 1});
  }
  return all;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '\''; }

}  // namespace

Texts read_tweets(const std::filesystem::path& file, std::size_t each) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw heed::Error("sentences: cannot read " + file.string());
  std::array<std::vector<std::string>, 2> found;
  for (std::vector<std::string> fields; next_record(in, fields);) {
    if (fields.size() != 3 || std::strtod(fields[1].c_str(), nullptr) < 0.6) continue;
    if (fields[0] == "negative") found[0].push_back(ascii(fields[2]));
    if (fields[0] == "positive") found[1].push_back(ascii(fields[2]));
  }
  const std::size_t fewest = std::min(found[0].size(), found[1].size());
  if (fewest < each) {
    throw heed::Error("sentences: " + file.string() + " has " + std::to_string(fewest) +
                      " texts of a class, not " + std::to_string(each));
  }
  return drawn(found[0], found[1], each);
}

Texts made_texts(std::size_t count) {
  constexpr std::array<const char*, 4> things{"film", "meal", "book", "song"},
      bad{"bad", "dull", "awful", "poor"}, good{"good", "great", "lovely", "fine"};
  Texts all;
  for (std::size_t n = 0; n < count; ++n) {
    const auto word = heed::philox(3, {static_cast<std::uint32_t>(n), 0, 0, 0});
    const bool is_not = word[0] % 2 == 1, is_good = word[1] % 2 == 1;
    const std::size_t which = word[2] % 4;
    all.texts.push_back(std::string("this ") + things[word[3] % 4] + " was " +
                        (is_not ? "not " : "") + (is_good ? good[which] : bad[which]));
    all.labels.push_back(is_good != is_not ? 1 : 0);
  }
  return all;
}

Split split(const Texts& all) {
  Split parts;
  for (std::size_t n = 0; n < all.texts.size(); ++n) {
    Texts& part = n % 5 == 4 ? parts.held_out : parts.train;
    part.texts.push_back(all.texts[n]);
    part.labels.push_back(all.labels[n]);
  }
  return parts;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char c : text) {
    if (is_word(c)) {
      if (!inside) words.emplace_back();
      words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (c == '!' || c == '?') {
      words.emplace_back(1, c);
    }
    inside = is_word(c);
  }
  return words;
}

}  // namespace sentences
