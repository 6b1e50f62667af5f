// The cost of masks, scores and layouts, against the plain call on the same shape.
#include "support/program.hpp"

namespace {

namespace mask = heed::mask;
namespace score = heed::score;
using heed::bench::Modifier;
using heed::bench::Operands;
using heed::bench::Pattern;
using heed::bench::Row;

// The rate on the pairs that attend, and its ratio to the plain call's on those that attend there.
template <class M, class S, class Base>
void measure(benchmark::State& state, const Row& row, const M& seen, const S& modify,
             Pattern base_pattern, const Base& base) {
  Operands<float> operands(row), plain(row);
  Row base_row = row;
  base_row.pattern = base_pattern;
  const heed::bench::FmaLoop fma(row.type, row.threads);
  const auto best =
      heed::bench::alternate({[&] { operands.attend(row.threads, seen, modify); },
                              [&] { plain.attend(row.threads, base, score::None{}); }, fma},
                             heed::bench::Turns::from_environment(row.threads));
  const double flops = heed::bench::useful_flops(row);
  heed::bench::set_time(state, best[0]);
  heed::bench::set_rate(state, flops, best[0], fma.flops() / best[2]);
  state.counters["of plain"] = (flops / best[0]) / (heed::bench::useful_flops(base_row) / best[1]);
  heed::bench::set_goal(state, row);
  state.SetLabel(operands.report.isa);
}

void measure_mask(benchmark::State& state, const Row& row) {
  using mask::operator&;
  const score::None none;
  if (row.pattern == Pattern::window) {
    measure(state, row, mask::window(Row::window_size), none, Pattern::causal, mask::causal());
  } else if (row.pattern == Pattern::causal_window) {
    measure(state, row, mask::causal() & mask::window(Row::window_size), none, Pattern::causal,
            mask::causal());
  } else {
    const std::vector<int> lengths(static_cast<std::size_t>(row.B), static_cast<int>(row.Lk / 2));
    measure(state, row, mask::padding(lengths), none, Pattern::full, mask::None{});
  }
}

void measure_score(benchmark::State& state, const Row& row) {
  const mask::None all;
  const std::vector<float> slopes = score::alibi_slopes(static_cast<int>(row.Hq));
  if (row.modifier == Modifier::bias) {
    const auto added = heed::bench::numbers<float>(4, 1, 1, row.Lq, row.Lk);
    measure(state, row, all, score::bias(added), Pattern::full, all);
  } else if (row.modifier == Modifier::soft_cap) {
    measure(state, row, all, score::soft_cap(50), Pattern::full, all);
  } else if (row.modifier == Modifier::lambda) {
    const auto far_is_less = [](float s, int i, int j) {
      return s - 0.01f * static_cast<float>(i < j ? j - i : i - j);
    };
    measure(state, row, all, far_is_less, Pattern::full, all);
  } else if (row.pattern == Pattern::causal) {
    measure(state, row, mask::causal(), score::alibi(slopes), Pattern::causal, mask::causal());
  } else {
    measure(state, row, all, score::alibi(slopes), Pattern::full, all);
  }
}

void measure_row(benchmark::State& state, const Row& row) {
  if (row.modifier == Modifier::none) {
    measure_mask(state, row);
  } else {
    measure_score(state, row);
  }
}

// [B, L, H, D] in memory against [B, H, L, D].
void measure_layout(benchmark::State& state, const Row& row) {
  const auto q = heed::bench::numbers<float>(1, row.B, row.Lq, row.Hq, row.D);
  const auto k = heed::bench::numbers<float>(2, row.B, row.Lk, row.Hkv, row.D);
  const auto v = heed::bench::numbers<float>(3, row.B, row.Lk, row.Hkv, row.Dv);
  heed::Tensor4<float> out(row.B, row.Lq, row.Hq, row.Dv);
  Operands<float> plain(row);
  const heed::Options options{.threads = row.threads};
  const auto best =
      heed::bench::alternate({[&] {
                                heed::attention_into(heed::blhd(out), heed::blhd(q), heed::blhd(k),
                                                     heed::blhd(v), {}, {}, options);
                              },
                              [&] { plain.attend(row.threads, mask::None{}, score::None{}); }},
                             heed::bench::Turns::from_environment(row.threads));
  heed::bench::set_time(state, best[0]);
  state.counters["GFLOP/s"] = heed::bench::useful_flops(row) / best[0] * 1e-9;
  state.counters["of plain"] = best[1] / best[0];
  state.counters["goal"] = 0.97;
}

}  // namespace

int main(int argc, char** argv) {
  for (const std::string_view name : {"d64_l2048", "d64_l512"}) {
    for (const Row& row : heed::bench::rows) {
      if (row.name != name) continue;
      const Row measured = heed::bench::quick() ? heed::bench::shrunk(row) : row;
      heed::bench::add("blhd_" + heed::bench::name_of(row, measured),
                       [measured](benchmark::State& state) { measure_layout(state, measured); });
    }
  }
  return heed::bench::run_rows(argc, argv, "patterns", measure_row);
}
