#include "models/bert_tokenizer.hpp"

#include <algorithm>
#include <span>
#include <string>

#include "heed/core/error.hpp"
#include "models/bert_words.hpp"
#include "models/utf8.hpp"

namespace heed::models {
namespace {

// The id of the longest token that begins the piece, and how many of its bytes it takes.
struct Match {
  TokenId id = 0;
  std::size_t length = 0;
};

// `piece` begins with `prefix` ("##" inside a word), which does not count as taken.
Match longest_match(const Vocabulary& vocabulary, std::string_view piece, std::size_t prefix) {
  std::size_t length = std::min(piece.size(), vocabulary.longest_token());
  for (; length > prefix; --length) {
    if (const auto id = vocabulary.find(piece.substr(0, length))) return {*id, length - prefix};
  }
  return {};
}

// Where the next special token stands; behind the text, of length 0, where there is none.
struct Special {
  std::size_t at = 0;
  std::size_t length = 0;
  TokenId id = 0;
};

Special next_special(std::string_view text,
                     std::span<const std::pair<std::string_view, TokenId>> special) {
  for (std::size_t at = text.find('['); at != std::string_view::npos; at = text.find('[', at + 1)) {
    const auto found = std::find_if(special.begin(), special.end(), [&](const auto& token) {
      return text.substr(at).starts_with(token.first);
    });
    if (found != special.end()) return {at, found->first.size(), found->second};
  }
  return {text.size(), 0, 0};
}

}  // namespace

BertTokenizer::BertTokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), unknown_(vocabulary_.require("[UNK]")) {
  for (const std::string_view token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    special_.emplace_back(token, vocabulary_.require(token));
  }
}

// No more of the text is looked at than fits: word by word, up to the next special token.
Encoding BertTokenizer::encode(std::string_view text, std::size_t max_tokens) const {
  if (max_tokens < 2) {
    throw Error("heed::models::BertTokenizer: max_tokens is " + std::to_string(max_tokens) +
                ", too few for [CLS] and [SEP]");
  }
  if (const auto bad = utf8_error(text)) {
    throw Error("heed::models::BertTokenizer: the text is not UTF-8 at byte " +
                std::to_string(*bad));
  }
  Encoding encoding{{vocabulary_.require("[CLS]")}, false};
  while (!text.empty() && encoding.ids.size() < max_tokens) {
    const Special special = next_special(text, special_);
    append_text(text.substr(0, special.at), max_tokens, encoding.ids);
    if (special.length > 0) encoding.ids.push_back(special.id);
    text.remove_prefix(special.at + special.length);
  }
  encoding.truncated = encoding.ids.size() > max_tokens - 1;
  if (encoding.truncated) encoding.ids.resize(max_tokens - 1);
  encoding.ids.push_back(vocabulary_.require("[SEP]"));
  return encoding;
}

void BertTokenizer::append_text(std::string_view text, std::size_t enough,
                                std::vector<TokenId>& ids) const {
  each_bert_word(text, max_word_characters, [&](const std::u32string& word) {
    append_word(word, ids);
    return ids.size() < enough;
  });
}

// WordPiece: the longest known beginning, again and again; one unknown rest makes the word [UNK].
void BertTokenizer::append_word(const std::u32string& word, std::vector<TokenId>& ids) const {
  if (word.size() > max_word_characters) {
    ids.push_back(unknown_);
    return;
  }
  const std::size_t first = ids.size();
  std::string rest;
  for (const char32_t point : word) append_utf8(rest, point);
  std::size_t prefix = 0;
  do {
    const Match match = longest_match(vocabulary_, rest, prefix);
    if (match.length == 0) {
      ids.resize(first);
      ids.push_back(unknown_);
      return;
    }
    ids.push_back(match.id);
    rest.replace(0, prefix + match.length, "##");
    prefix = 2;
  } while (rest.size() > prefix);
}

}  // namespace heed::models
