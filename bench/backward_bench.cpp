// The gradients of exact attention against the processor's own limit: five products, of which
// forward has two.
#include "support/program.hpp"

namespace {

using heed::bench::Modifier;
using heed::bench::Pattern;
using heed::bench::Row;
using heed::bench::Type;

template <class T, class M, class S>
void measure(benchmark::State& state, const Row& row, const M& mask, const S& score) {
  heed::bench::BackwardOperands<T> operands(row);
  const heed::bench::FmaLoop fma(row.type, row.threads);
  const auto call = [&] { operands.differentiate(row.threads, mask, score); };
  const auto best =
      heed::bench::alternate({call, fma}, heed::bench::Turns::from_environment(row.threads));
  heed::bench::set_time(state, best[0]);
  heed::bench::set_rate(state, useful_flops(row), best[0], fma.flops() / best[1]);
  heed::bench::set_goal(state, row);
  state.SetLabel(operands.report.isa);
}

void measure_row(benchmark::State& state, const Row& row) {
  using heed::mask::operator&;
  const auto causal = heed::mask::causal();
  const heed::score::None none;
  if (row.type == Type::bf16) return measure<heed::BFloat16>(state, row, heed::mask::None{}, none);
  if (row.pattern == Pattern::causal) return measure<float>(state, row, causal, none);
  if (row.pattern == Pattern::causal_window) {
    return measure<float>(state, row, causal & heed::mask::window(Row::window_size), none);
  }
  if (row.modifier == Modifier::alibi) {
    const auto slopes = heed::score::alibi_slopes(static_cast<int>(row.Hq));
    return measure<float>(state, row, heed::mask::None{}, heed::score::alibi(slopes));
  }
  if (row.modifier == Modifier::bias) {
    const auto bias = heed::bench::numbers<float>(4, 1, 1, row.Lq, row.Lk);
    return measure<float>(state, row, heed::mask::None{}, heed::score::bias(bias));
  }
  if (row.modifier == Modifier::bias_gradient) {
    const auto bias = heed::bench::numbers<float>(4, 1, 1, row.Lq, row.Lk);
    auto d_bias = bias;
    return measure<float>(state, row, heed::mask::None{},
                          heed::score::with_gradient(heed::score::bias(bias), d_bias));
  }
  measure<float>(state, row, heed::mask::None{}, none);
}

}  // namespace

int main(int argc, char** argv) {
  return heed::bench::run_rows(argc, argv, "backward", measure_row);
}
