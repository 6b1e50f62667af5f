// minilm search: the lines of a file that mean most nearly what a query does.
#include <algorithm>
#include <cstdio>
#include <span>

#include "models/minilm/commands.hpp"
#include "models/minilm/cosine.hpp"
#include "models/minilm/lines.hpp"
#include "models/minilm/output.hpp"
#include "models/progress.hpp"

namespace heed::models::minilm {
namespace {

struct Hit {
  double score;      // cosine
  std::size_t line;  // from 0
};

bool better(const Hit& a, const Hit& b) {
  return a.score > b.score || (a.score == b.score && a.line < b.line);
}

// The best `top` lines, best first; memory does not grow with the file's vectors.
std::vector<Hit> best_hits(const CommandLine& line, const SentenceEncoder& encoder,
                           const Lines& lines) {
  const std::string_view query_text = line.operands[0];
  const std::vector<float> query =
      encoder.embed(std::span(&query_text, 1), {line.max_tokens, 1, line.threads, {}, line.device});
  const double query_length = length_of(query);
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < lines.all().size(); ++i) {
    if (!is_blank(lines.all()[i])) numbers.push_back(i);
  }
  Progress progress(numbers.size());
  std::vector<Hit> hits;
  constexpr std::size_t block = 4096;
  for (std::size_t first = 0; first < numbers.size(); first += block) {
    std::vector<std::string_view> texts;
    for (std::size_t i = first; i < std::min(first + block, numbers.size()); ++i) {
      texts.push_back(lines.all()[numbers[i]]);
    }
    const auto report = [&](std::size_t done) { progress.show(first + done); };
    const std::vector<float> vectors =
        encoder.embed(texts, {line.max_tokens, line.batch, line.threads, report, line.device});
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto vector = std::span(vectors).subspan(i * query.size(), query.size());
      hits.push_back({cosine(query, query_length, vector, length_of(vector)), numbers[first + i]});
    }
    const std::size_t kept = std::min(line.top, hits.size());
    std::partial_sort(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(kept), hits.end(),
                      better);
    hits.resize(kept);
  }
  return hits;
}

}  // namespace

void search(const CommandLine& line, const SentenceEncoder& encoder) {
  const Lines lines(line.operands[1]);
  const std::vector<Hit> hits = best_hits(line, encoder, lines);
  if (hits.empty()) {
    std::fprintf(stderr, "minilm: %s has no lines with text\n", lines.name().c_str());
  }
  Output out;
  if (line.json) {
    out.text("{\"query\": ").quoted(line.operands[0]).text(", \"results\": [");
    for (std::size_t i = 0; i < hits.size(); ++i) {
      out.text(i > 0 ? ",\n  " : "\n  ").text("{\"line\": ").number(hits[i].line + 1);
      out.text(", \"score\": ").number(static_cast<float>(hits[i].score)).text(", \"text\": ");
      out.quoted(lines.all()[hits[i].line]).text("}");
    }
    out.text("]}\n");
  } else {
    for (const Hit& hit : hits) {
      out.fixed(hit.score, 3, 6).text("  line ").number(hit.line + 1).text(": ");
      out.text(shown(lines.all()[hit.line], 160)).text("\n");
    }
  }
  out.finish();
}

}  // namespace heed::models::minilm
