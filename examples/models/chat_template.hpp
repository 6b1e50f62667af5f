// The turns of a conversation as a model was trained to read them:
//   <|im_start|>role\n text <|im_end|>\n
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/byte_pair_tokenizer.hpp"
#include "models/gguf.hpp"

namespace heed::models {

class ChatTemplate {
 public:
  // Throws heed::Error, one line with the path, where the file's template has other turns.
  ChatTemplate(const Gguf& file, const BytePairTokenizer& tokenizer);

  // Of the template: SmolLM2 is told that it is SmolLM. Empty where there is none.
  const std::string& default_system() const { return default_system_; }
  TokenId end() const { return end_; }  // of an answer

  // A whole turn. `text` is text alone, whatever tokens it spells.
  std::vector<TokenId> turn(std::string_view role, std::string_view text) const;
  // A turn up to where the model's text begins.
  std::vector<TokenId> answer() const;
  // Between the end of an answer, if it has one, and the next turn.
  std::vector<TokenId> behind_answer(bool has_end) const;

 private:
  const BytePairTokenizer& tokenizer_;
  TokenId start_, end_;
  std::string default_system_;
};

}  // namespace heed::models
