#include "models/llama/look.hpp"

#include <algorithm>

#include "heed/core/error.hpp"
#include "heed/plot/heatmap.hpp"
#include "heed/plot/png.hpp"
#include "models/text_stream.hpp"

namespace heed::models::chat {
namespace {

// A token as a label: spaces and line ends as signs.
std::string label(const std::string& bytes) {
  TextStream stream;
  std::string text;
  for (const char c : stream.take(bytes) + stream.finish()) {
    if (c == '\n') {
      text += "\\n";
    } else {
      text += c == '\t' ? ' ' : c;
    }
  }
  return text;
}

}  // namespace

Look::Look(Generator& generator, const LlamaConfig& config) : generator_(generator) {
  const double share = 1 / static_cast<double>(config.layers * config.heads);
  generator.sequence().look = [this, share](Index layer, const Tensor2<float>& weights) {
    if (layer == 0) rows_.emplace_back(static_cast<std::size_t>(weights.dimension(1)));
    for (Index h = 0; h < weights.dimension(0); ++h) {
      for (Index j = 0; j < weights.dimension(1); ++j) {
        rows_.back()[static_cast<std::size_t>(j)] += share * static_cast<double>(weights(h, j));
      }
    }
  };
}

Look::~Look() { generator_.sequence().look = {}; }

void Look::write(const std::string& path, std::size_t first,
                 const BytePairTokenizer& tokenizer) const {
  constexpr std::size_t most = 60;  // rows, and columns, that a reader can tell apart
  const std::vector<TokenId>& ids = generator_.ids();
  const std::size_t count = std::min(most, ids.size() - std::min(first, ids.size()));
  if (count == 0 || first < 2) throw Error("chat: --look has no tokens to draw");
  const std::size_t last = first + count - 1;  // the last row is written from tokens before it
  const std::size_t begin = std::max<std::size_t>(1, last > 2 * most ? last - 2 * most : 1);
  Tensor2<float> weights =
      Tensor2<float>(static_cast<Index>(count), static_cast<Index>(last - begin)).setZero();
  plot::HeatmapOptions options;
  for (std::size_t j = begin; j < last; ++j) {
    options.column_labels.push_back(label(tokenizer.bytes(ids[j])));
  }
  for (std::size_t i = first; i <= last; ++i) {
    options.row_labels.push_back(label(tokenizer.bytes(ids[i])));
    // The latest of that length: a stopped prompt, which was taken back, left its own.
    const auto row = std::find_if(rows_.rbegin(), rows_.rend(),
                                  [&](const std::vector<double>& of) { return of.size() == i; });
    if (row == rows_.rend()) continue;
    double sum = 0;
    for (std::size_t j = begin; j < i; ++j) sum += (*row)[j];
    for (std::size_t j = begin; j < i; ++j) {
      weights(static_cast<Index>(i - first), static_cast<Index>(j - begin)) =
          static_cast<float>((*row)[j] / sum);
    }
  }
  options.title = "Written from: mean attention of all heads and layers";
  options.row_name = "the answer";
  options.column_name = "earlier tokens";
  plot::write_png(path, plot::heatmap(view_of(weights), options));
}

}  // namespace heed::models::chat
