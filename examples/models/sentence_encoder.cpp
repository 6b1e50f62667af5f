#include "models/sentence_encoder.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "heed/core/error.hpp"
#include "models/tokenizer_json.hpp"

namespace heed::models {
namespace {

BertTokenizer tokenizer_for(const BertConfig& config, const std::filesystem::path& directory) {
  std::filesystem::path file = directory / "vocab.txt";
  const std::filesystem::path other = directory / "tokenizer.json";
  const bool has_words = std::filesystem::exists(file) || !std::filesystem::exists(other);
  if (!has_words) file = other;
  BertTokenizer tokenizer(has_words ? Vocabulary::from_file(file) : read_tokenizer_json(file));
  if (tokenizer.vocabulary().size() != config.vocabulary) {
    throw Error("heed::models::SentenceEncoder: " + file.string() + " has " +
                std::to_string(tokenizer.vocabulary().size()) + " tokens where config.json says " +
                std::to_string(config.vocabulary));
  }
  return tokenizer;
}

// The mean of `tokens` [length, D], scaled to length 1; a mean of 0 stays 0. Sums in double, so
// that the order of summing never shows in a float.
void pool(std::span<const float> tokens, std::span<float> out) {
  const std::size_t dimension = out.size();
  std::vector<double> mean(dimension);
  for (std::size_t i = 0; i < tokens.size(); ++i) mean[i % dimension] += tokens[i];
  const double norm = std::sqrt(std::inner_product(mean.begin(), mean.end(), mean.begin(), 0.0));
  // Division by the number of tokens cancels against the norm.
  for (std::size_t d = 0; d < dimension; ++d) {
    out[d] = static_cast<float>(norm > 0 ? mean[d] / norm : 0);
  }
}

// A padded batch of sentences.
struct Batch {
  std::vector<TokenId> ids;  // [B, L]
  std::vector<int> lengths;  // [B]
  std::size_t longest = 0;   // L
};

Batch batch_of(std::span<const std::size_t> members, std::span<const Encoding> encodings) {
  Batch batch;
  for (const std::size_t member : members) {
    batch.longest = std::max(batch.longest, encodings[member].ids.size());
  }
  for (const std::size_t member : members) {
    const std::vector<TokenId>& ids = encodings[member].ids;
    batch.ids.insert(batch.ids.end(), ids.begin(), ids.end());
    batch.lengths.push_back(static_cast<int>(ids.size()));
    batch.ids.resize(batch.lengths.size() * batch.longest, 0);
  }
  return batch;
}

}  // namespace

SentenceEncoder::SentenceEncoder(const std::filesystem::path& directory)
    : config_(read_bert_config(directory)),
      tokenizer_(tokenizer_for(config_, directory)),
      bert_(config_, files::Safetensors(directory / "model.safetensors")) {}

std::size_t SentenceEncoder::token_limit(std::size_t max_tokens) const {
  if (max_tokens > config_.positions) {
    throw Error("heed::models::SentenceEncoder: max_tokens is " + std::to_string(max_tokens) +
                " but the model has " + std::to_string(config_.positions) + " positions");
  }
  return max_tokens == 0 ? config_.max_tokens : max_tokens;
}

std::vector<float> SentenceEncoder::embed(std::span<const std::string_view> texts,
                                          const EncodeOptions& options) const {
  if (options.batch == 0) throw Error("heed::models::SentenceEncoder: batch is 0");
  const std::size_t limit = token_limit(options.max_tokens);
  std::vector<Encoding> encodings;
  encodings.reserve(texts.size());
  for (const std::string_view text : texts) encodings.push_back(tokenizer_.encode(text, limit));

  // Sentences of similar length share a batch, so that little of it is padding.
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return encodings[a].ids.size() < encodings[b].ids.size();
  });

  std::vector<float> embeddings(texts.size() * dimension());
  for (std::size_t done = 0; done < order.size();) {
    const auto members =
        std::span(order).subspan(done, std::min(options.batch, order.size() - done));
    const Batch batch = batch_of(members, encodings);
    const std::vector<float> hidden =
        bert_.forward(batch.ids, batch.lengths, config_.layers, options.threads, options.device);
    for (std::size_t b = 0; b < members.size(); ++b) {
      const auto length = static_cast<std::size_t>(batch.lengths[b]);
      pool(std::span(hidden).subspan(b * batch.longest * dimension(), length * dimension()),
           std::span(embeddings).subspan(members[b] * dimension(), dimension()));
    }
    done += members.size();
    if (options.progress) options.progress(done);
  }
  return embeddings;
}

}  // namespace heed::models
