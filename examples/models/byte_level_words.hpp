// The words of byte-level BPE: pieces of a text that no merge crosses.
//
// GPT-2's pattern, behind a cut around each digit, as SmolLM's tokenizer has it:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2.
#pragma once

#include <string_view>
#include <vector>

namespace heed::models {

// The first word of a text that is not empty. All of a text is in its words, also what is not
// UTF-8.
std::string_view first_byte_level_word(std::string_view text);

std::vector<std::string_view> byte_level_words(std::string_view text);

}  // namespace heed::models
