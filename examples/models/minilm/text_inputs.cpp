#include "models/minilm/text_inputs.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "heed/core/error.hpp"

namespace heed::models::minilm {
namespace {

// Ids in pieces of at most `size`, [CLS] first and [SEP] last in each; `length` ids in all.
std::vector<std::vector<TokenId>> pieces_of(std::vector<TokenId> ids, std::size_t size,
                                            std::size_t length) {
  const TokenId first = ids.front(), last = ids.back();
  ids.pop_back();
  ids.erase(ids.begin());
  std::vector<std::vector<TokenId>> pieces;
  std::size_t at = 0;
  while (at < ids.size() && length > 2) {
    const std::size_t inner = std::min({size - 2, length - 2, ids.size() - at});
    std::vector<TokenId> piece{first};
    piece.insert(piece.end(), ids.begin() + static_cast<std::ptrdiff_t>(at),
                 ids.begin() + static_cast<std::ptrdiff_t>(at + inner));
    piece.push_back(last);
    at += inner, length -= piece.size();
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

// Tokens first … of each head of `to` are those of `from` [heads, length, dim].
void put(const std::vector<float>& from, const HeadInputs& piece, Index first, Tensor4<float>& to) {
  const auto tokens = static_cast<std::size_t>(to.dimension(2));
  for (std::size_t h = 0; h < piece.heads; ++h) {
    const auto begin = from.begin() + static_cast<std::ptrdiff_t>(h * piece.length * piece.dim);
    std::copy(begin, begin + static_cast<std::ptrdiff_t>(piece.length * piece.dim),
              to.data() + (h * tokens + static_cast<std::size_t>(first)) * piece.dim);
  }
}

}  // namespace

TextInputs text_inputs(const CommandLine& line, std::string_view text,
                       const SentenceEncoder& encoder, std::size_t layer) {
  const BertConfig& config = encoder.config();
  if (layer > config.layers) {
    throw Error("minilm: --layer is " + std::to_string(layer) + " but the model has " +
                std::to_string(config.layers) + " layers");
  }
  const std::size_t size = std::max<std::size_t>(encoder.token_limit(line.max_tokens), 3);
  const auto pieces =
      pieces_of(encoder.tokenizer().encode(text, line.length).ids, size, line.length);
  Index tokens = 0;
  for (const auto& piece : pieces) tokens += static_cast<Index>(piece.size());
  constexpr Index least = 64;
  if (tokens < least) {
    throw Error("minilm: the text has " + std::to_string(tokens) +
                " tokens; methods are compared on " + std::to_string(least) + " or more");
  }
  const auto heads = static_cast<Index>(config.heads);
  const auto dim = static_cast<Index>(config.hidden / config.heads);
  const Tensor4<float> zeros = Tensor4<float>(1, heads, tokens, dim).setZero();
  TextInputs inputs{zeros, zeros, zeros};
  Index first = 0;
  for (const auto& ids : pieces) {
    const HeadInputs piece = encoder.bert().head_inputs(ids, layer - 1);
    put(piece.q, piece, first, inputs.q);
    put(piece.k, piece, first, inputs.k);
    put(piece.v, piece, first, inputs.v);
    first += static_cast<Index>(ids.size());
  }
  return inputs;
}

}  // namespace heed::models::minilm
