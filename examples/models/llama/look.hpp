// The earlier tokens that each token of an answer was written from, as a picture.
#pragma once

#include <string>
#include <vector>

#include "models/byte_pair_tokenizer.hpp"
#include "models/generator.hpp"

namespace heed::models::chat {

// Collects the mean attention of all heads and layers while a generator works.
class Look {
 public:
  Look(Generator& generator, const LlamaConfig& config);
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;
  Look(Look&&) = delete;
  Look& operator=(Look&&) = delete;
  ~Look();

  // The tokens from `first` on are rows; a row's columns are the tokens before it. The first token,
  // where heads put the weight that they have no use for, is left out; the rest of a row sums to 1.
  // Throws heed::Error where the file cannot be written, or there is nothing to draw.
  void write(const std::string& path, std::size_t first, const BytePairTokenizer& tokenizer) const;

 private:
  Generator& generator_;
  std::vector<std::vector<double>> rows_;  // of the last token of each call, over all before it
};

}  // namespace heed::models::chat
