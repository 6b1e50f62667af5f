// Few queries over a long cache, against the speed at which memory can be read at all.
#include "support/program.hpp"

namespace {

using heed::bench::Row;

// One call a turn: the sweep over the large buffer has thrown the keys and values out of the
// caches.
template <class T, class M>
void measure(benchmark::State& state, const Row& row, const M& mask) {
  heed::bench::Operands<T> operands(row);
  const heed::bench::ReadLoop read(row.threads, heed::bench::quick());
  auto turns = heed::bench::Turns::from_environment(row.threads);
  turns.slice = 0;
  const auto best = heed::bench::alternate(
      {[&] { operands.attend(row.threads, mask, heed::score::None{}); }, read}, turns);
  const auto bytes =
      static_cast<double>(sizeof(T)) * static_cast<double>(operands.k.size() + operands.v.size());
  heed::bench::set_time(state, best[0]);
  state.counters["GB/s"] = bytes / best[0] * 1e-9;
  state.counters["read GB/s"] = read.bytes() / best[1] * 1e-9;
  state.counters["of read"] = bytes / best[0] / (read.bytes() / best[1]);
  heed::bench::set_goal(state, row);
  state.SetLabel(operands.report.isa);
}

void measure_row(benchmark::State& state, const Row& row) {
  if (row.type == heed::bench::Type::bf16) {
    measure<heed::BFloat16>(state, row, heed::mask::None{});
  } else if (row.pattern == heed::bench::Pattern::causal) {
    measure<float>(state, row, heed::mask::causal());
  } else {
    measure<float>(state, row, heed::mask::None{});
  }
}

}  // namespace

int main(int argc, char** argv) { return heed::bench::run_rows(argc, argv, "decode", measure_row); }
