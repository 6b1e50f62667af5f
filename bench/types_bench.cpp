// Are the half types never slower than float, and how fast is double?
#include "support/program.hpp"

namespace {

using heed::bench::Row;
using heed::bench::Type;

template <class T, class M>
void measure(benchmark::State& state, const Row& row, const M& mask) {
  heed::bench::Operands<T> operands(row);
  heed::bench::Operands<float> floats(row);
  const heed::bench::FmaLoop fma(row.type, row.threads);
  const auto best =
      heed::bench::alternate({[&] { operands.attend(row.threads, mask, heed::score::None{}); },
                              [&] { floats.attend(row.threads, mask, heed::score::None{}); }, fma},
                             heed::bench::Turns::from_environment(row.threads));
  heed::bench::set_time(state, best[0]);
  heed::bench::set_rate(state, heed::bench::useful_flops(row), best[0], fma.flops() / best[2]);
  state.counters["of float"] = best[1] / best[0];
  heed::bench::set_goal(state, row);
  state.SetLabel(operands.report.isa);
}

template <class T>
void measure_type(benchmark::State& state, const Row& row) {
  if (row.pattern == heed::bench::Pattern::causal) {
    measure<T>(state, row, heed::mask::causal());
  } else {
    measure<T>(state, row, heed::mask::None{});
  }
}

void measure_row(benchmark::State& state, const Row& row) {
  switch (row.type) {
    case Type::bf16:
      return measure_type<heed::BFloat16>(state, row);
    case Type::f16:
      return measure_type<heed::Half>(state, row);
    case Type::f64:
      return measure_type<double>(state, row);
    case Type::f32:
      return measure_type<float>(state, row);
  }
}

}  // namespace

int main(int argc, char** argv) { return heed::bench::run_rows(argc, argv, "types", measure_row); }
