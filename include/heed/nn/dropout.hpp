// Dropout of features, and the one place where the seeds of a forward pass are told apart.
//
// A forward call has one seed. Each place that drops draws from words of its own:
//
//   attention weights        the call's seed itself, so heed::attention with it drops the same
//   any other DropoutSite    site_seed(seed, site)
//   block n of a stack       layer_seed(seed, n), then as above within the block
#pragma once

#include <cstdint>

#include "heed/core/parallel.hpp"
#include "heed/core/random.hpp"
#include "heed/nn/for_each_token.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::nn {

// Where a transformer block drops besides the attention weights. Srivastava et al. (2014).
enum class DropoutSite : std::uint32_t {
  attention_output = 1,     // before the residual is added
  hidden = 2,               // after the activation of the feed-forward part
  feed_forward_output = 3,  // after its second map
  cross_attention = 4,      // the seed of a decoder block's attention to memory
  embedding = 5             // the tokens of a model before its first block
};

inline namespace HEED_ABI {

// A seed that depends on `seed`, `kind` and `number`. Its counter is none that Dropout uses: those
// end in a batch index, below 2³¹.
constexpr std::uint64_t derived_seed(std::uint64_t seed, std::uint32_t kind, std::uint32_t number) {
  return low_half(philox(seed, {kind, number, 0, 0xFFFFFFFFu}));
}
constexpr std::uint64_t site_seed(std::uint64_t seed, DropoutSite site) {
  return derived_seed(seed, static_cast<std::uint32_t>(site), 0);
}
constexpr std::uint64_t layer_seed(std::uint64_t seed, Index layer) {
  return derived_seed(seed, 0, static_cast<std::uint32_t>(layer));
}

// Options of block `layer` of a stack.
inline Options layer_options(Options options, Index layer) {
  options.seed = layer_seed(options.seed, layer);
  return options;
}

// The dropout of one site, token by token: x[b, i, j] is 0 with probability p, else scaled by
// 1 / (1 − p), in Mode::train; in Mode::eval x stays. It is kept iff
// Dropout{site's seed}.keeps(b, 0, i, j).
class TokenDropout {
 public:
  TokenDropout(double p, DropoutSite site, const Options& options)
      : dropout_(Dropout::of(p, site_seed(options.seed, site))),
        active_(options.mode == Mode::train && dropout_.active()) {}

  bool active() const { return active_; }

  // `row`, packed, as token n of [B, L, features]; a dropped NaN is 0.
  template <class T>
  void operator()(T* row, Index features, Index L, Index n) const {
    if (!active_) return;
    const auto b = static_cast<std::uint32_t>(n / L), i = static_cast<std::uint32_t>(n % L);
    simd::layer_kernels<T>(isa_).drop(row, 1, features, 0, dropout_, {0, i, 0, b});
  }

  // Token n of x [B, L, features].
  template <class T>
  void operator()(const View<T, 3>& x, Index n) const {
    if (!active_) return;
    const auto word = [](Index at) { return static_cast<std::uint32_t>(at); };
    const std::uint32_t b = word(n / x.extent[1]), i = word(n % x.extent[1]);
    const auto& kernels = simd::layer_kernels<T>(isa_);
    if (x.stride[2] == 1) {
      return kernels.drop(token(x, n), 1, x.extent[2], 0, dropout_, {0, i, 0, b});
    }
    for (Index j = 0; j < x.extent[2]; ++j) {
      kernels.drop(token(x, n) + j * x.stride[2], 1, 1, 0, dropout_, {word(j), i, 0, b});
    }
  }

 private:
  Dropout dropout_;
  bool active_;
  Isa isa_ = isa();
};

// Every token of x [B, L, features] is dropped, whatever the threads. The gradient of x is that of
// the result, dropped alike.
template <class T>
void drop_into(const View<T, 3>& x, double p, DropoutSite site, const Options& options) {
  const TokenDropout dropout(p, site, options);
  if (dropout.active()) for_each_token(x, options, [&](Index n) { dropout(x, n); });
}

// weights[b, h, i, j] as attention drops them: what its values were multiplied by.
template <class T>
void drop_weights(const View<T, 4>& weights, const Dropout& dropout, const Options& options) {
  if (!dropout.active()) return;
  const Index heads = weights.extent[1], rows = weights.extent[2], keys = weights.extent[3];
  const Index tasks = weights.extent[0] * heads * rows;
  const int workers = worker_count(tasks, options.threads, options.executor);
  parallel_for(tasks, workers, options.executor, [&](Index task, int) {
    const Index b = task / rows / heads, h = task / rows % heads, i = task % rows;
    for (Index j = 0; j < keys; ++j) {
      T& weight = weights(b, h, i, j);
      const bool kept = dropout.keeps(static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(h),
                                      static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j));
      const auto scaled = static_cast<Accum<T>>(weight) * static_cast<Accum<T>>(dropout.keep_scale);
      weight = kept ? static_cast<T>(scaled) : T(0);
    }
  });
}

// Throws heed::Error unless p is in [0, 1].
inline void check_dropout(const char* call, double p) {
  if (is_finite(p) && p >= 0 && p <= 1) return;
  throw Error(std::string(call) + ": dropout " + std::to_string(p) + " is outside [0, 1]");
}

}  // namespace HEED_ABI
}  // namespace heed::nn
