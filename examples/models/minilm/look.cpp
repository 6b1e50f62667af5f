#include "models/minilm/look.hpp"

#include <cstdio>

#include "heed/core/error.hpp"

namespace heed::models::minilm {

Look look_at(const CommandLine& line, const SentenceEncoder& encoder, std::size_t layer) {
  const BertConfig& config = encoder.config();
  Look look;
  look.layer = layer;
  if (look.layer > config.layers) {
    throw Error("minilm: --layer is " + std::to_string(look.layer) + " but the model has " +
                std::to_string(config.layers) + " layers");
  }
  const Encoding encoding =
      encoder.tokenizer().encode(line.operands[0], encoder.token_limit(line.max_tokens));
  look.truncated = encoding.truncated;
  for (const TokenId id : encoding.ids) {
    look.tokens.push_back(encoder.tokenizer().vocabulary().token(id));
  }
  look.heads = look.layer == 0 ? 1 : config.heads;
  look.weights = look.layer == 0 ? encoder.bert().word_attention(encoding.ids)
                                 : encoder.bert().attention_weights(encoding.ids, look.layer - 1);
  return look;
}

std::string Look::title(std::size_t layers) const {
  if (layer == 0) return "word vectors alone";
  return "layer " + std::to_string(layer) + " of " + std::to_string(layers);
}

void warn_if_cut(const Look& look) {
  if (!look.truncated) return;
  std::fprintf(stderr, "minilm: the sentence is cut after %zu tokens\n", look.length());
}

}  // namespace heed::models::minilm
