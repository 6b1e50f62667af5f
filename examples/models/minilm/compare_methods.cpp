#include "models/minilm/compare_methods.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "heed/heed.hpp"

namespace heed::models::minilm {
namespace {

// The shortest of three runs, in seconds, and the last run's result.
template <class Call>
std::pair<double, Tensor4<float>> timed(const Call& call) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  Tensor4<float> out;
  for (int run = 0; run < 3; ++run) {
    const auto start = Clock::now();
    out = call().out;
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return {std::max(best, 1e-9), std::move(out)};
}

}  // namespace

std::vector<Measured> compare_methods(const TextInputs& inputs, int threads) {
  const Tensor4<float>&q = inputs.q, &k = inputs.k, &v = inputs.v;
  const Index tokens = q.dimension(2), dim = q.dimension(3);
  const approx::Options options{.threads = threads};
  const auto exact = timed([&] { return attention(q, k, v, {}, {}, {.threads = threads}); });
  std::vector<Measured> all;
  const auto add = [&](const char* method, Index setting, Index most, const auto& call) {
    if (setting > most) return;
    const auto approximate = timed(call);
    all.push_back({method, setting == 0 ? "" : std::to_string(setting),
                   approx::compare(exact.second, approximate.second).relative,
                   exact.first / approximate.first});
  };
  for (const Index n : {16, 64, 256}) {
    add("top_k, keys", n, tokens, [&] { return approx::top_k(q, k, v, n, {}, {}, options); });
  }
  for (const Index n : {1, 2, 4, 8}) {
    add("lsh, rounds", n, n, [&] { return approx::lsh(q, k, v, {.rounds = n}, {}, options); });
  }
  for (const Index n : {4, 8, 16, 24}) {
    add("low_rank, rank", n, dim - 1,
        [&] { return approx::low_rank(q, k, v, n, {}, {}, {.threads = threads}); });
  }
  for (const Index n : {16, 32, 64, 128}) {
    add("nystrom, landmarks", n, tokens,
        [&] { return approx::nystrom(q, k, v, n, {}, {.threads = threads}); });
  }
  for (const Index n : {32, 128, 512}) {
    const auto e = approx::linformer_projection<float>(tokens, n, 1);  // [tokens, n], not timed
    add("linformer, rank", n, tokens,
        [&] { return approx::linformer(q, k, v, e, e, {}, options); });
  }
  for (const Index n : {32, 128, 512}) {
    add("performer, features", n, n,
        [&] { return approx::performer(q, k, v, n, {}, {.threads = threads}); });
  }
  add("linear", 0, 0, [&] { return approx::linear(q, k, v, {}, {}, {.threads = threads}); });
  return all;
}

}  // namespace heed::models::minilm
