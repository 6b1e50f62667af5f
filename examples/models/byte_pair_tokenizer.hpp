// Byte-level BPE: bytes to tokens, by merges in the order in which they were learned, and back.
// Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016), on bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "models/vocabulary.hpp"

namespace heed::models {

class Gguf;

// Text such as <|im_end|> in a text: a special token, or characters like all others. A user's own
// text has to be `as_text`, or it could end its turn.
enum class Specials { as_text, as_tokens };

class BytePairTokenizer {
 public:
  // Tokens and merges ("a b", the first learned first) as files have them: a byte that is not
  // printable ASCII or Latin-1 stands as another letter.
  //   special  [tokens], 1 for tokens such as <|im_end|>, which no merge makes
  // Throws heed::Error for a token twice, a character that stands for no byte, or a merge whose
  // parts or result are not tokens.
  BytePairTokenizer(const std::vector<std::string>& tokens, const std::vector<bool>& special,
                    const std::vector<std::string>& merges);

  // From tokenizer.ggml.*. Throws heed::Error, one line with the path, also for another tokenizer
  // than SmolLM's.
  static BytePairTokenizer from_file(const Gguf& file);

  std::size_t size() const { return bytes_.size(); }

  // The tokens of a text. A byte that no token is made for, which no valid UTF-8 but that of a few
  // control characters has, is left out. Time O(n log n) in the longest word.
  std::vector<TokenId> encode(std::string_view text, Specials specials = Specials::as_text) const;

  // The bytes of a token, possibly a part of a character. Throws heed::Error for an id outside
  // [0, size).
  const std::string& bytes(TokenId id) const;
  std::string decode(const std::vector<TokenId>& ids) const;

  bool is_special(TokenId id) const;
  // The special token of this text. Throws heed::Error where there is none.
  TokenId special(std::string_view text) const;

 private:
  struct Merge {
    std::uint32_t rank;
    TokenId result;
  };

  void add_token(const std::string& token, bool special);
  void add_merge(const std::string& merge);
  std::optional<Merge> merge_of(TokenId left, TokenId right) const;
  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;
  void encode_text(std::string_view text, std::vector<TokenId>& ids) const;

  std::vector<std::string> bytes_;  // of each token
  std::vector<bool> special_;
  std::unordered_map<std::string, TokenId> ids_, specials_;  // by bytes
  std::array<TokenId, 256> byte_ids_{};                      // −1: there is no such token
  std::unordered_map<std::uint64_t, Merge> merges_;          // by left · 2^32 + right
};

}  // namespace heed::models
