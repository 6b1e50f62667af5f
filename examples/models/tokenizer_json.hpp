// The vocabulary in tokenizer.json, the file of Hugging Face's tokenizers, which has more than
// words.
#pragma once

#include <filesystem>

#include "models/vocabulary.hpp"

namespace heed::models {

// Throws heed::Error, one line with the path, where the file is missing, is not what it should be,
// or asks for what BertTokenizer does not do: another model than WordPiece as BERT has it, upper
// and lower case or accents told apart, or special tokens of its own.
Vocabulary read_tokenizer_json(const std::filesystem::path& path);

}  // namespace heed::models
