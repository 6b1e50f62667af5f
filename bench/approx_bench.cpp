// The time that each approximation saves, and the accuracy that it costs.
//
// Every method beside exact attention, whole and causal, by length: how many times as fast it is on
// the same rows, how far off its result is where attention is sharp and where it is soft, and what
// memory it takes besides its result. With HEED_BENCH_CURVE in the environment up to 65536 tokens
// (minutes), and from which length on each is faster than exact attention.
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#include "support/curve.hpp"

namespace {

namespace approx = heed::approx;
namespace mask = heed::mask;
using heed::Index;
using heed::bench::Activation;
using heed::bench::Tokens;

// A method that prepares nothing: call(tokens).
template <class Call>
void add(Activation& curve, const std::string& name, bool causal, const Call& call) {
  curve.add({name, causal, [call](const Tokens& x) { return [call, &x] { return call(x).out; }; }});
}

// Methods that take a mask.
template <class M>
void add_masked(Activation& curve, const std::string& which, const M& seen) {
  constexpr bool causal = std::is_same_v<M, mask::Causal>;
  for (const Index keep : {32, 256}) {
    add(curve, "top-k, " + std::to_string(keep) + which, causal, [=](const Tokens& x) {
      return approx::top_k(x.q, x.k, x.v, keep, seen, {}, {.threads = 1});
    });
  }
  add(curve, "low rank 16" + which, causal, [=](const Tokens& x) {
    return approx::low_rank(x.q, x.k, x.v, 16, seen, {}, {.threads = 1});
  });
  add(curve, "linear, elu + 1" + which, causal,
      [=](const Tokens& x) { return approx::linear(x.q, x.k, x.v, {}, seen, {.threads = 1}); });
  for (const Index features : {64, 256}) {
    add(curve, "Performer, " + std::to_string(features) + which, causal, [=](const Tokens& x) {
      return approx::performer(x.q, x.k, x.v, features, seen, {.threads = 1});
    });
  }
  for (const Index rounds : {2, 4}) {
    add(curve, "LSH, " + std::to_string(rounds) + " rounds" + which, causal, [=](const Tokens& x) {
      return approx::lsh(x.q, x.k, x.v, {.rounds = rounds}, seen, {.threads = 1});
    });
  }
}

void add_whole(Activation& curve) {
  add(curve, "low rank 16, randomised", false, [](const Tokens& x) {
    return approx::low_rank(x.q, x.k, x.v, 16, {}, {}, {.randomised = true, .threads = 1});
  });
  for (const Index landmarks : {64, 256}) {
    add(curve, "Nyström, " + std::to_string(landmarks), false, [=](const Tokens& x) {
      const Index count = std::min(landmarks, x.k.dimension(2));
      return approx::nystrom(x.q, x.k, x.v, count, {}, {.threads = 1});
    });
  }
  curve.add({"Linformer, 256", false, [](const Tokens& x) {
               const auto e = approx::linformer_projection<float>(x.k.dimension(2), 256, 1);
               return [&x, e] {
                 return approx::linformer(x.q, x.k, x.v, e, e, {}, {.threads = 1}).out;
               };
             }});
}

}  // namespace

int main(int argc, char** argv) {
  Activation curve;
  add_masked(curve, "", mask::None{});
  add_whole(curve);
  add_masked(curve, ", causal", mask::causal());
  const bool all = std::getenv("HEED_BENCH_CURVE") != nullptr;
  if (heed::bench::quick()) {
    curve.register_rows({16, 64, 256}, 256);
  } else {
    curve.register_rows(
        all ? std::vector<Index>{1024, 4096, 16384, 65536} : std::vector<Index>{1024, 4096, 16384},
        all ? 65536 : 0);
  }
  const int status = heed::bench::run_rows(argc, argv, "approx",
                                           [](benchmark::State&, const heed::bench::Row&) {});
  if (status == 0) curve.print();
  return status;
}
