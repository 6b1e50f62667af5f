// The sizes of a BERT model and how its sentences are made, from the JSON files beside its weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace heed::models {

struct BertConfig {
  std::uint64_t vocabulary = 0;
  std::uint64_t hidden = 0;        // features of a token
  std::uint64_t intermediate = 0;  // features inside a feed-forward
  std::uint64_t positions = 0;     // the longest sequence there are position embeddings for
  std::uint64_t token_types = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  float layer_norm_epsilon = 0;
  std::size_t max_tokens = 0;  // where the model's authors cut a sentence, at most `positions`
};

// Reads config.json, sentence_bert_config.json and 1_Pooling/config.json of a model's directory.
// Throws heed::Error, one line with the path, where one is missing, is not what it should be, or
// asks for what the encoder does not do: another activation than the exact gelu, positions that are
// not absolute, another pooling than the mean, or upper and lower case told apart.
BertConfig read_bert_config(const std::filesystem::path& directory);

}  // namespace heed::models
