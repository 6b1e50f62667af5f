// A benchmark program: its rows under their names, the same columns everywhere.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "support/measure.hpp"
#include "support/operands.hpp"
#include "support/peak.hpp"
#include "support/plain.hpp"

namespace heed::bench {

using Measure = std::function<void(benchmark::State&, const Row&)>;

// "1x4x2048x64": B, Hq, Lq and D; where keys or values differ, "1x32x1x128 8x8192x128" with Hkv, Lk
// and Dv.
std::string shape_name(const Row& row);

// The name of a measurement of `row`: the row's name, or, where `measured` is shrunk, the shape
// that runs in its place.
std::string name_of(const Row& row, const Row& measured);

// Registers each row of the question (shrunk where quick), then runs them as the command line says.
int run_rows(int argc, char** argv, std::string_view question, const Measure& measure);

// Registers one measurement under a name of its own; run_rows runs it with the rest.
void add(const std::string& name, const std::function<void(benchmark::State&)>& measure);

// Google Benchmark's time of a row: `seconds`, the best call.
void set_time(benchmark::State& state, double seconds);

// Columns GFLOP/s, FMA (what the multiply-add loop does beside it, in GFLOP/s) and peak, their
// ratio.
void set_rate(benchmark::State& state, double flops, double seconds, double fma_flops);
void set_goal(benchmark::State& state, const Row& row);

// Column plain: the unfused call's rate in GFLOP/s, where it was measured.
void set_plain(benchmark::State& state, double flops, double seconds);

// One call a turn; a sweep over a large buffer has thrown all else out of the caches before it.
inline std::vector<double> alternate_cold(const std::vector<std::function<void()>>& contestants,
                                          int threads) {
  const ReadLoop sweep(threads, swept_bytes(quick()));
  auto turns = Turns::from_environment(threads);
  turns.slice = 0;
  turns.median = true;
  return alternate(contestants, turns, std::cref(sweep));
}

// heed on a row beside the FMA loop, and beside another contestant where there is one.
template <class T, class M, class S>
void measure_forward(benchmark::State& state, const Row& row, const M& mask, const S& score,
                     Operands<T>& operands, const std::function<void()>& plain = {}) {
  const FmaLoop fma(row.type, row.threads);
  std::vector<std::function<void()>> contestants{[&] { operands.attend(row.threads, mask, score); },
                                                 fma};
  if (plain) contestants.push_back(plain);
  const auto best = alternate(contestants, Turns::from_environment(row.threads));
  set_time(state, best[0]);
  set_rate(state, useful_flops(row), best[0], fma.flops() / best[1]);
  if (plain) set_plain(state, useful_flops(row), best[2]);
  set_goal(state, row);
  state.SetLabel(operands.report.isa);
}

template <class T, class M, class S>
void measure_forward(benchmark::State& state, const Row& row, const M& mask, const S& score) {
  Operands<T> operands(row);
  measure_forward<T>(state, row, mask, score, operands);
}

// f(mask) of a row that is full or causal.
template <class F>
void with_mask(const Row& row, F&& f) {
  if (row.pattern == Pattern::causal) {
    f(mask::causal());
  } else {
    f(mask::None{});
  }
}

// Full or causal, beside the unfused call where one thread computes a row that fits it.
template <class T>
void measure_forward(benchmark::State& state, const Row& row) {
  Operands<T> operands(row);
  std::function<void()> plain;
  if (row.threads == 1 && Plain<T>::fits(row)) plain = Plain<T>(row, operands);
  with_mask(row, [&](const auto& mask) {
    measure_forward<T>(state, row, mask, score::None{}, operands, plain);
  });
}

}  // namespace heed::bench
