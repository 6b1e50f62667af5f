// A trained encoder, MiniLM, on sentences that any other program can make too.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "models/bert.hpp"
#include "models/bert_config.hpp"

namespace heed::bench {

struct EncoderRow {
  std::string_view name;
  int sentences;
  int shortest, longest;  // tokens of a sentence
};

inline constexpr EncoderRow encoder_rows[] = {{"minilm_64_short", 64, 6, 16},
                                              {"minilm_512", 1, 512, 512}};

class Encoder {
 public:
  // The model's folder, from HEED_MINILM in the environment; nullptr where it does not say.
  static const char* folder();

  Encoder() : Encoder(models::read_bert_config(folder())) {}

  // The last hidden states [B, L, hidden] of the row's sentences, padded to the longest.
  std::vector<float> operator()(const EncoderRow& row, int threads) const;

  // The hidden states of the first token of the last sentence start here.
  std::size_t last_sentence(const EncoderRow& row) const;

 private:
  explicit Encoder(const models::BertConfig& config);

  models::BertConfig config_;
  models::Bert bert_;
};

}  // namespace heed::bench
