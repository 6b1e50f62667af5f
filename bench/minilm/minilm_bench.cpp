// The time of a whole trained encoder, on many short lines and on one long text.
#include <cstdio>
#include <memory>

#include "minilm/encoder.hpp"
#include "support/program.hpp"

namespace {

void measure(benchmark::State& state, const heed::bench::Encoder& encoder,
             const heed::bench::EncoderRow& row) {
  const auto best =
      heed::bench::alternate({[&] { encoder(row, 1); }}, heed::bench::Turns::from_environment(1));
  heed::bench::set_time(state, best[0]);
  state.counters["texts/s"] = row.sentences / best[0];
}

}  // namespace

int main(int argc, char** argv) {
  if (heed::bench::Encoder::folder() == nullptr) {
    std::puts(
        "HEED_MINILM must name the model's folder (examples/models/minilm/fetch.sh prints it)");
    return 77;
  }
  const heed::bench::Encoder encoder;
  for (const heed::bench::EncoderRow& row : heed::bench::encoder_rows) {
    heed::bench::add(std::string(row.name),
                     [&](benchmark::State& state) { measure(state, encoder, row); });
  }
  return heed::bench::run_rows(argc, argv, "minilm", nullptr);
}
