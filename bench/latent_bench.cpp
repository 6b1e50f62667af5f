// A latent cache, which keeps a token once: beside a cache that keeps keys and values, beside the
// reading of its bytes and beside multiply-adds.
#include "support/program.hpp"

namespace {

using heed::bench::Row;

template <class M>
void measure(benchmark::State& state, const Row& row, const M& mask) {
  heed::bench::Operands<float> operands(row);
  const heed::kv::Extents extents{row.B, row.Hkv, row.D, row.Dv};
  heed::kv::LatentCache<float> once(extents, {.capacity = row.Lk});
  heed::kv::Cache<float> twice(extents, {.capacity = row.Lk});
  once.append(operands.k);
  twice.append(operands.k, operands.values);
  heed::Options options{.threads = row.threads, .report = &operands.report};
  std::vector<std::byte> workspace(
      heed::workspace_bytes(operands.q, once, mask, heed::score::None{}, options));
  options.workspace = workspace;
  const auto attend = [&](const auto& cache) {
    heed::attention_into(operands.result, operands.q, cache, mask, heed::score::None{}, options);
  };
  const heed::bench::ReadLoop read(row.threads, once.memory_bytes(), heed::bench::PageSize::large);
  const heed::bench::FmaLoop fma(row.type, row.threads);
  const auto best = heed::bench::alternate_cold(
      {[&] { attend(once); }, [&] { attend(twice); }, std::cref(read), std::cref(fma)},
      row.threads);
  heed::bench::set_time(state, best[0]);
  state.counters["MiB"] = read.bytes() / (1 << 20);
  state.counters["of read"] = best[2] / best[0];
  state.counters["of twice"] = best[1] / best[0];
  heed::bench::set_rate(state, heed::bench::useful_flops(row), best[0], fma.flops() / best[3]);
  state.SetLabel(operands.report.isa);
}

void measure_row(benchmark::State& state, const Row& row) {
  heed::bench::with_mask(row, [&](const auto& mask) { measure(state, row, mask); });
}

}  // namespace

int main(int argc, char** argv) { return heed::bench::run_rows(argc, argv, "latent", measure_row); }
