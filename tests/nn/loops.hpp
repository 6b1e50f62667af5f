// The modules again, as slow obvious loops in double, for the tests to compare with; and inputs.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/core/random.hpp"
#include "heed/nn/parameter.hpp"
#include "support/error.hpp"
#include "support/same_bits.hpp"

namespace nn_test {

using heed::Index;
using heed::test::error_of;
using heed::test::same_bits;
using Rows = std::vector<std::vector<double>>;  // [tokens][features]

// Numbers in (−1, 1) that depend on the seed alone.
template <class T>
heed::Tensor3<T> tokens(Index B, Index L, Index features, std::uint64_t seed) {
  heed::Tensor3<T> x(B, L, features);
  for (Index n = 0; n < x.size(); ++n) {
    const auto word = heed::philox(seed, {static_cast<std::uint32_t>(n), 0, 0, 0})[0];
    x.data()[n] = static_cast<T>(word / 2147483648.0 - 1);
  }
  return x;
}

template <class T>
Rows rows_of(const heed::Tensor3<T>& x, Index b) {
  Rows rows;
  for (Index i = 0; i < x.dimension(1); ++i) {
    rows.emplace_back();
    for (Index j = 0; j < x.dimension(2); ++j)
      rows.back().push_back(static_cast<double>(x(b, i, j)));
  }
  return rows;
}

// Parameters of a module by name, in double.
using Weights = std::map<std::string, Eigen::MatrixXd>;

template <class Module>
Weights weights_of(const Module& module) {
  Weights weights;
  heed::nn::each_parameter(module, [&](const std::string& name, const auto& parameter) {
    weights[name] = parameter.value.template cast<double>();
  });
  return weights;
}

// Gives every parameter, gains and shifts too, numbers in (−size, size).
template <class Module>
void scatter(Module& module, double size, std::uint64_t seed) {
  heed::nn::each_parameter(module, [&](const std::string&, auto& parameter) {
    ++seed;
    for (Index n = 0; n < parameter.size(); ++n) {
      const auto word = heed::philox(seed, {static_cast<std::uint32_t>(n), 1, 0, 0})[0];
      using T = typename std::remove_reference_t<decltype(parameter.value)>::Scalar;
      const double number = size * (word / 2147483648.0 - 1);
      parameter.value.data()[n] = static_cast<T>(static_cast<float>(number));
    }
  });
}

inline Rows linear(const Rows& x, const Weights& weights, const std::string& name) {
  const Eigen::MatrixXd& weight = weights.at(name + "weight");
  const auto bias = weights.find(name + "bias");
  Rows y;
  for (const auto& row : x) {
    y.emplace_back();
    for (Index o = 0; o < weight.rows(); ++o) {
      double sum = bias == weights.end() ? 0 : bias->second(o, 0);
      for (Index i = 0; i < weight.cols(); ++i)
        sum += row[static_cast<std::size_t>(i)] * weight(o, i);
      y.back().push_back(sum);
    }
  }
  return y;
}

inline Rows layer_norm(Rows x, const Weights& weights, const std::string& name, double eps) {
  const Eigen::MatrixXd& gain = weights.at(name + "weight");
  const Eigen::MatrixXd& shift = weights.at(name + "bias");
  for (auto& row : x) {
    const double n = static_cast<double>(row.size());
    double mean = 0, variance = 0;
    for (const double value : row) mean += value / n;
    for (const double value : row) variance += (value - mean) * (value - mean) / n;
    for (std::size_t j = 0; j < row.size(); ++j) {
      const Index at = static_cast<Index>(j);
      row[j] = (row[j] - mean) / std::sqrt(variance + eps) * gain(at, 0) + shift(at, 0);
    }
  }
  return x;
}

inline double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

inline Rows feed_forward(const Rows& x, const Weights& weights, const std::string& name) {
  Rows hidden = linear(x, weights, name + "first.");
  for (auto& row : hidden) {
    for (double& value : row) value = gelu(value);
  }
  return linear(hidden, weights, name + "second.");
}

// Softmax attention of one head of `group` that share a key head; `sees(i, j)` is the mask.
template <class Sees>
Rows attention(const Rows& query, const Rows& key, const Rows& value, const Weights& weights,
               const std::string& name, std::size_t heads, std::size_t kv_heads, const Sees& sees) {
  const Rows q = linear(query, weights, name + "query.");
  const Rows k = linear(key, weights, name + "key.");
  const Rows v = linear(value, weights, name + "value.");
  const std::size_t dim = q[0].size() / heads;
  const auto sinks = weights.find(name + "sinks");
  Rows context(q.size(), std::vector<double>(q[0].size(), 0.0));
  for (std::size_t h = 0; h < heads; ++h) {
    const std::size_t kv = h / (heads / kv_heads);
    for (std::size_t i = 0; i < q.size(); ++i) {
      std::vector<double> weight(k.size(), 0.0);
      double sum = sinks == weights.end() ? 0 : std::exp(sinks->second(static_cast<Index>(h), 0));
      for (std::size_t j = 0; j < k.size(); ++j) {
        if (!sees(i, j)) continue;
        double dot = 0;
        for (std::size_t d = 0; d < dim; ++d) dot += q[i][h * dim + d] * k[j][kv * dim + d];
        weight[j] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
        sum += weight[j];
      }
      for (std::size_t j = 0; j < k.size(); ++j) {
        if (sum == 0) continue;
        for (std::size_t d = 0; d < dim; ++d) {
          context[i][h * dim + d] += weight[j] / sum * v[j][kv * dim + d];
        }
      }
    }
  }
  return linear(context, weights, name + "output.");
}

// The largest difference between batch b of x and rows.
template <class T>
double difference(const heed::Tensor3<T>& x, Index b, const Rows& rows) {
  double worst = x.dimension(1) == static_cast<Index>(rows.size()) ? 0 : INFINITY;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows[i].size(); ++j) {
      const double value = static_cast<double>(x(b, static_cast<Index>(i), static_cast<Index>(j)));
      const double gap = std::abs(value - rows[i][j]);
      if (!(gap <= worst)) worst = gap;
    }
  }
  return worst;
}

}  // namespace nn_test
