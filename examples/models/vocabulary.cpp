#include "models/vocabulary.hpp"

#include <algorithm>

#include "heed/core/error.hpp"
#include "models/input_file.hpp"
#include "models/printable.hpp"
#include "models/utf8.hpp"

namespace heed::models {

constexpr std::size_t max_tokens = std::size_t{1} << 24U;

Vocabulary::Vocabulary(std::string_view text) {
  if (const auto bad = utf8_error(text)) {
    throw Error("the vocabulary is not UTF-8 at byte " + std::to_string(*bad));
  }
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    add(line);
  }
  if (tokens_.empty()) throw Error("the vocabulary has no tokens");
}

Vocabulary::Vocabulary(const std::vector<std::string>& tokens) {
  for (const std::string& token : tokens) add(token);
  if (tokens_.empty()) throw Error("the vocabulary has no tokens");
}

void Vocabulary::add(std::string_view token) {
  if (tokens_.size() == max_tokens) throw Error("the vocabulary has more than 2^24 tokens");
  longest_ = std::max(longest_, token.size());
  ids_.insert_or_assign(std::string(token), static_cast<TokenId>(tokens_.size()));
  tokens_.emplace_back(token);
}

Vocabulary Vocabulary::from_file(const std::filesystem::path& path) {
  const std::string text = InputFile(path).text();
  try {
    return Vocabulary(std::string_view(text));
  } catch (const Error& error) {
    throw Error("heed::models::Vocabulary: " + path.string() + ": " + error.what());
  }
}

std::optional<TokenId> Vocabulary::find(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

TokenId Vocabulary::require(std::string_view token) const {
  const auto id = find(token);
  if (!id) throw Error("heed::models::Vocabulary: there is no token " + printable(token));
  return *id;
}

const std::string& Vocabulary::token(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= tokens_.size()) {
    throw Error("heed::models::Vocabulary: id " + std::to_string(id) + " is outside [0, " +
                std::to_string(tokens_.size()) + ")");
  }
  return tokens_[static_cast<std::size_t>(id)];
}

}  // namespace heed::models
