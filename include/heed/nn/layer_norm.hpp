// y = (x − mean) / sqrt(variance + eps) · weight + bias, token by token.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "heed/nn/options.hpp"
#include "heed/nn/parameter.hpp"
#include "heed/nn/tokens.hpp"

namespace heed::nn {

struct LayerNormOptions {
  double eps = 1e-5;  // added to the variance
};

inline namespace HEED_ABI {

// Σ f(row[j]) in double, in an order of lanes that is the same for every row.
template <class T, class F>
double lane_sum(const T* row, Index size, const F& f) {
  constexpr Index lanes = 8;
  double sum[lanes] = {};
  const Index whole = size / lanes * lanes;
  for (Index j = 0; j < whole; j += lanes) {
    for (Index lane = 0; lane < lanes; ++lane) sum[lane] += f(static_cast<double>(row[j + lane]));
  }
  for (Index j = whole; j < size; ++j) sum[j - whole] += f(static_cast<double>(row[j]));
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

// row = (row − mean) / sqrt(variance + eps) · weight + bias, mean and biased variance in double.
template <class T>
void normalise_row(T* row, Index size, const T* weight, const T* bias, double eps) {
  const double n = static_cast<double>(size);
  const double mean = lane_sum(row, size, [](double x) { return x; }) / n;
  const double variance =
      lane_sum(row, size, [&](double x) { return (x - mean) * (x - mean); }) / n;
  const double factor = 1 / std::sqrt(variance + eps);
  for (Index j = 0; j < size; ++j) {
    row[j] = static_cast<T>((static_cast<double>(row[j]) - mean) * factor) * weight[j] + bias[j];
  }
}

}  // namespace HEED_ABI

// Ba, Kiros, Hinton, Layer Normalization (2016), equation 4.
template <class T>
class LayerNorm {
 public:
  // Throws heed::Error unless eps is finite and at least 0.
  explicit LayerNorm(Index features, const LayerNormOptions& options = {})
      : weight_(Parameter<T>::constant(features, T(1))),
        bias_(Parameter<T>::constant(features, T(0))),
        eps_(options.eps) {
    if (is_finite(eps_) && eps_ >= 0) return;
    throw Error("heed::nn::LayerNorm: eps " + std::to_string(eps_) + " is negative or not finite");
  }

  Index features() const { return weight_.value.rows(); }
  double eps() const { return eps_; }

  // The normalised x [B, L, features] or [L, features], of x's kind; variance is the biased one.
  // Throws heed::Error where x has another number of features.
  template <Tokens X>
  auto forward(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, features(), "heed::nn::LayerNorm::forward");
    auto y = make_tokens(x, features());
    forward_into(made_view<X>(y), tokens, options);
    return y;
  }

  // y [B, L, features] may be x.
  void forward_into(const View<T, 3>& y, const View<const T, 3>& x, const Options& options) const {
    constexpr Index rows = 64;  // a task: some microseconds
    const Index tokens = features() == 0 ? 0 : token_count(x);
    const Index tasks = (tokens + rows - 1) / rows;
    const int workers = worker_count(tasks, options.threads, options.executor);
    parallel_for(tasks, workers, options.executor, [&](Index task, int) {
      std::vector<T> row(static_cast<std::size_t>(features()));
      for (Index n = task * rows; n < std::min(tokens, (task + 1) * rows); ++n) {
        read_token(x, n, row.data());
        normalise_row(row.data(), features(), weight_.value.data(), bias_.value.data(), eps_);
        write_token(y, n, row.data());
      }
    });
  }

  // Names: weight, bias.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    visit(prefix + "weight", self.weight_);
    visit(prefix + "bias", self.bias_);
  }

 private:
  Parameter<T> weight_;
  Parameter<T> bias_;
  double eps_;
};

}  // namespace heed::nn
