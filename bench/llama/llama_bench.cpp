// A language model's speed: prefill beside the multiply-add loop, decoding beside the reading loop.
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/llama.hpp"
#include "models/model_folder.hpp"
#include "support/program.hpp"

namespace {

using heed::Index;
using heed::models::CacheFormat;
using heed::models::Llama;
using heed::models::LlamaSequence;
using heed::models::TokenId;
using heed::models::WeightFormat;

struct LlamaRow {
  const char* name;
  Index tokens;  // before a decoded one, or of a prefill
  int threads;
  bool prefill;
  double goal;
  WeightFormat weights = WeightFormat::file;
};
constexpr LlamaRow rows[] = {
    {"prefill_1024", 1024, 1, true, 0.6},
    {"prefill_1024_2", 1024, 2, true, 0.6},
    {"decode_100", 100, 1, false, 0.75},
    {"decode_100_2", 100, 2, false, 0.75},
    {"decode_1000_2", 1000, 2, false, 0.75},
    {"prefill_1024_weights_bfloat16", 1024, 1, true, 0.6, WeightFormat::bfloat16},
    {"decode_100_weights_bfloat16", 100, 1, false, 0.75, WeightFormat::bfloat16},
    {"decode_100_weights_bfloat16_2", 100, 2, false, 0.75, WeightFormat::bfloat16}};

std::vector<TokenId> some_ids(Index count, const heed::models::LlamaConfig& config) {
  std::vector<TokenId> ids;
  for (Index n = 0; n < count; ++n) {
    ids.push_back(static_cast<TokenId>((n * 7919 + 13) % config.vocabulary));
  }
  return ids;
}

// Multiplications and additions of a prefill that returns the last token's logits: products with
// weights, and q·k and p·v of the pairs that attend.
double prefill_flops(const Llama& model, Index tokens) {
  const auto& config = model.config();
  const Index layer =
      config.features * (2 * config.q_features() + 2 * config.kv_features() + 3 * config.hidden);
  const Index pairs = tokens * (tokens + 1) / 2;
  return 2.0 * static_cast<double>(config.layers) *
             static_cast<double>(tokens * layer + 2 * pairs * config.q_features()) +
         2.0 * static_cast<double>(config.vocabulary * config.features);
}

void measure_prefill(benchmark::State& state, const Llama& model, const LlamaRow& row) {
  const auto ids = some_ids(row.tokens, model.config());
  const heed::bench::FmaLoop fma(heed::bench::Type::f32, row.threads);
  const auto best = heed::bench::alternate({[&] {
                                              LlamaSequence sequence = model.start();
                                              model.forward(ids, sequence);
                                            },
                                            fma},
                                           heed::bench::Turns::from_environment(row.threads));
  heed::bench::set_time(state, best[0]);
  heed::bench::set_rate(state, prefill_flops(model, row.tokens), best[0], fma.flops() / best[1]);
  state.counters["tokens/s"] = static_cast<double>(row.tokens) / best[0];
}

// A token behind those of a sequence, which is as before afterwards. One is decoded here and not
// measured, since it may have to make room for keys and values.
std::function<void()> decode(const Llama& model, LlamaSequence& sequence) {
  const auto token = [&model, &sequence, before = sequence.length()] {
    model.forward(std::vector<TokenId>{7}, sequence);
    sequence.truncate(before);
  };
  token();
  return token;
}

// A decoded token reads all weights, and the keys and values before it.
void measure_decode(benchmark::State& state, const Llama& model, const LlamaRow& row) {
  LlamaSequence sequence = model.start();
  model.forward(some_ids(row.tokens, model.config()), sequence);
  const std::size_t bytes = model.token_bytes() + sequence.bytes();
  const heed::bench::ReadLoop read(row.threads, bytes, heed::bench::PageSize::large);
  const auto best =
      heed::bench::alternate_cold({decode(model, sequence), std::cref(read)}, row.threads);
  heed::bench::set_time(state, best[0]);
  state.counters["tokens/s"] = 1 / best[0];
  state.counters["GB/s"] = read.bytes() / best[0] * 1e-9;
  state.counters["read GB/s"] = read.bytes() / best[1] * 1e-9;
  state.counters["of read"] = best[1] / best[0];
}

// Formats of caches, each beside float in the same turns.
constexpr CacheFormat formats[] = {CacheFormat::float32, CacheFormat::bfloat16, CacheFormat::half,
                                   CacheFormat::k8v8,    CacheFormat::k8v4,     CacheFormat::k4v4,
                                   CacheFormat::paged};
constexpr Index format_tokens[] = {100, 1000, 4000};

// Column "of float": tokens a second beside those of a cache of float, one thread.
void measure_format(benchmark::State& state, const heed::models::Gguf& file, CacheFormat format,
                    Index tokens) {
  if (heed::bench::quick()) tokens = 16;
  const Llama model(file, {.threads = 1}), reader(file);  // prefill is not measured
  const auto read = [&](CacheFormat of) {
    LlamaSequence sequence = reader.start(of);
    reader.forward(some_ids(tokens, model.config()), sequence);
    return sequence;
  };
  LlamaSequence floats = read(CacheFormat::float32), others = read(format);
  const heed::bench::ReadLoop loop(1, model.token_bytes() + others.bytes(),
                                   heed::bench::PageSize::large);
  const auto best = heed::bench::alternate_cold(
      {decode(model, others), decode(model, floats), std::cref(loop)}, 1);
  heed::bench::set_time(state, best[0]);
  state.counters["tokens/s"] = 1 / best[0];
  state.counters["of float"] = best[1] / best[0];
  state.counters["cache MB"] = static_cast<double>(others.bytes()) * 1e-6;
  state.counters["GB/s"] = loop.bytes() / best[0] * 1e-9;
  state.counters["of read"] = best[2] / best[0];
}

void measure(benchmark::State& state, const heed::models::Gguf& file, LlamaRow row) {
  if (heed::bench::quick()) row.tokens = 16;
  const Llama model(file, {.weights = row.weights, .threads = row.threads});
  if (row.prefill) {
    measure_prefill(state, model, row);
  } else {
    measure_decode(state, model, row);
  }
  state.counters["goal"] = row.goal;
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path path = heed::models::smollm2_file();
  if (!std::filesystem::exists(path)) {
    std::printf("the model is not in %s; examples/models/llama/fetch.sh gets it\n", path.c_str());
    return 77;
  }
  const heed::models::Gguf file(path);
  for (const LlamaRow& row : rows) {
    heed::bench::add(row.name, [&](benchmark::State& state) { measure(state, file, row); });
  }
  for (const Index tokens : format_tokens) {
    for (const CacheFormat format : formats) {
      const std::string name =
          "decode_" + std::to_string(tokens) + "_" + std::string(name_of(format));
      heed::bench::add(name, [&file, format, tokens](benchmark::State& state) {
        measure_format(state, file, format, tokens);
      });
    }
  }
  return heed::bench::run_rows(argc, argv, "llama", nullptr);
}
