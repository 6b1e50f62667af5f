// minilm senses: the same word in several sentences. Its input vector is the same everywhere; what
// attention has mixed in by the last layer tells a river's bank from one with money.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "heed/core/error.hpp"
#include "models/minilm/commands.hpp"
#include "models/minilm/output.hpp"

namespace heed::models::minilm {
namespace {

constexpr std::string_view word = "bank";
// The first `river_sentences` mean the river's, the others the one with money.
constexpr std::size_t river_sentences = 3;
constexpr std::array<std::string_view, 6> sentences{
    "The bank of the river was steep",
    "They sat on the grassy bank and watched the boats",
    "Reeds grew along the muddy bank of the stream",
    "She deposited her salary at the bank on Friday",
    "The bank raised its interest rates again",
    "He asked the bank for a loan to buy a house"};

// The vector of `word` in a sentence after a number of layers, scaled to length 1.
std::vector<double> word_vector(const SentenceEncoder& encoder, std::string_view sentence,
                                std::size_t layers, const CommandLine& line) {
  const std::vector<TokenId> ids =
      encoder.tokenizer().encode(sentence, encoder.token_limit(line.max_tokens)).ids;
  const auto found =
      std::find(ids.begin(), ids.end(), encoder.tokenizer().vocabulary().require(word));
  if (found == ids.end()) {
    throw Error("minilm: \"" + std::string(word) + "\" is cut off by --max-tokens");
  }
  const int length = static_cast<int>(ids.size());
  const std::vector<float> hidden =
      encoder.bert().forward(ids, std::span(&length, 1), layers, line.threads, line.device);
  const auto row =
      hidden.begin() + (found - ids.begin()) * static_cast<std::ptrdiff_t>(encoder.dimension());
  std::vector<double> vector(row, row + static_cast<std::ptrdiff_t>(encoder.dimension()));
  double norm = 0;
  for (const double x : vector) norm += x * x;
  for (double& x : vector) x /= std::sqrt(norm);
  return vector;
}

using Cosines = std::array<std::array<double, sentences.size()>, sentences.size()>;

Cosines cosines(const SentenceEncoder& encoder, std::size_t layers, const CommandLine& line) {
  std::vector<std::vector<double>> vectors;
  vectors.reserve(sentences.size());
  for (const std::string_view sentence : sentences) {
    vectors.push_back(word_vector(encoder, sentence, layers, line));
  }
  Cosines table{};
  for (std::size_t i = 0; i < sentences.size(); ++i) {
    for (std::size_t j = 0; j < sentences.size(); ++j) {
      for (std::size_t d = 0; d < encoder.dimension(); ++d) {
        table[i][j] += vectors[i][d] * vectors[j][d];
      }
    }
  }
  return table;
}

// The mean over pairs of different sentences, the first of [first, first_end), the other of
// [second, second_end).
double mean_cosine(const Cosines& table, std::size_t first, std::size_t first_end,
                   std::size_t second, std::size_t second_end) {
  double sum = 0;
  int pairs = 0;
  for (std::size_t i = first; i < first_end; ++i) {
    for (std::size_t j = second; j < second_end; ++j) {
      if (i == j) continue;
      sum += table[i][j];
      ++pairs;
    }
  }
  return sum / pairs;
}

void print_means(const Cosines& table, Output& out) {
  constexpr std::size_t river = river_sentences;
  constexpr std::size_t all = sentences.size();
  out.text("  river with river").fixed(mean_cosine(table, 0, river, 0, river), 2, 6);
  out.text(", money with money").fixed(mean_cosine(table, river, all, river, all), 2, 6);
  out.text(", river with money").fixed(mean_cosine(table, 0, river, river, all), 2, 6).text("\n");
}

void print_table(const Cosines& table, Output& out) {
  for (std::size_t i = 0; i < sentences.size(); ++i) {
    out.text("  ").number(i + 1);
    for (const double cosine : table[i]) out.fixed(cosine, 2, 6);
    out.text("  ").text(sentences[i]).text("\n");
  }
  print_means(table, out);
}

void print_json(const Cosines& table, Output& out) {
  out.text("[");
  for (std::size_t i = 0; i < table.size(); ++i) {
    out.text(i > 0 ? ", [" : "[");
    for (std::size_t j = 0; j < table.size(); ++j) {
      if (j > 0) out.text(", ");
      out.number(static_cast<float>(table[i][j]));
    }
    out.text("]");
  }
  out.text("]");
}

}  // namespace

void senses(const CommandLine& line, const SentenceEncoder& encoder) {
  const std::size_t last = encoder.config().layers;
  const Cosines before = cosines(encoder, 0, line);
  const Cosines after = cosines(encoder, last, line);
  Output out;
  if (line.json) {
    out.text("{\"word\": ").quoted(word).text(", \"sentences\": [");
    for (std::size_t i = 0; i < sentences.size(); ++i) {
      out.text(i > 0 ? ", " : "").quoted(sentences[i]);
    }
    out.text("],\n \"before\": ");
    print_json(before, out);
    out.text(",\n \"after\": ");
    print_json(after, out);
    out.text("}\n");
  } else {
    out.text("How alike \"").text(word).text("\" is in each two sentences (cosine)\n\n");
    out.text("before attention (the word's own vector and its position)\n");
    print_table(before, out);
    out.text("\nafter ").number(last).text(" layers of attention\n");
    print_table(after, out);
  }
  out.finish();
}

}  // namespace heed::models::minilm
