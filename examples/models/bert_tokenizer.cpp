#include "models/bert_tokenizer.hpp"

#include <algorithm>
#include <string>

#include "heed/core/error.hpp"
#include "models/bert_words.hpp"
#include "models/utf8.hpp"

namespace heed::models {
namespace {

constexpr std::string_view ascii_space = " \t\n\r";

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

}  // namespace

BertTokenizer::BertTokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), unknown_(vocabulary_.require("[UNK]")) {
  for (const std::string_view token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    special_.emplace_back(token, vocabulary_.require(token));
  }
}

// Works stretch by stretch between ASCII spaces, which nothing in the tokenizer looks across, so
// that a text of any length costs no more than what fits.
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
    const std::string_view stretch = text.substr(0, text.find_first_of(ascii_space));
    append_stretch(stretch, encoding.ids);
    text.remove_prefix(std::min(text.size(), stretch.size() + 1));
  }
  encoding.truncated = encoding.ids.size() > max_tokens - 1;
  if (encoding.truncated) encoding.ids.resize(max_tokens - 1);
  encoding.ids.push_back(vocabulary_.require("[SEP]"));
  return encoding;
}

void BertTokenizer::append_stretch(std::string_view stretch, std::vector<TokenId>& ids) const {
  const auto append_text = [&](std::string_view text) {
    for (const std::u32string& word : bert_words(text)) append_word(word, ids);
  };
  std::size_t done = 0;
  for (std::size_t at = stretch.find('['); at != std::string_view::npos;
       at = stretch.find('[', at)) {
    const auto found = std::find_if(special_.begin(), special_.end(), [&](const auto& special) {
      return stretch.substr(at).starts_with(special.first);
    });
    if (found == special_.end()) {
      ++at;
      continue;
    }
    append_text(stretch.substr(done, at - done));
    ids.push_back(found->second);
    at += found->first.size();
    done = at;
  }
  append_text(stretch.substr(done));
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
