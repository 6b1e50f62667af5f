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

// A cache in codes of F beside one of float.
template <class F>
void measure_codes(benchmark::State& state, const Row& row) {
  heed::bench::Operands<float> operands(row);
  const heed::kv::Extents extents{row.B, row.Hkv, row.D, row.Dv};
  heed::kv::Cache<float> numbers(extents, {.capacity = row.Lk});
  heed::kv::Cache<F> codes(extents, {.capacity = row.Lk});
  numbers.append(operands.k, operands.v);
  codes.append(operands.k, operands.v);
  heed::Options options{.threads = row.threads, .report = &operands.report};
  std::vector<std::byte> workspace(
      std::max(heed::workspace_bytes(operands.q, numbers, {}, {}, options),
               heed::workspace_bytes(operands.q, codes, {}, {}, options)));
  options.workspace = workspace;
  const auto attend = [&](const auto& cache) {
    heed::attention_into(operands.result, operands.q, cache, heed::mask::None{},
                         heed::score::None{}, options);
  };
  const heed::bench::ReadLoop read(row.threads, heed::bench::quick());
  auto turns = heed::bench::Turns::from_environment(row.threads);
  turns.slice = 0;
  const auto best =
      heed::bench::alternate({[&] { attend(codes); }, read, [&] { attend(numbers); }, read}, turns);
  const auto bytes = static_cast<double>(codes.memory_bytes());
  const double read_rate = read.bytes() / std::min(best[1], best[3]);
  heed::bench::set_time(state, best[0]);
  state.counters["GB/s"] = bytes / best[0] * 1e-9;
  state.counters["read GB/s"] = read_rate * 1e-9;
  state.counters["of read"] = bytes / best[0] / read_rate;
  state.counters["of float"] = best[2] / best[0];
  heed::bench::set_goal(state, row);
  state.SetLabel(operands.report.isa);
}

void measure_row(benchmark::State& state, const Row& row) {
  if (row.cached == heed::bench::Cached::k8v8) return measure_codes<heed::kv::K8V8>(state, row);
  if (row.cached == heed::bench::Cached::k8v4) return measure_codes<heed::kv::K8V4>(state, row);
  if (row.cached == heed::bench::Cached::k4v4) return measure_codes<heed::kv::K4V4>(state, row);
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
