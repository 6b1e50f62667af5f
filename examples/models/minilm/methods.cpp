// minilm methods: every approximation on a trained layer's own queries, keys and values, its error
// against its speed. On random numbers each of them looks worse than it is, or better.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "heed/heed.hpp"
#include "heed/inspect/png.hpp"
#include "heed/inspect/scatter.hpp"
#include "models/minilm/commands.hpp"
#include "models/minilm/lines.hpp"
#include "models/minilm/output.hpp"
#include "models/minilm/text_inputs.hpp"

namespace heed::models::minilm {
namespace {

struct Measured {
  std::string method, setting;
  double error = 0;  // relative, Frobenius
  double speed = 0;  // times exact attention
};

// The shortest of three runs, in seconds, and the last run's result.
template <class Call>
std::pair<double, Tensor4<float>> timed(const Call& call) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  Tensor4<float> out;
  for (int run = 0; run < 3; ++run) {
    const auto start = Clock::now();
    out = call().out;
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return {std::max(best, 1e-9), std::move(out)};
}

std::vector<Measured> measure(const TextInputs& x, int threads) {
  const auto& [q, k, v] = x;
  const auto [exact_seconds, exact] =
      timed([&] { return attention(q, k, v, {}, {}, {.threads = threads}); });
  std::vector<Measured> all;
  const Index tokens = q.dimension(2), dim = q.dimension(3);
  const auto add = [&](const char* method, const std::vector<Index>& settings, Index below,
                       const auto& call) {
    for (const Index setting : settings) {
      if (setting >= below) continue;
      const auto [seconds, out] = timed([&] { return call(setting); });
      all.push_back({method, settings.size() == 1 ? "" : std::to_string(setting),
                     approx::compare(exact, out).relative, exact_seconds / seconds});
    }
  };
  add("top_k, keys", {16, 64, 256}, tokens,
      [&](Index n) { return approx::top_k(q, k, v, n, {}, {}, {.threads = threads}); });
  add("lsh, rounds", {1, 2, 4, 8}, tokens,
      [&](Index n) { return approx::lsh(q, k, v, {.rounds = n}, {}, {.threads = threads}); });
  add("low_rank, rank", {4, 8, 16, 24}, dim,
      [&](Index n) { return approx::low_rank(q, k, v, n, {}, {}, {.threads = threads}); });
  add("nystrom, landmarks", {16, 32, 64, 128}, tokens,
      [&](Index n) { return approx::nystrom(q, k, v, n, {}, {.threads = threads}); });
  add("linformer, rank", {32, 128, 512}, tokens, [&](Index n) {
    const auto e = approx::linformer_projection<float>(tokens, n, 1);  // [tokens, n]
    return approx::linformer(q, k, v, e, e, {}, {.threads = threads});
  });
  add("performer, features", {32, 128, 512}, tokens,
      [&](Index n) { return approx::performer(q, k, v, n, {}, {.threads = threads}); });
  add("linear", {0}, tokens,
      [&](Index) { return approx::linear(q, k, v, {}, {}, {.threads = threads}); });
  return all;
}

inspect::Image picture(const std::vector<Measured>& all, const std::string& title) {
  constexpr double exact_enough = 1e-7;  // a logarithmic axis has no 0
  std::vector<inspect::ScatterSeries> series;
  for (const Measured& m : all) {
    if (series.empty() || series.back().name != m.method) series.push_back({m.method, {}});
    series.back().points.push_back({m.speed, std::max(m.error, exact_enough), m.setting});
  }
  return inspect::scatter(series, {.title = title,
                                   .x_name = "speed, times exact attention",
                                   .y_name = "relative error",
                                   .guide = inspect::Guide{1, "exact"}});
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
  const std::vector<Measured> all = measure(inputs, line.threads);
  const std::string file = line.out.value_or("methods.png");
  inspect::write_png(file, picture(all, "Layer " + std::to_string(layer) + ", " +
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
