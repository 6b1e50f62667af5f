// Sentences to vectors: tokenize, encode in batches of similar length, average, normalise.
//
// The vector of a sentence is the mean of its tokens' last hidden states, divided by its length.
// Reimers and Gurevych, Sentence-BERT (2019), mean pooling.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "models/bert.hpp"
#include "models/bert_config.hpp"
#include "models/bert_tokenizer.hpp"

namespace heed::models {

struct EncodeOptions {
  std::size_t max_tokens = 0;  // [CLS] and [SEP] included; 0: the model's own limit
  std::size_t batch = 32;      // sentences encoded at once, at least 1
  int threads = 0;             // 0: as many as there are
  // Called now and then with the number of sentences done.
  std::function<void(std::size_t)> progress = {};
  Device device = Device::cpu;  // of attention
};

class SentenceEncoder {
 public:
  // Reads the model's directory, its words from vocab.txt or, where that is missing, from
  // tokenizer.json; throws heed::Error, one line with the path, where it cannot.
  explicit SentenceEncoder(const std::filesystem::path& directory);

  // Features of a sentence's vector.
  std::size_t dimension() const { return config_.hidden; }
  const BertConfig& config() const { return config_; }
  const BertTokenizer& tokenizer() const { return tokenizer_; }
  const Bert& bert() const { return bert_; }

  // The limit that `max_tokens` means: the model's for 0, else itself; heed::Error where the model
  // has too few positions.
  std::size_t token_limit(std::size_t max_tokens) const;

  // One vector of length 1 for each text, [texts, dimension] row-major, in the texts' order; its
  // bits do not depend on the other texts, the batch or the threads.
  // Throws heed::Error for bad UTF-8.
  std::vector<float> embed(std::span<const std::string_view> texts,
                           const EncodeOptions& options = {}) const;

 private:
  BertConfig config_;
  BertTokenizer tokenizer_;
  Bert bert_;
};

}  // namespace heed::models
