// Choosing an approximation: each of them on the same text of 4096 tokens, its time beside exact
// attention's and how far off it is. The best one depends on the tokens: measure on your own.
#include <algorithm>
#include <chrono>
#include <heed/heed.hpp>
#include <iomanip>
#include <iostream>

namespace approx = heed::approx;
using heed::Index;
using Tensor = heed::Tensor4<float>;

namespace {

template <class Call>
auto show(const char* name, const Tensor* exact, const Call& call) {
  using Clock = std::chrono::steady_clock;
  Tensor out;
  double best = 1e9;
  for (int turn = 0; turn < 3; ++turn) {
    const auto start = Clock::now();
    out = call().out;
    best = std::min(best, std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  std::cout << std::setw(22) << name << std::setw(9) << best << " ms";
  if (exact != nullptr) std::cout << "   " << approx::compare(*exact, out);
  std::cout << '\n';
  return out;
}

// Tokens of 32 topics, 64 of one after each other: near within a topic, as trained tokens are.
Tensor tokens(Index L, float noise) {
  Tensor topics(1, 1, 32, 64), x(1, 1, L, 64);
  for (Index n = 0; n < topics.size(); ++n) {
    topics.data()[n] = static_cast<float>(approx::gaussian(1, n, 0));
  }
  for (Index i = 0; i < L; ++i) {
    for (Index d = 0; d < 64; ++d) {
      x(0, 0, i, d) = topics(0, 0, i / 64 % 32, d) +
                      noise * static_cast<float>(approx::gaussian(2, i * 64 + d, 0));
    }
  }
  return x;
}

}  // namespace

int main() {
  const Index L = 4096;
  const Tensor x = tokens(L, 0.5f), q = x * 0.5f;
  std::cout << std::setprecision(3);
  const Tensor exact = show("exact", nullptr, [&] { return heed::attention(q, x, x); });

  // The same softmax over fewer keys: the error is the weight of those left out.
  show("top_k, 128 keys", &exact, [&] { return approx::top_k(q, x, x, 128); });
  show("lsh, 4 rounds", &exact, [&] { return approx::lsh(q, x, x, {.buckets = 32}); });

  // The matrix of scores, or of weights, from less: for keys that lie in few directions.
  show("low_rank, 32 of 64", &exact, [&] { return approx::low_rank(q, x, x, 32); });
  show("nystrom, 64 landmarks", &exact, [&] { return approx::nystrom(q, x, x, 64); });
  const auto e = approx::linformer_projection<float>(L, 256, 3);
  show("linformer, 256", &exact, [&] { return approx::linformer(q, x, x, e, e); });

  // Linear in the length. Performers estimate the softmax; linear attention and Linformer are other
  // functions, for models that were trained with them.
  show("performer, 256", &exact, [&] { return approx::performer(q, x, x, 256); });
  show("linear", &exact, [&] { return approx::linear(q, x, x); });
}
