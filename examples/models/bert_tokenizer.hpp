// Text to token ids, as BERT's uncased models are fed: words, cut into WordPiece, between [CLS] and
// [SEP].
//
//   "Unbelievable!"  →  [CLS] un ##bel ##ie ##vable ! [SEP]
//
// A special token written in the text, exactly like "[SEP]" and wherever it stands, is that token,
// as in the reference implementation; "[sep]" is four characters' worth of ordinary text.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "models/vocabulary.hpp"

namespace heed::models {

struct Encoding {
  std::vector<TokenId> ids;  // [tokens], [CLS] first and [SEP] last
  bool truncated = false;    // the text had more tokens than fit
};

class BertTokenizer {
 public:
  // A word of more characters than this is one [UNK], however much of it the vocabulary knows.
  static constexpr std::size_t max_word_characters = 100;

  // Throws heed::Error where the vocabulary lacks [UNK], [CLS], [SEP], [PAD] or [MASK].
  explicit BertTokenizer(Vocabulary vocabulary);

  // At most `max_tokens` ids, [CLS] and [SEP] included; what stands behind them is dropped.
  // Throws heed::Error for bad UTF-8 (its text says at which byte) and for max_tokens < 2.
  // Time O(text); memory O(max_tokens), however long the text or a word of it.
  Encoding encode(std::string_view text, std::size_t max_tokens) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  // Appends the ids of a text without special tokens; stops early once there are `enough` in all.
  void append_text(std::string_view text, std::size_t enough, std::vector<TokenId>& ids) const;
  void append_word(const std::u32string& word, std::vector<TokenId>& ids) const;

  Vocabulary vocabulary_;
  TokenId unknown_;
  std::vector<std::pair<std::string_view, TokenId>> special_;
};

}  // namespace heed::models
