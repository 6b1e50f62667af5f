// Does a second thread give heed as much as it gives a loop that touches no memory?
#include "support/program.hpp"

namespace {

using heed::bench::Row;

template <class M>
void measure(benchmark::State& state, const Row& row, const M& mask) {
  heed::bench::Operands<float> one(row), several(row);
  const heed::bench::FmaLoop fma_one(row.type, 1), fma_several(row.type, row.threads);
  const auto best = heed::bench::alternate(
      {[&] { one.attend(1, mask, heed::score::None{}); }, fma_one,
       [&] { several.attend(row.threads, mask, heed::score::None{}); }, fma_several},
      heed::bench::Turns::from_environment(row.threads));
  const double gain = best[0] / best[2];
  const double fma_gain = (fma_several.flops() / best[3]) / (fma_one.flops() / best[1]);
  heed::bench::set_time(state, best[2]);
  heed::bench::set_rate(state, heed::bench::useful_flops(row), best[2],
                        fma_several.flops() / best[3]);
  state.counters["gain"] = gain;
  state.counters["fma gain"] = fma_gain;
  state.counters["of gain"] = gain / fma_gain;
  heed::bench::set_goal(state, row);
}

void measure_row(benchmark::State& state, const Row& row) {
  heed::bench::with_mask(row, [&](const auto& mask) { measure(state, row, mask); });
}

}  // namespace

int main(int argc, char** argv) {
  return heed::bench::run_rows(argc, argv, "threads", measure_row);
}
