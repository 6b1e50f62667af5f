// What does each approximation save, and what does it cost in accuracy?
//
// Every method beside exact attention, whole and causal, at several lengths: its time, how many
// times as fast that is as exact attention on the same rows, and how far off its result is. The
// tokens have structure, since on noise every approximation of the softmax looks bad.
#include <memory>

#include "support/program.hpp"

namespace {

namespace approx = heed::approx;
namespace mask = heed::mask;
using heed::Index;
using heed::Tensor4;

// One head of tokens that belong to 64 topics: a token's key is its topic's direction and some
// noise, its query asks for a topic, near in direction to its own.
struct Tokens {
  static constexpr Index D = 64;
  Tensor4<float> q, k, v;

  explicit Tokens(Index L)
      : q(heed::bench::numbers<float>(1, 1, 1, L, D)),
        k(heed::bench::numbers<float>(2, 1, 1, L, D)),
        v(heed::bench::numbers<float>(3, 1, 1, L, D)) {
    constexpr Index topics = 64;
    const auto topic = heed::bench::numbers<float>(4, 1, 1, topics, D);
    const auto value = heed::bench::numbers<float>(5, 1, 1, topics, D);
    for (Index i = 0; i < L; ++i) {
      const Index t = i / 32 % topics;
      for (Index d = 0; d < D; ++d) {
        q(0, 0, i, d) = (topic(0, 0, t, d) + 0.5f * q(0, 0, i, d)) / 3;
        k(0, 0, i, d) = topic(0, 0, t, d) + 0.5f * k(0, 0, i, d);
        v(0, 0, i, d) = value(0, 0, t, d) + 0.5f * v(0, 0, i, d);
      }
    }
  }
};

template <class Call, class M>
void measure(benchmark::State& state, Index L, const M& seen, const Call& call) {
  const Tokens x(L);
  Tensor4<float> exact, result;
  const auto best = heed::bench::alternate(
      {[&] { exact = heed::attention(x.q, x.k, x.v, seen, {}, {.threads = 1}).out; },
       [&] { result = call(x); }},
      heed::bench::Turns::from_environment(1));
  const auto error = approx::compare(exact, result);
  heed::bench::set_time(state, best[1]);
  state.counters["exact"] = 1e3 * best[0];
  state.counters["gain"] = best[0] / best[1];
  state.counters["relative"] = error.relative;
  state.counters["max error"] = error.max_error;
}

template <class M, class Call>
void add(const std::string& name, Index L, const M& seen, const Call& call) {
  heed::bench::add(name + "_l" + std::to_string(L),
                   [L, seen, call](benchmark::State& state) { measure(state, L, seen, call); });
}

void add_whole(Index L) {
  const Index few = std::min<Index>(L, 64), many = std::min<Index>(L, 256);
  const mask::None all;
  add("top_k_32", L, all,
      [](const Tokens& x) { return approx::top_k(x.q, x.k, x.v, 32, {}, {}, {.threads = 1}).out; });
  add("top_k_256", L, all, [](const Tokens& x) {
    return approx::top_k(x.q, x.k, x.v, 256, {}, {}, {.threads = 1}).out;
  });
  add("low_rank_16", L, all, [](const Tokens& x) {
    return approx::low_rank(x.q, x.k, x.v, 16, {}, {}, {.threads = 1}).out;
  });
  add("low_rank_16_random", L, all, [](const Tokens& x) {
    return approx::low_rank(x.q, x.k, x.v, 16, {}, {}, {.randomised = true, .threads = 1}).out;
  });
  add("nystrom_64", L, all, [few](const Tokens& x) {
    return approx::nystrom(x.q, x.k, x.v, few, {}, {.threads = 1}).out;
  });
  add("nystrom_256", L, all, [many](const Tokens& x) {
    return approx::nystrom(x.q, x.k, x.v, many, {}, {.threads = 1}).out;
  });
  const auto e = std::make_shared<heed::Tensor2<float>>();  // made where it is measured
  add("linformer_256", L, all, [e](const Tokens& x) {
    const Index length = x.k.dimension(2);
    if (e->size() == 0) *e = approx::linformer_projection<float>(length, 256, 1);
    return approx::linformer(x.q, x.k, x.v, *e, *e, {}, {.threads = 1}).out;
  });
  add("linear_elu", L, all,
      [](const Tokens& x) { return approx::linear(x.q, x.k, x.v, {}, {}, {.threads = 1}).out; });
  add("performer_64", L, all,
      [](const Tokens& x) { return approx::performer(x.q, x.k, x.v, 64, {}, {.threads = 1}).out; });
  add("performer_256", L, all, [](const Tokens& x) {
    return approx::performer(x.q, x.k, x.v, 256, {}, {.threads = 1}).out;
  });
  add("lsh_2_rounds", L, all, [](const Tokens& x) {
    return approx::lsh(x.q, x.k, x.v, {.rounds = 2}, {}, {.threads = 1}).out;
  });
  add("lsh_8_rounds", L, all, [](const Tokens& x) {
    return approx::lsh(x.q, x.k, x.v, {.rounds = 8}, {}, {.threads = 1}).out;
  });
}

void add_causal(Index L) {
  const mask::Causal causal = mask::causal();
  add("causal_top_k_32", L, causal, [=](const Tokens& x) {
    return approx::top_k(x.q, x.k, x.v, 32, causal, {}, {.threads = 1}).out;
  });
  add("causal_low_rank_16", L, causal, [=](const Tokens& x) {
    return approx::low_rank(x.q, x.k, x.v, 16, causal, {}, {.threads = 1}).out;
  });
  add("causal_linear_elu", L, causal, [=](const Tokens& x) {
    return approx::linear(x.q, x.k, x.v, {}, causal, {.threads = 1}).out;
  });
  add("causal_performer_64", L, causal, [=](const Tokens& x) {
    return approx::performer(x.q, x.k, x.v, 64, causal, {.threads = 1}).out;
  });
  add("causal_performer_256", L, causal, [=](const Tokens& x) {
    return approx::performer(x.q, x.k, x.v, 256, causal, {.threads = 1}).out;
  });
  add("causal_lsh_4_rounds", L, causal, [=](const Tokens& x) {
    return approx::lsh(x.q, x.k, x.v, {.rounds = 4}, causal, {.threads = 1}).out;
  });
}

}  // namespace

int main(int argc, char** argv) {
  for (const Index L : {1024, 4096, 16384}) {
    const Index length = heed::bench::quick() ? L / 64 : L;
    add_whole(length);
    add_causal(length);
  }
  return heed::bench::run_rows(argc, argv, "approx",
                               [](benchmark::State&, const heed::bench::Row&) {});
}
