// Highlight: the sentence itself, its most-attended tokens on the darkest ground.
//
// For a terminal as ANSI escapes, for a browser as one HTML page that needs nothing else. Tokens
// are hostile until proven harmless: control characters become U+FFFD in both, markup is escaped.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/core/types.hpp"
#include "heed/inspect/names.hpp"
#include "heed/plot/colormap.hpp"
#include "heed/plot/format.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/utf8.hpp"

namespace heed::inspect {

// A token, or several word pieces read as one word, and the attention it received.
struct WeightedWord {
  std::string text;
  double weight = 0;
};

enum class TerminalColors { full, palette_256 };

struct HighlightOptions {
  bool merge_word_pieces = true;  // "steep" "##ly" as "steeply", with the sum of their weights
  double full_scale = 0;          // the weight with the darkest ground; 0: the largest one present
  bool percent = false;           // each word followed by its share, "cat 28.3 %"
  TerminalColors terminal = TerminalColors::full;
  std::string title = {};  // HTML only
};

inline namespace HEED_ABI {

namespace words {

inline constexpr std::string_view piece_prefix = "##";

inline bool continues_word(const std::string& token) {
  return token.size() > piece_prefix.size() && std::string_view(token).starts_with(piece_prefix);
}

inline double darkest_weight(const std::vector<WeightedWord>& words, double full_scale) {
  if (!is_finite(full_scale) || full_scale < 0) {
    throw Error("heed::inspect::highlight: full_scale is " + formatted("%g", full_scale) +
                ", neither 0 nor a finite weight above it");
  }
  double largest = full_scale;
  if (largest > 0) return largest;
  for (const WeightedWord& word : words) {
    if (is_finite(word.weight)) largest = std::max(largest, word.weight);
  }
  return largest > 0 ? largest : 1;
}

inline Color ground_of(const Colormap& colors, double weight, double darkest) {
  if (is_nan(weight)) return palette::not_a_number;
  return colors(weight / darkest);
}

inline std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

inline std::string css(Color color) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "#%02x%02x%02x", static_cast<unsigned>(color.red),
                static_cast<unsigned>(color.green), static_cast<unsigned>(color.blue));
  return text.data();
}

// The nearest colour of xterm's 6 × 6 × 6 cube, whose levels are 0, 95, 135, 175, 215, 255.
inline int cube_index(Color color) {
  const auto level = [](std::uint8_t channel) {
    return channel < 48 ? 0 : channel < 115 ? 1 : (channel - 35) / 40;
  };
  return 16 + 36 * level(color.red) + 6 * level(color.green) + level(color.blue);
}

inline std::string sgr(const char* layer, Color color, TerminalColors colors) {
  std::array<char, 40> text{};
  if (colors == TerminalColors::palette_256) {
    std::snprintf(text.data(), text.size(), "\x1b[%s;5;%dm", layer, cube_index(color));
  } else {
    std::snprintf(text.data(), text.size(), "\x1b[%s;2;%d;%d;%dm", layer, int{color.red},
                  int{color.green}, int{color.blue});
  }
  return text.data();
}

}  // namespace words

// Tokens with their weights, word pieces merged if asked; a merged word's weight is the sum.
// `weights` is any sequence of numbers. Throws heed::Error where the lengths differ.
template <class Weights>
std::vector<WeightedWord> weighted_words(const std::vector<std::string>& tokens,
                                         const Weights& weights, bool merge_word_pieces = true) {
  if (std::size(weights) != tokens.size()) {
    throw Error("heed::inspect::highlight: " + std::to_string(tokens.size()) + " tokens but " +
                std::to_string(std::size(weights)) + " weights");
  }
  std::vector<WeightedWord> result;
  auto weight = std::begin(weights);
  for (const std::string& token : tokens) {
    const auto value = static_cast<double>(*weight++);
    if (merge_word_pieces && !result.empty() && words::continues_word(token)) {
      result.back().text += token.substr(words::piece_prefix.size());
      result.back().weight += value;
    } else {
      result.push_back({token, value});
    }
  }
  return result;
}

// One line for a terminal, coloured by weight; ends with a reset, without a newline. Throws
// heed::Error for a full_scale that is not finite or below 0.
template <class Weights>
std::string highlight_ansi(const std::vector<std::string>& tokens, const Weights& weights,
                           const HighlightOptions& options = {}) {
  const auto sentence = weighted_words(tokens, weights, options.merge_word_pieces);
  const double darkest = words::darkest_weight(sentence, options.full_scale);
  const Colormap colors = blues();
  std::string line;
  for (const WeightedWord& word : sentence) {
    const Color ground = words::ground_of(colors, word.weight, darkest);
    if (!line.empty()) line += ' ';
    line += words::sgr("48", ground, options.terminal);
    line += words::sgr("38", text_on(ground), options.terminal);
    line += ' ' + printable(word.text) + ' ';
    if (options.percent) line += percent_text(word.weight) + ' ';
    line += "\x1b[0m";
  }
  return line + "\x1b[0m";
}

// A complete HTML page: one span a word, its exact share as tooltip. Throws as highlight_ansi does.
template <class Weights>
std::string highlight_html(const std::vector<std::string>& tokens, const Weights& weights,
                           const HighlightOptions& options = {}) {
  const auto sentence = weighted_words(tokens, weights, options.merge_word_pieces);
  const double darkest = words::darkest_weight(sentence, options.full_scale);
  const Colormap colors = blues();
  const std::string title = options.title.empty() ? "Attention" : words::escape_html(options.title);
  std::string page = "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<title>" + title +
                     "</title>\n<style>\n"
                     "body { font: 20px/2.2 system-ui, sans-serif; max-width: 44em; margin: 2em "
                     "auto; padding: 0 1em; background: #fff; color: #212529; }\n"
                     "h1 { font-size: 20px; font-weight: 600; }\n"
                     "span { padding: 0.25em 0.4em; border-radius: 0.3em; }\n"
                     "small { font-size: 65%; opacity: 0.8; }\n"
                     "</style>\n</head>\n<body>\n<h1>" +
                     title + "</h1>\n<p>\n";
  for (const WeightedWord& word : sentence) {
    const Color ground = words::ground_of(colors, word.weight, darkest);
    const std::string share = percent_text(word.weight);
    page += "<span style=\"background:" + words::css(ground) +
            ";color:" + words::css(text_on(ground)) + "\" title=\"" + share + "\">" +
            words::escape_html(word.text);
    if (options.percent) page += " <small>" + share + "</small>";
    page += "</span>\n";
  }
  return page + "</p>\n</body>\n</html>\n";
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
