// The cost of position encodings: those of tokens beside copying them, those of scores beside the
// plain call.
#include <cstdio>
#include <cstring>
#include <exception>

#include "support/program.hpp"

namespace {

namespace mask = heed::mask;
namespace position = heed::position;
namespace score = heed::score;
using heed::Index;
using heed::Tensor2;
using heed::Tensor4;
using heed::bench::Operands;
using heed::bench::Row;

Index length() { return heed::bench::quick() ? 32 : 2048; }

// `encode(x)` changes x [1, 8, L, 128] in place: bytes read and written, and that of memcpy's.
template <class Encode>
void add_tokens(const std::string& name, const Encode& encode) {
  const Index L = length();
  heed::bench::add(name + "_l" + std::to_string(L), [encode, L](benchmark::State& state) {
    Tensor4<float> x = heed::bench::numbers<float>(1, 1, 8, L, 128), copy = x;
    const auto bytes = sizeof(float) * static_cast<std::size_t>(x.size());
    const auto best = heed::bench::alternate(
        {[&] { encode(x); }, [&] { std::memcpy(copy.data(), x.data(), bytes); }},
        heed::bench::Turns::from_environment(1));
    heed::bench::set_time(state, best[0]);
    state.counters["GB/s"] = 2e-9 * static_cast<double>(bytes) / best[0];
    state.counters["of memcpy"] = best[1] / best[0];
  });
}

void add_rope() {
  for (const bool interleaved : {false, true}) {
    const auto pairs =
        interleaved ? position::RopePairs::interleaved : position::RopePairs::half_split;
    const std::string kind = interleaved ? "_interleaved" : "";
    const position::RopeTable<float> table(2048, position::rope_frequencies(128));
    add_tokens("rope_table" + kind,
               [table, pairs](Tensor4<float>& x) { position::rope_into(x, x, table, {}, pairs); });
    add_tokens("rope" + kind,
               [pairs](Tensor4<float>& x) { position::rope_into(x, x, {.pairs = pairs}); });
  }
}

// Rows of all heads as tokens: a table of positions is added to them.
void add_tables() {
  add_tokens("sinusoidal_made_and_added", [](Tensor4<float>& x) {
    const Index rows = x.dimension(1) * x.dimension(2);
    position::add_into(heed::view(x.data(), {rows, x.dimension(3)}),
                       position::sinusoidal(rows, x.dimension(3)));
  });
  const Tensor2<float> table = position::sinusoidal(16384, 128);
  add_tokens("learned_added", [table](Tensor4<float>& x) {
    const Index rows = x.dimension(1) * x.dimension(2);
    position::add_into(heed::view(x.data(), {rows, x.dimension(3)}),
                       position::learned(table, rows));
  });
}

template <class S>
void add_score(const std::string& name, const S& modify) {
  const Index L = length();
  heed::bench::add(name + "_d64_l" + std::to_string(L), [modify, L](benchmark::State& state) {
    const Row row{
        .name = "", .question = "", .B = 1, .Hq = 4, .Hkv = 4, .Lq = L, .Lk = L, .D = 64, .Dv = 64};
    Operands<float> scored(row), plain(row);
    const auto best =
        heed::bench::alternate({[&] { scored.attend(1, mask::None{}, modify); },
                                [&] { plain.attend(1, mask::None{}, score::None{}); }},
                               heed::bench::Turns::from_environment(1));
    heed::bench::set_time(state, best[0]);
    state.counters["of plain"] = best[1] / best[0];
    state.SetLabel(scored.report.isa);
  });
}

}  // namespace

int main(int argc, char** argv) try {
  add_rope();
  add_tables();
  const std::vector<float> slopes = score::alibi_slopes(4);
  Tensor2<float> distances(4, 257), buckets(4, 32);
  for (Index n = 0; n < distances.size(); ++n) distances.data()[n] = 0.01F * static_cast<float>(n);
  for (Index n = 0; n < buckets.size(); ++n) buckets.data()[n] = 0.01F * static_cast<float>(n);
  const Tensor2<float> t5 = score::t5_table(buckets);
  add_score("alibi", score::alibi(slopes));
  add_score("relative", score::relative(distances));
  add_score("t5", score::relative(t5));
  return heed::bench::run_rows(argc, argv, "positions", [](benchmark::State&, const auto&) {});
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
