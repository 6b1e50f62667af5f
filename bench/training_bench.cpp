// The time and memory of a training step: forward, loss, backward, AdamW; of the classifier also
// clipped gradients.
#include "support/training.hpp"

#include "support/program.hpp"

namespace {

// The second step on, as the first makes what stays.
template <class Step>
double measure(benchmark::State& state, Step& step, double flops, int threads) {
  const heed::bench::FmaLoop fma(heed::bench::Type::f32, threads);
  step();
  state.counters["MiB more"] = heed::bench::extra_memory([&] { step(); }) / 0x1p20;
  const auto best =
      heed::bench::alternate({[&] { step(); }, fma}, heed::bench::Turns::from_environment(threads));
  heed::bench::set_time(state, best[0]);
  heed::bench::set_rate(state, flops, best[0], fma.flops() / best[1]);
  return best[0];
}

void measure(benchmark::State& state, const heed::bench::TrainingRow& row) {
  heed::bench::TrainingStep step(row);
  measure(state, step, useful_flops(row), row.threads);
}

// GPT-2's 124 million parameters on llm.c's batch, 4 × 64 tokens; llm.c is measured beside it by
// hand.
void measure_gpt2(benchmark::State& state, int threads) {
  heed::nn::CausalLanguageModelOptions options{.block = heed::nn::gpt2_block(12, 0)};
  if (heed::bench::quick()) options.vocabulary = 50, options.features = 24, options.layers = 1;
  heed::bench::LanguageModelStep step(options, 4, heed::bench::quick() ? 8 : 64, threads);
  const double seconds = measure(state, step, step.flops(), threads);
  state.counters["tokens/s"] = step.tokens() / seconds;
}

}  // namespace

int main(int argc, char** argv) {
  for (const heed::bench::TrainingRow& row : heed::bench::training_rows) {
    const auto measured = heed::bench::quick() ? shrunk(row) : row;
    heed::bench::add(std::string(row.name),
                     [measured](benchmark::State& state) { measure(state, measured); });
  }
  for (const int threads : {1, 2}) {
    heed::bench::add("gpt2_124m/threads:" + std::to_string(threads),
                     [threads](benchmark::State& state) { measure_gpt2(state, threads); });
  }
  return heed::bench::run_rows(argc, argv, "training", nullptr);
}
