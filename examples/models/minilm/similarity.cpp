// minilm similarity: the cosine of each two lines, as a table that can be read.
#include <cstdio>
#include <span>
#include <string>

#include "heed/core/error.hpp"
#include "models/minilm/commands.hpp"
#include "models/minilm/cosine.hpp"
#include "models/minilm/lines.hpp"
#include "models/minilm/output.hpp"
#include "models/progress.hpp"

namespace heed::models::minilm {
namespace {

// A larger table is no use to a reader, and its square of numbers soon fills a disk.
constexpr std::size_t max_lines = 5000;

struct Table {
  std::vector<std::string_view> texts;
  std::vector<std::size_t> numbers;  // of the lines in the file
  std::vector<float> vectors;        // [texts, D]
  std::vector<double> lengths;       // of the vectors
  std::size_t dimension;

  std::span<const float> vector(std::size_t i) const {
    return std::span(vectors).subspan(i * dimension, dimension);
  }
  double cosine(std::size_t i, std::size_t j) const {
    return minilm::cosine(vector(i), lengths[i], vector(j), lengths[j]);
  }
};

void print_json(const Table& table, Output& out) {
  out.text("{\"lines\": [");
  for (std::size_t i = 0; i < table.texts.size(); ++i) {
    if (i > 0) out.text(", ");
    out.text("{\"line\": ").number(table.numbers[i]).text(", \"text\": ").quoted(table.texts[i]);
    out.text("}");
  }
  out.text("],\n \"similarity\": [");
  for (std::size_t i = 0; i < table.texts.size(); ++i) {
    out.text(i > 0 ? ",\n  [" : "\n  [");
    for (std::size_t j = 0; j < table.texts.size(); ++j) {
      if (j > 0) out.text(", ");
      out.number(static_cast<float>(table.cosine(i, j)));
    }
    out.text("]");
  }
  out.text("]}\n");
}

void print_table(const Table& table, Output& out) {
  constexpr int width = 6;
  const auto padded = [](std::size_t number) {
    const std::string digits = std::to_string(number);
    return std::string(width - std::min<std::size_t>(width - 1, digits.size()), ' ') + digits;
  };
  out.text(std::string(width, ' '));
  for (const std::size_t number : table.numbers) out.text(padded(number));
  out.text("\n");
  for (std::size_t i = 0; i < table.texts.size(); ++i) {
    out.text(padded(table.numbers[i]));
    for (std::size_t j = 0; j < table.texts.size(); ++j) out.fixed(table.cosine(i, j), 2, width);
    out.text("  ").text(shown(table.texts[i], 60)).text("\n");
  }
}

}  // namespace

void similarity(const CommandLine& line, const SentenceEncoder& encoder) {
  const Lines lines(line.operands[0]);
  Table table{{}, {}, {}, {}, encoder.dimension()};
  for (std::size_t i = 0; i < lines.all().size(); ++i) {
    if (is_blank(lines.all()[i])) continue;
    table.texts.push_back(lines.all()[i]);
    table.numbers.push_back(i + 1);
  }
  if (table.texts.size() > max_lines) {
    throw Error("minilm: " + lines.name() + " has " + std::to_string(table.texts.size()) +
                " lines; similarity compares at most " + std::to_string(max_lines));
  }
  if (table.texts.empty()) {
    std::fprintf(stderr, "minilm: %s has no lines with text\n", lines.name().c_str());
  }
  Progress progress(table.texts.size());
  const auto report = [&](std::size_t done) { progress.show(done); };
  table.vectors =
      encoder.embed(table.texts, {line.max_tokens, line.batch, line.threads, report, line.device});
  for (std::size_t i = 0; i < table.texts.size(); ++i) {
    table.lengths.push_back(length_of(table.vector(i)));
  }
  Output out;
  if (line.json) {
    print_json(table, out);
  } else if (!table.texts.empty()) {
    print_table(table, out);
  }
  out.finish();
}

}  // namespace heed::models::minilm
