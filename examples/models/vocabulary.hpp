// A WordPiece vocabulary: tokens and their ids, from a text file with one token a line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace heed::models {

using TokenId = std::int32_t;

class Vocabulary {
 public:
  // Token i stands on line i of `text`; a token that stands twice has its last line's id.
  // Throws heed::Error for text that is not UTF-8, without tokens, or with more than 2^24 of them.
  explicit Vocabulary(std::string_view text);
  // Token i is tokens[i]. Throws heed::Error where there are none, or more than 2^24.
  explicit Vocabulary(const std::vector<std::string>& tokens);
  static Vocabulary from_file(const std::filesystem::path& path);

  std::size_t size() const { return tokens_.size(); }

  // The id of a token as it stands in the file, "##" included.
  std::optional<TokenId> find(std::string_view token) const;
  // The same for a token that must be there, like [CLS]: heed::Error where it is not.
  TokenId require(std::string_view token) const;
  // Throws heed::Error for an id outside [0, size).
  const std::string& token(TokenId id) const;

  // Bytes of the longest token: no piece of a word beyond it needs looking up.
  std::size_t longest_token() const { return longest_; }

 private:
  void add(std::string_view token);

  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> ids_;
  std::size_t longest_ = 0;
};

}  // namespace heed::models
