// The time and memory of a training step: forward, loss, backward, clipped gradients, AdamW.
#include "support/training.hpp"

#include "support/program.hpp"

namespace {

void measure(benchmark::State& state, const heed::bench::TrainingRow& row) {
  heed::bench::TrainingStep step(row);
  const heed::bench::FmaLoop fma(heed::bench::Type::f32, row.threads);
  state.counters["MiB more"] = heed::bench::extra_memory([&] { step(); }) / 0x1p20;
  const auto best = heed::bench::alternate({[&] { step(); }, fma},
                                           heed::bench::Turns::from_environment(row.threads));
  heed::bench::set_time(state, best[0]);
  heed::bench::set_rate(state, useful_flops(row), best[0], fma.flops() / best[1]);
}

}  // namespace

int main(int argc, char** argv) {
  for (const heed::bench::TrainingRow& row : heed::bench::training_rows) {
    const auto measured = heed::bench::quick() ? shrunk(row) : row;
    heed::bench::add(std::string(row.name),
                     [measured](benchmark::State& state) { measure(state, measured); });
  }
  return heed::bench::run_rows(argc, argv, "training", nullptr);
}
