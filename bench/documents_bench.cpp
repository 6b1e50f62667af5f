// The tables of the tutorials heed comes from: standard attention, which holds all scores, against
// the fused and the chunked one, with the speed-up and the memory of each.
#include <Eigen/Core>

#include "support/program.hpp"

namespace {

using heed::Index;
using heed::bench::Row;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix>;

// As the tutorials write it: scores of all heads [B·H, L, L], their softmax, the product with v.
void standard(heed::bench::Operands<float>& operands, const Row& row) {
  const auto in = [&](const heed::Tensor4<float>& x, Index head, Index columns) {
    return Eigen::Map<const Matrix>(x.data() + head * row.Lk * columns, row.Lk, columns);
  };
  std::vector<float> memory(static_cast<std::size_t>(row.B * row.Hq * row.Lq * row.Lk));
  const auto scores_of = [&](Index head) {
    return Map(memory.data() + head * row.Lq * row.Lk, row.Lq, row.Lk);
  };
  const float scale = 1.0f / std::sqrt(static_cast<float>(row.D));
  for (Index head = 0; head < row.B * row.Hq; ++head) {
    scores_of(head).noalias() =
        scale * in(operands.q, head, row.D) * in(operands.k, head, row.D).transpose();
  }
  for (Index head = 0; head < row.B * row.Hq; ++head) {
    for (Index i = 0; i < row.Lq; ++i) {
      auto weights = scores_of(head).row(i).array();
      weights = (weights - weights.maxCoeff()).exp();
      weights /= weights.sum();
    }
  }
  for (Index head = 0; head < row.B * row.Hq; ++head) {
    Map(operands.result.out.data() + head * row.Lq * row.Dv, row.Lq, row.Dv).noalias() =
        scores_of(head) * in(operands.v, head, row.Dv);
  }
}

Row self_attention(Index B, Index L) {
  Row row{.name = "",
          .question = "documents",
          .B = B,
          .Hq = 8,
          .Hkv = 8,
          .Lq = L,
          .Lk = L,
          .D = 64,
          .Dv = 64};
  return heed::bench::quick() ? heed::bench::shrunk(row) : row;
}

struct Way {
  std::string name;
  std::function<void()> call;
};

// Milliseconds and MiB of each way; the speed-up is the first's time over the last's.
void measure(benchmark::State& state, const std::vector<Way>& ways) {
  std::vector<std::function<void()>> calls;
  for (const Way& way : ways) {
    state.counters[way.name + " MiB"] = heed::bench::extra_memory(way.call) / 0x1p20;
    calls.push_back(way.call);
  }
  const std::vector<double> best =
      heed::bench::alternate(calls, heed::bench::Turns::from_environment(1));
  for (std::size_t n = 0; n < ways.size(); ++n) {
    state.counters[ways[n].name + " ms"] = best[n] * 1e3;
  }
  heed::bench::set_time(state, best.back());
  state.counters["speed-up"] = best.front() / best.back();
}

void standard_and_flash(benchmark::State& state, Index L) {
  const Row row = self_attention(8, L);
  heed::bench::Operands<float> operands(row);
  measure(state, {{"standard", [&] { standard(operands, row); }},
                  {"flash", [&] {
                     heed::attention(operands.q, operands.k, operands.v, {}, {}, {.threads = 1});
                   }}});
}

void standard_and_chunked(benchmark::State& state, Index L) {
  const Row row = self_attention(1, L);
  heed::bench::Operands<float> operands(row);
  measure(state,
          {{"standard", [&] { standard(operands, row); }},
           {"flash",
            [&] { heed::attention(operands.q, operands.k, operands.v, {}, {}, {.threads = 1}); }},
           {"chunked", [&] {
              heed::chunked::attention(operands.q, operands.k, operands.v, {}, {}, {.threads = 1});
            }}});
}

}  // namespace

int main(int argc, char** argv) {
  Eigen::setNbThreads(1);
  for (const Index L : {256, 512, 1024}) {
    heed::bench::add("flash_8x" + std::to_string(L) + "x512",
                     [L](benchmark::State& state) { standard_and_flash(state, L); });
  }
  for (const Index L : {1024, 2048, 4096}) {
    heed::bench::add("chunked_1x" + std::to_string(L) + "x512",
                     [L](benchmark::State& state) { standard_and_chunked(state, L); });
  }
  return heed::bench::run_rows(argc, argv, "documents", nullptr);
}
