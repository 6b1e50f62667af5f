// gradient_flow: one call that looks at the gradients of one call of attention.
//
// Every number comes from the textbook code in the type that heed sums in, so it shows what the
// gradients of these inputs are; attention_backward is compared with it by the tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "heed/attention/reference/backward.hpp"
#include "heed/core/abi.hpp"
#include "heed/core/copy.hpp"
#include "heed/inspect/diagnose_gradients.hpp"
#include "heed/inspect/gradient_flow_data.hpp"
#include "heed/inspect/report.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

namespace flow {

template <class R>
double norm_of(const View<const R, 4>& x) {
  double squares = 0;
  for_each_row(x, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < x.extent[3]; ++d)
      squares += std::pow(static_cast<double>(x(b, h, i, d)), 2);
  });
  return std::sqrt(squares);
}

// Of a gradient in R, that T will hold.
template <class T, class R>
GradientNorms norms_of(const View<const R, 4>& x) {
  GradientNorms g{.by_position = HeadRows(x.extent[1], x.extent[2]), .values = summarize(x)};
  const auto largest = static_cast<double>(std::numeric_limits<T>::max());
  for_each_row(x, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < x.extent[3]; ++d) {
      const auto value = static_cast<double>(x(b, h, i, d));
      g.by_position.at(h, i) += value * value;
      g.underflows += value != 0 && static_cast<double>(static_cast<T>(x(b, h, i, d))) == 0 ? 1 : 0;
      g.overflows += is_finite(value) && std::abs(value) > largest ? 1 : 0;
    }
  });
  for (double& squares : g.by_position.values) squares = std::sqrt(squares);
  g.norm = norm_of(x);
  return g;
}

// d_out of the loss: 1 in the rows whose sum it is.
template <class T>
void fill_d_out(const View<T, 4>& d_out, Index row) {
  for_each_row(d_out, [&](Index b, Index h, Index i) {
    const T one(row == every_row || row == i ? 1.0F : 0.0F);
    for (Index d = 0; d < d_out.extent[3]; ++d) d_out(b, h, i, d) = one;
  });
}

// ‖dS‖² of a row whose weights are even over the keys that it sees.
template <class T, class R>
double even_row(const Problem<T>& p, const View<const T, 4>& d_out, Index b, Index h, Index i,
                const View<const R, 4>& modified) {
  std::vector<double> d_p;
  double mean = 0;
  for (Index j = 0; j < p.shape.Lk; ++j) {
    if (is_masked(modified(b, h, i, j))) continue;
    double dot = 0;
    for (Index d = 0; d < p.shape.Dv; ++d) {
      dot += static_cast<double>(d_out(b, h, i, d)) *
             static_cast<double>(p.v(b, h / p.shape.group(), j, d));
    }
    d_p.push_back(dot);
    mean += dot;
  }
  const auto keys = static_cast<double>(d_p.size());
  double squares = 0;
  for (const double x : d_p) squares += std::pow((x - mean / keys) / keys, 2);
  return squares;
}

// Shares of a gradient that softmax and score let through, over all rows of the loss.
//   d_scores, scores, modified  [B, Hq, Lq, Lk]
template <class T, class R, class S>
void pass_through(const Problem<T>& p, const View<const T, 4>& d_out, const S& score,
                  const View<const R, 4>& d_scores, const View<const R, 4>& scores,
                  const View<const R, 4>& modified, GradientFlow& f) {
  double after = 0, before = 0, even = 0;
  for_each_row(d_scores, [&](Index b, Index h, Index i) {
    const auto bound = score::bind(score, p.shape, b, h);
    even += even_row(p, d_out, b, h, i, modified);
    for (Index j = 0; j < p.shape.Lk; ++j) {
      if (is_masked(modified(b, h, i, j))) continue;
      const auto d_s = static_cast<double>(d_scores(b, h, i, j));
      const R slope =
          bound.derivative(scores(b, h, i, j), static_cast<int>(i), static_cast<int>(j));
      after += d_s * d_s;
      before += std::pow(d_s * static_cast<double>(slope), 2);
    }
  });
  f.through_softmax = even > 0 ? std::sqrt(after / even) : 1;
  f.through_score = after > 0 ? std::sqrt(before / after) : 1;
}

// Mean weights and mean largest weight of the loss's rows.
//   weights  [B, Hq, Lq, Lk]
template <class R>
void add_weights(const View<const R, 4>& weights, GradientFlow& f) {
  f.weights = HeadRows(weights.extent[1], weights.extent[3]);
  const Index rows = weights.extent[0] * (f.row == every_row ? weights.extent[2] : 1);
  Index seeing = 0;
  for_each_row(weights, [&](Index b, Index h, Index i) {
    if (f.row != every_row && f.row != i) return;
    double peak = 0;
    for (Index j = 0; j < weights.extent[3]; ++j) {
      const auto weight = static_cast<double>(weights(b, h, i, j));
      f.weights.at(h, j) += weight / static_cast<double>(rows);
      peak = std::max(peak, weight);
    }
    f.mean_peak += peak;
    seeing += peak > 0 ? 1 : 0;
  });
  if (seeing > 0) f.mean_peak /= static_cast<double>(seeing);
}

// Counts keys that are seen, and of these the ones that hardly get a gradient.
inline void count_silent_keys(GradientFlow& f) {
  constexpr double share = 1e-3;
  const HeadRows &k = f.d_k.by_position, &v = f.d_v.by_position;
  const Index group = k.heads == 0 ? 1 : f.weights.heads / k.heads;
  for (Index h = 0; h < k.heads; ++h) {
    double most_k = 0, most_v = 0;
    for (Index j = 0; j < k.positions; ++j) {
      most_k = std::max(most_k, k.at(h, j)), most_v = std::max(most_v, v.at(h, j));
    }
    for (Index j = 0; j < k.positions; ++j) {
      double seen = 0;
      for (Index g = 0; g < group; ++g) seen += f.weights.at(h * group + g, j);
      if (seen == 0) continue;
      ++f.seen_keys;
      const bool silent = k.at(h, j) < share * most_k && v.at(h, j) < share * most_v;
      f.silent_keys += silent ? 1 : 0;
    }
  }
}

}  // namespace flow

// Looks at the gradients of Σ out[.., row, :], where out = attention(q, k, v, mask, score,
// options).out, or of the sum of all rows; print it or read its members.
//
//   q    [B, Hq,  Lq, D]     or rank 3 or 2, as for attention
//   k    [B, Hkv, Lk, D]
//   v    [B, Hkv, Lk, Dv]
//   row  0 … Lq − 1, or every_row
//
// Norms are by head and position: d_q is 0 but for `row`; d_v is the weight times √Dv, where one
// query sees a key and nothing is dropped; d_k is not proportional to it. Throws heed::Error for a
// row that is not there; what attention refuses is in forward.error. The score needs a derivative.
// One thread, O(Lq·Lk) memory: for looking, not for running.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S> && RightGradientTypes<Q, Q, S> GradientFlow
gradient_flow(const Q& q, const K& k, const V& v, Index row = every_row, const M& mask = {},
              const S& score = {}, const Options& options = {}) {
  using T = ScalarOf<Q>;
  using R = Accum<T>;
  GradientFlow f{.forward = report(q, k, v, mask, score, options), .row = row};
  f.findings = f.forward.findings;
  if (!f.forward.error.empty()) return f;
  const Shape& shape = f.forward.shape;
  require(row == every_row || (row >= 0 && row < shape.Lq), "heed::inspect::gradient_flow",
          "row must be one of out, or every_row",
          [&] { return "row " + std::to_string(row) + ", out " + f.forward.out_shape; });
  auto d_out = make_like<T>(q, shape);
  const auto d_o = lift(TraitsOf<Q>::template owned_view<T>(d_out));
  flow::fill_d_out(d_o, row);
  f.d_out = summarize(d_o.as_const());
  f.d_out_norm = flow::norm_of(d_o.as_const());

  const auto textbook = reference::attention<R>(q, k, v, mask, score, options);
  const auto g = reference::attention_backward<R>(d_out, q, k, v, mask, score, options);
  f.d_q = flow::norms_of<T>(lift(view_of(g.d_q)));
  f.d_k = flow::norms_of<T>(lift(view_of(g.d_k)));
  f.d_v = flow::norms_of<T>(lift(view_of(g.d_v)));
  flow::add_weights(lift(view_of(textbook.weights)), f);
  flow::pass_through(make_problem(q, k, v, shape, options), d_o.as_const(), as_score(score),
                     lift(view_of(g.d_scores)), lift(view_of(textbook.scores)),
                     lift(view_of(textbook.modified_scores)), f);
  flow::count_silent_keys(f);
  f.findings = diagnose(f);
  return f;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
