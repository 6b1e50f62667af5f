#include "minilm/encoder.hpp"

#include <cstdlib>
#include <filesystem>

namespace heed::bench {
namespace {

int tokens_of(const EncoderRow& row, int sentence) {
  return row.shortest + 7 * sentence % (row.longest - row.shortest + 1);
}

// Some word of the vocabulary; the first thousand entries are no words.
models::TokenId token(int sentence, int place) {
  return static_cast<models::TokenId>(1000 + (7919 * sentence + 104729 * place) % 28000);
}

}  // namespace

const char* Encoder::folder() { return std::getenv("HEED_MINILM"); }

Encoder::Encoder(const models::BertConfig& config)
    : config_(config),
      bert_(config,
            heed::files::Safetensors(std::filesystem::path(folder()) / "model.safetensors")) {}

std::vector<float> Encoder::operator()(const EncoderRow& row, int threads) const {
  std::vector<models::TokenId> ids;
  std::vector<int> lengths;
  for (int sentence = 0; sentence < row.sentences; ++sentence) {
    lengths.push_back(tokens_of(row, sentence));
    for (int place = 0; place < row.longest; ++place) {
      ids.push_back(place < lengths.back() ? token(sentence, place) : models::TokenId{0});
    }
  }
  return bert_.forward(ids, lengths, config_.layers, threads);
}

std::size_t Encoder::last_sentence(const EncoderRow& row) const {
  return static_cast<std::size_t>((row.sentences - 1) * row.longest) * config_.hidden;
}

}  // namespace heed::bench
