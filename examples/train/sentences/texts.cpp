#include "texts.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <istream>
#include <sstream>
#include <unordered_set>

#include "heed/core/error.hpp"
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

// The words of a tweet without links, names and the mark of a retweet: equal for its copies.
std::string without_marks(const std::string& tweet) {
  std::istringstream in(tweet);
  std::string kept;
  for (std::string part; in >> part;) {
    if (part == "RT" || part.starts_with('@') || part.starts_with("http")) continue;
    for (const auto& word : words_of(part)) kept += word + ' ';
  }
  return kept;
}

}  // namespace

Texts read_tweets(const std::filesystem::path& file, std::size_t each) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw heed::Error("sentences: cannot read " + file.string());
  std::array<std::vector<std::string>, 2> found;
  std::unordered_set<std::string> seen;
  for (std::vector<std::string> fields; next_record(in, fields);) {
    if (fields.size() != 3 || std::strtod(fields[1].c_str(), nullptr) < 0.6) continue;
    if (fields[0] != "negative" && fields[0] != "positive") continue;
    std::string text = ascii(fields[2]);
    if (!seen.insert(without_marks(text)).second) continue;
    found[fields[0] == "positive" ? 1 : 0].push_back(std::move(text));
  }
  const std::size_t fewest = std::min(found[0].size(), found[1].size());
  if (fewest < each) {
    throw heed::Error("sentences: " + file.string() + " has " + std::to_string(fewest) +
                      " texts of a class, not " + std::to_string(each));
  }
  return drawn(found[0], found[1], each);
}

Texts made_texts() {
  constexpr std::array<const char*, 4> things{"film", "meal", "book", "song"};
  constexpr std::array<const char*, 4> before{"", "very ", "not ", "not very "};
  constexpr std::array<const char*, 8> words{"bad",  "dull",  "awful",  "poor",
                                             "good", "great", "lovely", "fine"};
  std::array<std::vector<std::string>, 2> found;
  for (const char* thing : things) {
    for (std::size_t b = 0; b < before.size(); ++b) {
      for (std::size_t w = 0; w < words.size(); ++w) {
        const bool is_not = b >= 2, is_good = w >= 4;
        found[is_good != is_not ? 1 : 0].push_back(std::string("this ") + thing + " was " +
                                                   before[b] + words[w]);
      }
    }
  }
  return drawn(found[0], found[1], found[0].size());
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
