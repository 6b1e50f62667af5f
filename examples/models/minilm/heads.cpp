// minilm heads: a layer's heads as heat maps, one layer's or all, one after another.
#include <cctype>
#include <string>

#include "heed/inspect/attends.hpp"
#include "heed/inspect/describe.hpp"
#include "heed/plot/animation.hpp"
#include "heed/plot/heatmap_grid.hpp"
#include "heed/plot/png.hpp"
#include "models/minilm/commands.hpp"
#include "models/minilm/lines.hpp"
#include "models/minilm/look.hpp"
#include "models/minilm/output.hpp"

namespace heed::models::minilm {
namespace {

std::string capitalised(std::string text) {
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

// The heads of one layer beside each other.
inspect::Image grid_of(const Look& look, const CommandLine& line, const SentenceEncoder& encoder) {
  std::vector<View<const float, 2>> matrices;
  std::vector<std::string> titles;
  for (std::size_t h = 0; h < look.heads; ++h) {
    matrices.push_back(look.head(h));
    titles.push_back(look.layer == 0 ? "Self-Attention" : "Head " + std::to_string(h + 1));
  }
  inspect::HeatmapOptions options;
  options.row_labels = options.column_labels = look.tokens;
  options.range = inspect::Range{0, 1};
  inspect::GridOptions grid;
  grid.title =
      capitalised(look.title(encoder.config().layers)) + ": " + shown(line.operands[0], 100);
  return inspect::heatmap_grid(matrices, titles, options, grid);
}

// The same for every layer, one after another.
void animate(const CommandLine& line, const SentenceEncoder& encoder) {
  std::vector<inspect::Image> frames;
  for (std::size_t layer = 1; layer <= encoder.config().layers; ++layer) {
    frames.push_back(grid_of(look_at(line, encoder, layer), line, encoder));
  }
  inspect::write_apng(*line.animate, inspect::same_size(frames));
}

void print_strings(const std::vector<std::string>& strings, Output& out) {
  out.text("[");
  for (std::size_t i = 0; i < strings.size(); ++i) out.text(i > 0 ? ", " : "").quoted(strings[i]);
  out.text("]");
}

void print_heads_json(const Look& look, const std::string& picture, Output& out) {
  out.text("{\"tokens\": ");
  print_strings(look.tokens, out);
  out.text(", \"layer\": ").number(look.layer).text(", \"picture\": ").quoted(picture);
  out.text(",\n \"weights\": [");
  const std::size_t L = look.length();
  for (std::size_t i = 0; i < look.weights.size(); ++i) {
    if (i % (L * L) == 0) out.text(i > 0 ? ",\n  [" : "\n  [");
    out.text(i % L == 0 ? (i % (L * L) > 0 ? ", [" : "[") : ", ").number(look.weights[i]);
    if ((i + 1) % L == 0) out.text("]");
    if ((i + 1) % (L * L) == 0) out.text("]");
  }
  out.text("]}\n");
}

// One line a head: its pattern, and the pair of different words it joins most.
void print_heads(const Look& look, const std::string& picture, Output& out) {
  const std::vector<std::string> words = look.words();
  for (std::size_t h = 0; h < look.heads; ++h) {
    const auto weights = look.head(h);
    Index query = 0, key = 0;
    float largest = -1;
    // [CLS] and [SEP] take what a head has no use for; words are what a reader asks about.
    for (Index i = 1; i + 1 < weights.extent[0]; ++i) {
      for (Index j = 1; j + 1 < weights.extent[1]; ++j) {
        if (i == j || weights(i, j) <= largest) continue;
        largest = weights(i, j);
        query = i, key = j;
      }
    }
    if (look.layer == 0) {
      out.text("words: ");
    } else {
      out.text("head ").fixed(static_cast<double>(h + 1), 0, 2).text(": ");
    }
    const std::string pattern = inspect::describe(weights).text;
    if (largest >= 0) {
      out.text(inspect::attends::name(words, query - 1)).text(" to ");
      out.text(inspect::attends::name(words, key - 1)).text(" ");
      out.fixed(100 * static_cast<double>(largest), 1, 0).text(" %");
    }
    if (largest < 0 || pattern != "mixed") out.text(largest >= 0 ? "; " : "").text(pattern);
    out.text("\n");
  }
  out.text("written: ").text(picture).text("\n");
}

}  // namespace

void heads(const CommandLine& line, const SentenceEncoder& encoder) {
  // The first layer's heads differ most to the eye; the last one's all rest on [CLS].
  const Look look = look_at(line, encoder, line.layer.value_or(1));
  warn_if_cut(look);
  const std::string picture = line.out.value_or("heads.png");
  inspect::write_png(picture, grid_of(look, line, encoder));
  if (line.animate) animate(line, encoder);
  Output out;
  line.json ? print_heads_json(look, picture, out) : print_heads(look, picture, out);
  if (line.animate && !line.json) out.text("written: ").text(*line.animate).text("\n");
  out.finish();
}

}  // namespace heed::models::minilm
