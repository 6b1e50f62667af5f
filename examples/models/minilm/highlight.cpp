// minilm highlight: how much of a sentence's vector each word gives.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>

#include "heed/core/error.hpp"
#include "heed/inspect/attends.hpp"
#include "heed/inspect/highlight.hpp"
#include "models/minilm/commands.hpp"
#include "models/minilm/look.hpp"
#include "models/minilm/output.hpp"

namespace heed::models::minilm {
namespace {

// The share of the sentence's vector that each token gives in this layer: the mean weight it
// receives over all heads and queries, without [CLS] and [SEP]; the rest sums to 1.
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
  options.title = "Attention received in " + look.title(encoder.config().layers);
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
