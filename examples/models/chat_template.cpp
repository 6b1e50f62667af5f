#include "models/chat_template.hpp"

namespace heed::models {
namespace {

constexpr std::string_view start_text = "<|im_start|>", end_text = "<|im_end|>";
constexpr std::string_view system_text = "<|im_start|>system\n";

}  // namespace

ChatTemplate::ChatTemplate(const Gguf& file, const BytePairTokenizer& tokenizer)
    : tokenizer_(tokenizer),
      start_(tokenizer.special(start_text)),
      end_(tokenizer.special(end_text)) {
  if (!file.has("tokenizer.chat_template")) return;
  const std::string& source = file.text("tokenizer.chat_template");
  if (source.find(start_text) == std::string::npos || source.find(end_text) == std::string::npos) {
    file.refuse("tokenizer.chat_template has no turns between <|im_start|> and <|im_end|>");
  }
  const std::size_t at = source.find(system_text);
  if (at == std::string::npos) return;
  const std::size_t begin = at + system_text.size();
  default_system_ = source.substr(begin, source.find(end_text, begin) - begin);
}

std::vector<TokenId> ChatTemplate::turn(std::string_view role, std::string_view text) const {
  std::vector<TokenId> ids{start_};
  const auto words = tokenizer_.encode(std::string(role) + "\n" + std::string(text));
  ids.insert(ids.end(), words.begin(), words.end());
  const auto behind = behind_answer(false);
  ids.insert(ids.end(), behind.begin(), behind.end());
  return ids;
}

std::vector<TokenId> ChatTemplate::answer() const {
  std::vector<TokenId> ids = tokenizer_.encode("assistant\n");
  ids.insert(ids.begin(), start_);
  return ids;
}

std::vector<TokenId> ChatTemplate::behind_answer(bool has_end) const {
  std::vector<TokenId> ids = tokenizer_.encode("\n");
  if (!has_end) ids.insert(ids.begin(), end_);
  return ids;
}

}  // namespace heed::models
