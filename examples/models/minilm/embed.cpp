// minilm embed: a vector for every line of a file, in the file's order, however long the file.
#include <algorithm>
#include <cstdio>

#include "models/minilm/commands.hpp"
#include "models/minilm/lines.hpp"
#include "models/minilm/output.hpp"
#include "models/progress.hpp"

namespace heed::models::minilm {
namespace {

void print_vector(Output& out, std::span<const float> vector, std::string_view separator) {
  for (std::size_t d = 0; d < vector.size(); ++d) {
    if (d > 0) out.text(separator);
    out.number(vector[d]);
  }
}

void print_object(Output& out, std::size_t number, std::string_view text,
                  std::span<const float> vector) {
  out.text("{\"line\": ").number(number).text(", \"text\": ").quoted(text);
  out.text(", \"embedding\": [");
  print_vector(out, vector, ", ");
  out.text("]}\n");
}

}  // namespace

void embed(const CommandLine& line, const SentenceEncoder& encoder) {
  const Lines lines(line.operands[0]);
  const std::span<const std::string_view> all = lines.all();
  if (all.empty()) std::fprintf(stderr, "minilm: %s has no lines\n", lines.name().c_str());
  Progress progress(all.size());
  Output out;
  // Lines are sorted by length inside a block: large enough that batches are even, small enough
  // that results come early and memory stays flat.
  const std::size_t block = std::max<std::size_t>(2048, 16 * line.batch);
  for (std::size_t first = 0; first < all.size(); first += block) {
    const auto texts = all.subspan(first, std::min(block, all.size() - first));
    const auto report = [&](std::size_t done) { progress.show(first + done); };
    const std::vector<float> vectors =
        encoder.embed(texts, {line.max_tokens, line.batch, line.threads, report, line.device});
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto vector = std::span(vectors).subspan(i * encoder.dimension(), encoder.dimension());
      if (line.json) {
        print_object(out, first + i + 1, texts[i], vector);
      } else {
        print_vector(out, vector, " ");
        out.text("\n");
      }
    }
  }
  out.finish();
}

}  // namespace heed::models::minilm
