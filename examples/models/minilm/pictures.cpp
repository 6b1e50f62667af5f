// minilm heads, minilm highlight: what a layer's heads attend to, to be looked at.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>

#include "heed/core/error.hpp"
#include "heed/inspect/animation.hpp"
#include "heed/inspect/attends.hpp"
#include "heed/inspect/describe.hpp"
#include "heed/inspect/heatmap_grid.hpp"
#include "heed/inspect/highlight.hpp"
#include "heed/inspect/png.hpp"
#include "models/minilm/commands.hpp"
#include "models/minilm/lines.hpp"
#include "models/minilm/output.hpp"

namespace heed::models::minilm {
namespace {

// A sentence and the attention of one layer on it.
struct Look {
  std::vector<std::string> tokens;  // [L], [CLS] first and [SEP] last
  std::size_t layer = 0;            // the first is 1
  std::size_t heads = 0;
  bool truncated = false;      // the sentence had more tokens
  std::vector<float> weights;  // [heads, L, L]

  std::size_t length() const { return tokens.size(); }
  std::vector<std::string> words() const { return {tokens.begin() + 1, tokens.end() - 1}; }
  View<const float, 2> head(std::size_t h) const {
    const auto L = static_cast<Index>(length());
    return view(weights.data() + h * length() * length(), {L, L});
  }
};

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
  look.heads = config.heads;
  look.weights = encoder.bert().attention_weights(encoding.ids, look.layer - 1);
  return look;
}

void warn_if_cut(const Look& look) {
  if (!look.truncated) return;
  std::fprintf(stderr, "minilm: the sentence is cut after %zu tokens\n", look.length());
}

// The heads of one layer beside each other.
inspect::Image grid_of(const Look& look, const CommandLine& line, const SentenceEncoder& encoder) {
  std::vector<View<const float, 2>> matrices;
  std::vector<std::string> titles;
  for (std::size_t h = 0; h < look.heads; ++h) {
    matrices.push_back(look.head(h));
    titles.push_back("Head " + std::to_string(h + 1));
  }
  inspect::HeatmapOptions options;
  options.row_labels = options.column_labels = look.tokens;
  options.range = inspect::Range{0, 1};
  inspect::GridOptions grid;
  grid.title = "Layer " + std::to_string(look.layer) + " of " +
               std::to_string(encoder.config().layers) + ": " + shown(line.operands[0], 100);
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
    out.text("head ").fixed(static_cast<double>(h + 1), 0, 2).text(": ");
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

// How much of the sentence's vector each token gives in this layer: the mean weight it receives
// over all heads and queries, without [CLS] and [SEP]; the rest sums to 1.
std::vector<double> received(const Look& look) {
  const std::size_t L = look.length();
  std::vector<double> sums(L);
  for (std::size_t i = 0; i < look.weights.size(); ++i) {
    sums[i % L] += static_cast<double>(look.weights[i]);
  }
  sums.pop_back();
  sums.erase(sums.begin());
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  for (double& sum : sums) sum /= total;
  return sums;
}

bool wants_colors() {
  // no-color.org: any value that is not empty
  const char* refused = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe)
  return ::isatty(STDOUT_FILENO) == 1 && (refused == nullptr || *refused == '\0');
}

inspect::TerminalColors terminal_colors() {
  const char* known = std::getenv("COLORTERM");  // NOLINT(concurrency-mt-unsafe)
  const std::string_view colors = known == nullptr ? "" : known;
  const bool full = colors == "truecolor" || colors == "24bit";
  return full ? inspect::TerminalColors::full : inspect::TerminalColors::palette_256;
}

void write_page(const std::string& path, const std::string& page) {
  std::ofstream file(path, std::ios::binary);
  file << page;
  file.close();
  if (!file) throw Error("minilm: cannot write " + path);
}

void print_words(const std::vector<inspect::WeightedWord>& words, std::size_t top, Output& out) {
  std::vector<std::string> texts;
  texts.reserve(words.size());
  for (const inspect::WeightedWord& word : words) texts.push_back(word.text);
  std::vector<std::size_t> order(words.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return words[a].weight > words[b].weight; });
  order.resize(std::min(top, order.size()));
  for (const std::size_t n : order) {
    out.fixed(100 * words[n].weight, 1, 6).text(" %  ");
    out.text(inspect::attends::name(texts, static_cast<Index>(n))).text("\n");
  }
}

void print_words_json(const std::vector<inspect::WeightedWord>& words, std::size_t layer,
                      Output& out) {
  out.text("{\"layer\": ").number(layer).text(", \"words\": [");
  for (std::size_t i = 0; i < words.size(); ++i) {
    out.text(i > 0 ? ", " : "").text("{\"text\": ").quoted(words[i].text);
    out.text(", \"share\": ").number(static_cast<float>(words[i].weight)).text("}");
  }
  out.text("]}\n");
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

void highlight(const CommandLine& line, const SentenceEncoder& encoder) {
  const Look look = look_at(line, encoder, line.layer.value_or(encoder.config().layers));
  warn_if_cut(look);
  if (look.length() < 3) throw Error("minilm: the sentence has no words to highlight");
  const std::vector<double> shares = received(look);
  const std::vector<std::string> tokens = look.words();
  const auto words = inspect::weighted_words(tokens, shares);
  inspect::HighlightOptions options;
  options.percent = true;
  options.terminal = terminal_colors();
  options.title = "Attention received in layer " + std::to_string(look.layer) + " of " +
                  std::to_string(encoder.config().layers);
  if (line.html) write_page(*line.html, inspect::highlight_html(tokens, shares, options));
  options.percent = false;
  Output out;
  if (line.json) {
    print_words_json(words, look.layer, out);
  } else {
    if (wants_colors()) {
      out.text(inspect::highlight_ansi(tokens, shares, options)).text("\n\n");
    }
    print_words(words, line.top, out);
    if (line.html) out.text("written: ").text(*line.html).text("\n");
  }
  out.finish();
}

}  // namespace heed::models::minilm
