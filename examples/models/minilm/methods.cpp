// minilm methods: every approximation on a trained layer's own queries, keys and values, its error
// against its speed. Random numbers would flatter some and wrong others.
#include <algorithm>
#include <string>
#include <vector>

#include "heed/plot/png.hpp"
#include "heed/plot/scatter.hpp"
#include "models/minilm/commands.hpp"
#include "models/minilm/compare_methods.hpp"
#include "models/minilm/lines.hpp"
#include "models/minilm/output.hpp"
#include "models/minilm/text_inputs.hpp"

namespace heed::models::minilm {
namespace {

plot::Image picture(const std::vector<Measured>& all, const std::string& title) {
  constexpr double exact_enough = 1e-7;  // a logarithmic axis has no 0
  std::vector<plot::ScatterSeries> series;
  for (const Measured& m : all) {
    if (series.empty() || series.back().name != m.method) series.push_back({m.method, {}});
    series.back().points.push_back({m.speed, std::max(m.error, exact_enough), m.setting});
  }
  return plot::scatter(series, {.title = title,
                                .x_name = "speed, times exact attention",
                                .y_name = "relative error",
                                .guide = plot::Guide{1, "exact"}});
}

void print(const std::vector<Measured>& all, Output& out) {
  for (const Measured& m : all) {
    std::string name = m.method + " " + m.setting;
    name.resize(std::max<std::size_t>(name.size(), 24), ' ');
    out.text(name).text(" error ").fixed(m.error, 4, 7).text("  ");
    out.fixed(m.speed, 2, 7).text(" times exact\n");
  }
}

void print_json(const std::vector<Measured>& all, Index tokens, Output& out) {
  out.text("{\"tokens\": ").number(static_cast<std::size_t>(tokens)).text(", \"methods\": [");
  for (std::size_t n = 0; n < all.size(); ++n) {
    out.text(n > 0 ? ",\n " : "\n ").text("{\"method\": ").quoted(all[n].method);
    out.text(", \"setting\": ").quoted(all[n].setting);
    out.text(", \"error\": ").number(static_cast<float>(all[n].error));
    out.text(", \"speed\": ").number(static_cast<float>(all[n].speed)).text("}");
  }
  out.text("]}\n");
}

}  // namespace

void methods(const CommandLine& line, const SentenceEncoder& encoder) {
  const Lines lines(line.operands[0]);
  std::string text;
  for (const std::string_view one : lines.all()) text.append(one).append("\n");
  const std::size_t layer = line.layer.value_or(1);
  const TextInputs inputs = text_inputs(line, text, encoder, layer);
  const Index tokens = inputs.q.dimension(2);
  const std::vector<Measured> all = compare_methods(inputs, line.threads);
  const std::string file = line.out.value_or("methods.png");
  plot::write_png(file, picture(all, "Layer " + std::to_string(layer) + ", " +
                                         std::to_string(tokens) + " tokens"));
  Output out;
  if (line.json) {
    print_json(all, tokens, out);
  } else {
    print(all, out);
    out.text("written: ").text(file).text("\n");
  }
  out.finish();
}

}  // namespace heed::models::minilm
