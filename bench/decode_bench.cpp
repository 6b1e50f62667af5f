// Few queries over a long cache, against the speed at which memory can be read at all, and that of
// multiply-adds, which bounds groups of many heads.
#include "support/program.hpp"

namespace {

using heed::bench::ReadLoop;
using heed::bench::Row;

template <class T>
std::size_t bytes_of(const heed::Tensor4<T>& k, const heed::Tensor4<T>& v) {
  return sizeof(T) * static_cast<std::size_t>(k.size() + v.size());
}

// Seconds of a call and of reading as many bytes.
void set_rates(benchmark::State& state, const Row& row, double bytes, double call, double read) {
  heed::bench::set_time(state, call);
  state.counters["GB/s"] = bytes / call * 1e-9;
  state.counters["read GB/s"] = bytes / read * 1e-9;
  state.counters["of read"] = read / call;
  heed::bench::set_goal(state, row);
}

// A call beside the loop that reads as many bytes.
template <class T, class M>
void measure(benchmark::State& state, const Row& row, const M& mask) {
  heed::bench::Operands<T> operands(row);
  const ReadLoop read(row.threads, bytes_of(operands.k, operands.v));
  const heed::bench::FmaLoop fma(row.type, row.threads);
  const auto best =
      heed::bench::alternate_cold({[&] { operands.attend(row.threads, mask, heed::score::None{}); },
                                   std::cref(read), std::cref(fma)},
                                  row.threads);
  set_rates(state, row, read.bytes(), best[0], best[1]);
  heed::bench::set_rate(state, heed::bench::useful_flops(row), best[0], fma.flops() / best[2]);
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
  const ReadLoop read(row.threads, codes.memory_bytes(), heed::bench::PageSize::large);
  const auto best = heed::bench::alternate_cold(
      {[&] { attend(codes); }, [&] { attend(numbers); }, std::cref(read)}, row.threads);
  set_rates(state, row, read.bytes(), best[0], best[2]);
  state.counters["of float"] = best[1] / best[0];
  state.SetLabel(operands.report.isa);
}

void measure_row(benchmark::State& state, const Row& row) {
  if (row.cached == heed::bench::Cached::k8v8) return measure_codes<heed::kv::K8V8>(state, row);
  if (row.cached == heed::bench::Cached::k8v4) return measure_codes<heed::kv::K8V4>(state, row);
  if (row.cached == heed::bench::Cached::k4v4) return measure_codes<heed::kv::K4V4>(state, row);
  if (row.type == heed::bench::Type::bf16) {
    measure<heed::BFloat16>(state, row, heed::mask::None{});
  } else {
    heed::bench::with_mask(row, [&](const auto& mask) { measure<float>(state, row, mask); });
  }
}

}  // namespace

int main(int argc, char** argv) { return heed::bench::run_rows(argc, argv, "decode", measure_row); }
