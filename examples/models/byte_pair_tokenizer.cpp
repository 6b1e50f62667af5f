#include "models/byte_pair_tokenizer.hpp"

#include <algorithm>
#include <queue>

#include "heed/core/error.hpp"
#include "models/byte_level_words.hpp"
#include "models/gguf.hpp"
#include "models/printable.hpp"
#include "models/utf8.hpp"

namespace heed::models {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw Error("heed::models::BytePairTokenizer: " + why);
}

// GPT-2's letters for bytes: printable ones stand for themselves, the others for 256, 257, …
std::unordered_map<char32_t, char> byte_letters() {
  std::unordered_map<char32_t, char> bytes;
  char32_t next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool itself = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    bytes[itself ? static_cast<char32_t>(byte) : next++] = static_cast<char>(byte);
  }
  return bytes;
}

// The bytes that a token of a file stands for.
std::string bytes_of_letters(std::string_view letters) {
  static const std::unordered_map<char32_t, char> bytes = byte_letters();
  std::string result;
  for (std::string_view rest = letters; !rest.empty();) {
    const auto found = bytes.find(take_utf8(rest));
    if (found == bytes.end()) refuse("token " + printable(letters) + " stands for no bytes");
    result += found->second;
  }
  return result;
}

constexpr std::uint64_t pair_key(TokenId left, TokenId right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32U | static_cast<std::uint32_t>(right);
}

// A word while it is merged: tokens in a list, −1 for one that has gone into its left neighbour.
struct Piece {
  TokenId id;
  std::size_t left, right;
};

// A merge that may be done: of the piece at `left` with the one behind it.
struct Candidate {
  std::uint32_t rank;
  std::size_t left;
  TokenId first, second, result;

  bool operator<(const Candidate& other) const {  // the best is the greatest
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

BytePairTokenizer::BytePairTokenizer(const std::vector<std::string>& tokens,
                                     const std::vector<bool>& special,
                                     const std::vector<std::string>& merges) {
  constexpr std::size_t most = std::size_t{1} << 24U;
  if (tokens.empty() || tokens.size() > most || special.size() != tokens.size()) {
    refuse(std::to_string(tokens.size()) + " tokens, " + std::to_string(special.size()) +
           " of known kind");
  }
  byte_ids_.fill(-1);
  for (std::size_t n = 0; n < tokens.size(); ++n) add_token(tokens[n], special[n]);
  for (const std::string& merge : merges) add_merge(merge);
}

void BytePairTokenizer::add_token(const std::string& token, bool special) {
  const auto id = static_cast<TokenId>(bytes_.size());
  if (token.empty()) refuse("token " + std::to_string(id) + " has no text");
  std::string bytes = special ? token : bytes_of_letters(token);
  if (!special && bytes.size() == 1) byte_ids_[static_cast<unsigned char>(bytes[0])] = id;
  if (!(special ? specials_ : ids_).emplace(bytes, id).second) {
    refuse("token " + printable(token) + " is there twice");
  }
  bytes_.push_back(std::move(bytes));
  special_.push_back(special);
}

void BytePairTokenizer::add_merge(const std::string& merge) {
  const std::size_t space = merge.find(' ');
  if (space == std::string::npos) refuse("merge " + printable(merge) + " has no space");
  const std::string left = bytes_of_letters(std::string_view(merge).substr(0, space));
  const std::string right = bytes_of_letters(std::string_view(merge).substr(space + 1));
  const auto first = ids_.find(left), second = ids_.find(right), both = ids_.find(left + right);
  if (first == ids_.end() || second == ids_.end() || both == ids_.end()) {
    refuse("merge " + printable(merge) + " is not of tokens");
  }
  const auto rank = static_cast<std::uint32_t>(merges_.size());
  merges_.emplace(pair_key(first->second, second->second), Merge{rank, both->second});
}

BytePairTokenizer BytePairTokenizer::from_file(const Gguf& file) {
  const auto expect = [&](const char* key, std::string_view value) {
    if (file.text(key) == value) return;
    file.refuse(std::string(key) + " is " + printable(file.text(key)) + "; only " +
                printable(value) + " is implemented");
  };
  expect("tokenizer.ggml.model", "gpt2");
  expect("tokenizer.ggml.pre", "smollm");
  constexpr std::int64_t control = 3, user_defined = 4;
  std::vector<bool> special;
  for (const std::int64_t type : file.integers("tokenizer.ggml.token_type")) {
    special.push_back(type == control || type == user_defined);
  }
  try {
    return {file.texts("tokenizer.ggml.tokens"), special, file.texts("tokenizer.ggml.merges")};
  } catch (const Error& error) {
    file.refuse(error.what());
  }
}

std::optional<BytePairTokenizer::Merge> BytePairTokenizer::merge_of(TokenId left,
                                                                    TokenId right) const {
  const auto found = merges_.find(pair_key(left, right));
  if (found == merges_.end()) return std::nullopt;
  return found->second;
}

// Merges the pair that was learned first, the leftmost of equal ones, until no pair is known.
void BytePairTokenizer::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  std::vector<Piece> pieces;
  for (const char c : word) {
    const TokenId id = byte_ids_[static_cast<unsigned char>(c)];
    if (id >= 0) pieces.push_back({id, pieces.size() - 1, pieces.size() + 1});
  }
  std::priority_queue<Candidate> queue;
  const auto offer = [&](std::size_t left) {
    const std::size_t right = pieces[left].right;
    if (right >= pieces.size()) return;
    const TokenId first = pieces[left].id, second = pieces[right].id;
    if (const auto merge = merge_of(first, second)) {
      queue.push({merge->rank, left, first, second, merge->result});
    }
  };
  for (std::size_t n = 0; n < pieces.size(); ++n) offer(n);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Piece& left = pieces[best.left];
    if (left.id != best.first || left.right >= pieces.size()) continue;
    Piece& right = pieces[left.right];
    if (right.id != best.second) continue;
    left.id = best.result;
    right.id = -1;
    left.right = right.right;
    if (left.right < pieces.size()) pieces[left.right].left = best.left;
    offer(best.left);
    if (best.left > 0) offer(left.left);
  }
  for (const Piece& piece : pieces) {
    if (piece.id >= 0) ids.push_back(piece.id);
  }
}

void BytePairTokenizer::encode_text(std::string_view text, std::vector<TokenId>& ids) const {
  while (!text.empty()) {
    const std::string_view word = first_byte_level_word(text);
    encode_word(word, ids);
    text.remove_prefix(word.size());
  }
}

std::vector<TokenId> BytePairTokenizer::encode(std::string_view text, Specials specials) const {
  std::vector<TokenId> ids;
  while (specials == Specials::as_tokens && !text.empty()) {
    // The first special token in the text, the longest of those that begin there.
    std::size_t at = text.size(), length = 0;
    TokenId id = -1;
    for (const auto& [name, its_id] : specials_) {
      const std::size_t found = text.find(name);
      if (found < at || (found == at && name.size() > length)) {
        at = found, length = name.size(), id = its_id;
      }
    }
    encode_text(text.substr(0, at), ids);
    if (id >= 0) ids.push_back(id);
    text.remove_prefix(at + length);
  }
  encode_text(text, ids);
  return ids;
}

const std::string& BytePairTokenizer::bytes(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= bytes_.size()) {
    refuse("id " + std::to_string(id) + " is outside [0, " + std::to_string(bytes_.size()) + ")");
  }
  return bytes_[static_cast<std::size_t>(id)];
}

std::string BytePairTokenizer::decode(const std::vector<TokenId>& ids) const {
  std::string text;
  for (const TokenId id : ids) text += bytes(id);
  return text;
}

bool BytePairTokenizer::is_special(TokenId id) const {
  bytes(id);
  return special_[static_cast<std::size_t>(id)];
}

TokenId BytePairTokenizer::special(std::string_view text) const {
  const auto found = specials_.find(std::string(text));
  if (found == specials_.end()) refuse("there is no special token " + printable(text));
  return found->second;
}

}  // namespace heed::models
