// The cost of a sparse pattern, against full attention and against the work that it leaves.
//
// One head of D 64, one thread. `tiles` is the fraction of 64 × 64 tiles that hold a pair that
// attends, `of full` the time over that of full attention on the same tensors, `of tiles` their
// ratio: 1 would be a pattern that costs exactly its tiles. HEED_BENCH_LONG=1 goes from L = 1024 to
// 65536; beyond 16384 full attention is timed once and does not take turns.
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/program.hpp"

namespace {

namespace mask = heed::mask;
using heed::Index;
using heed::Shape;

constexpr Index D = 64;

Shape shape_of(Index L) { return {1, 1, 1, L, L, D, D, 4}; }

// The fraction of 64 × 64 tiles that hold a pair.
double tiles_of(const mask::any& pattern, Index L) {
  constexpr int side = 64;
  const auto length = static_cast<int>(L);
  const auto bound = pattern.bind(shape_of(L), 0, 0);
  std::vector<std::uint8_t> found(static_cast<std::size_t>(L / side));
  Index live = 0;
  for (int q = 0; q < length; q += side) {
    mask::cover(bound, {q, q + side, side, 0, length, side}, found.data(), 0);
    for (const std::uint8_t tile : found) live += tile != 0 ? 1 : 0;
  }
  const Index tiles = (L / side) * (L / side);
  return static_cast<double>(live) / static_cast<double>(tiles);
}

void measure(benchmark::State& state, Index L, const mask::any& pattern) {
  const heed::bench::Row row{
      .name = "", .question = "", .B = 1, .Hq = 1, .Hkv = 1, .Lq = L, .Lk = L, .D = D, .Dv = D};
  heed::bench::Operands<float> sparse(row), full(row);
  const auto turns = heed::bench::Turns::from_environment(1);
  const std::function<void()> pattern_call = [&] {
    sparse.attend(1, pattern, heed::score::None{});
  };
  const std::function<void()> full_call = [&] { full.attend(1, mask::any(), heed::score::None{}); };
  static std::map<Index, double> long_ones;  // seconds of full attention
  const bool alone = L > 16384;
  if (alone && !long_ones.contains(L)) {
    long_ones[L] = heed::bench::alternate({full_call}, turns)[0];
  }
  auto best = alone ? heed::bench::alternate({pattern_call}, turns)
                    : heed::bench::alternate({pattern_call, full_call}, turns);
  if (alone) best.push_back(long_ones[L]);
  const double tiles = tiles_of(pattern, L);
  heed::bench::set_time(state, best[0]);
  state.counters["full"] = 1e3 * best[1];
  state.counters["of full"] = best[0] / best[1];
  state.counters["tiles"] = tiles;
  state.counters["of tiles"] = best[0] / best[1] / tiles;
  state.counters["scratch KiB"] = static_cast<double>(sparse.report.scratch_bytes) / 1024;
  state.SetLabel(sparse.report.isa);
}

// The memory that masks of one length refer to; it lasts as long as the program.
struct Patterns {
  std::vector<std::vector<int>> documents;
  heed::Tensor2<bool> blocks;
  std::vector<std::pair<std::string, mask::any>> named;

  explicit Patterns(Index L) : blocks(L / 64, L / 64) {
    for (Index r = 0; r < L / 64; ++r) {
      for (Index c = 0; c < L / 64; ++c) blocks(r, c) = r == c || (5 * r + 3 * c) % 8 == 0;
    }
    named = {{"causal", mask::causal()},
             {"window_256", mask::causal() & mask::window(256)},
             {"dilated_32_8", mask::dilated(16, 16, 8)},
             {"strided_8", mask::strided(8)},
             {"strided_64", mask::strided(64)},
             {"blocks", mask::blocks(blocks, 64, 64)},
             {"sparse_strided_128", mask::sparse_strided(128)},
             {"sparse_fixed_128_8", mask::sparse_fixed(128, 8)},
             {"longformer", mask::longformer(256, 16)},
             {"bigbird", mask::bigbird()},
             {"random_3", mask::random(3)}};
    for (const int count : {2, 4, 8, 16}) {
      std::vector<int>& ids = documents.emplace_back();
      for (Index i = 0; i < L; ++i) ids.push_back(static_cast<int>(i * count / L));
      named.emplace_back("document_" + std::to_string(count), mask::document(ids));
    }
    for (const Index width : {64, 512, 1024, 2048}) {
      named.emplace_back("local_" + std::to_string(width), mask::local(width));
    }
  }
};

std::vector<Index> lengths() {
  if (heed::bench::quick()) return {256};
  if (std::getenv("HEED_BENCH_LONG") != nullptr) return {1024, 4096, 8192, 16384, 65536};
  return {8192};
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::unique_ptr<Patterns>> all;
  for (const Index L : lengths()) {
    all.push_back(std::make_unique<Patterns>(L));
    for (const auto& named : all.back()->named) {
      heed::bench::add(named.first + "_l" + std::to_string(L),
                       [L, &named](benchmark::State& state) { measure(state, L, named.second); });
    }
  }
  return heed::bench::run_rows(argc, argv, "sparse", [](benchmark::State&, const auto&) {});
}
