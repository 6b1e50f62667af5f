// report: one call that looks at one call of attention, from its shapes to its output.
//
// Every number comes from the textbook code, so it shows what attention should do with these
// inputs; what the fast path does is compared with it by the tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "heed/attention/reference/forward.hpp"
#include "heed/core/abi.hpp"
#include "heed/core/copy.hpp"
#include "heed/inspect/diagnose.hpp"
#include "heed/inspect/report_data.hpp"
#include "heed/mask/dense.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

namespace scan {

template <class T>
bool is_zero_row(const View<const T, 4>& x, Index b, Index h, Index j) {
  for (Index d = 0; d < x.extent[3]; ++d) {
    if (static_cast<double>(x(b, h, j, d)) != 0) return false;
  }
  return true;
}

// q·k as heed sums it, in R, and in double.
template <class R>
struct Dot {
  R summed = 0;
  double exact = 0;
  bool finite_inputs = true;
};

template <class T>
Dot<Accum<T>> dot_of(const Problem<T>& p, Index b, Index h, Index i, Index j) {
  using R = Accum<T>;
  Dot<R> dot;
  const Index kv_head = h / p.shape.group();
  for (Index d = 0; d < p.shape.D; ++d) {
    const R x = static_cast<R>(p.q(b, h, i, d)), y = static_cast<R>(p.k(b, kv_head, j, d));
    dot.summed += x * y;
    dot.exact += static_cast<double>(x) * static_cast<double>(y);
    dot.finite_inputs = dot.finite_inputs && is_finite(x) && is_finite(y);
  }
  return dot;
}

// One query of one head: its scores at every stage, and whom it sees. Returns how many keys.
template <class T, class M, class S>
Index row(const Problem<T>& p, Index b, Index h, int i, const M& mask, const S& score, Report& r,
          std::vector<bool>& key_seen) {
  using R = Accum<T>;
  const Index own = i + p.shape.end_offset();
  Index seen = 0, shown = 0;
  for (int j = 0; j < p.shape.Lk; ++j) {
    const Dot<R> dot = dot_of(p, b, h, i, j);
    const R scaled = static_cast<R>(p.scale) * dot.summed;
    const R modified = static_cast<R>(score.value(scaled, i, j));
    const bool allowed = mask.allows(i, j), visible = allowed && !is_masked(modified);
    r.raw.add(dot.exact);
    r.overflowed += dot.finite_inputs && !is_finite(scaled) ? 1 : 0;
    r.scaled.add(p.scale * dot.exact);
    r.modified.add(static_cast<double>(modified));
    if (!allowed) ++r.mask.hidden_by_mask;
    if (allowed && !visible) ++r.mask.hidden_by_score;
    ++(j < own ? r.mask.before : j == own ? r.mask.own : r.mask.after);
    if (j == own + 1) ++r.mask.next;
    shown += allowed ? 1 : 0;
    if (!visible) continue;
    ++seen;
    key_seen[static_cast<std::size_t>(j)] = true;
    r.attended.add(static_cast<double>(modified));
    ++(j < own ? r.mask.seen_before : j == own ? r.mask.seen_own : r.mask.seen_after);
    if (j == own + 1) ++r.mask.seen_next;
  }
  r.mask.seen += seen;
  r.mask.fully_masked_rows += seen == 0 ? 1 : 0;
  r.mask.fully_masked_by_score += seen == 0 && shown > 0 ? 1 : 0;
  r.mask.full_rows += seen == p.shape.Lk ? 1 : 0;
  return seen;
}

// Fills what there is to say about scores and mask; returns the keys each row sees [B·Hq·Lq].
template <class T, class M, class S>
std::vector<Index> scores(const Problem<T>& p, const M& mask, const S& score, Report& r) {
  const Shape& shape = p.shape;
  r.mask.rows = shape.B * shape.Hq * shape.Lq;
  r.mask.pairs = r.mask.rows * shape.Lk;
  std::vector<Index> keys_seen;
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      const auto bound_mask = mask::bind(mask, shape, b, h);
      const auto bound_score = score::bind(score, shape, b, h);
      std::vector<bool> key_seen(static_cast<std::size_t>(shape.Lk));
      for (int i = 0; i < shape.Lq; ++i) {
        keys_seen.push_back(row(p, b, h, i, bound_mask, bound_score, r, key_seen));
      }
      const Index kv_head = h / shape.group();
      for (Index j = 0; j < shape.Lk && shape.Lq > 0; ++j) {
        const bool seen = key_seen[static_cast<std::size_t>(j)];
        const bool zero = is_zero_row(p.k, b, kv_head, j) && is_zero_row(p.v, b, kv_head, j);
        if (seen && zero) ++r.mask.zero_keys_seen;
        if (!seen && !zero) ++r.mask.real_keys_unseen;
      }
    }
  }
  return keys_seen;
}

template <class W>
WeightsReport weights(const View<const W, 4>& w, const std::vector<Index>& keys_seen) {
  WeightsReport report;
  double peaks = 0;
  Index rows_with_choice = 0;
  auto seen = keys_seen.begin();
  for_each_row(w, [&](Index b, Index h, Index i) {
    double sum = 0, peak = 0;
    for (Index j = 0; j < w.extent[3]; ++j) {
      const double weight = static_cast<double>(w(b, h, i, j));
      report.values.add(weight);
      sum += weight;
      peak = std::max(peak, weight);
    }
    if (sum != 0) report.row_sums.add(sum);
    if (*seen++ >= 2) peaks += peak, ++rows_with_choice;
  });
  report.mean_peak = rows_with_choice == 0 ? 0 : peaks / static_cast<double>(rows_with_choice);
  return report;
}

// "[1,1,6]" of a dense mask, as it was passed; of a rule, what it is computed over.
template <class M>
std::string mask_shape(const M&, const std::string& scores_shape) {
  if constexpr (std::is_same_v<M, mask::None>) return "none";
  return "a rule over " + scores_shape;
}

template <class T>
std::string mask_shape(const mask::Dense<T>& dense, const std::string&) {
  const auto& e = dense.tensor.view.extent;  // [B, H, Lq, Lk], as core/broadcast.hpp lifts it
  const auto text = [](std::initializer_list<Index> extents) {
    std::string shape;
    for (const Index n : extents) shape += (shape.empty() ? "[" : ",") + std::to_string(n);
    return shape + "]";
  };
  if (dense.tensor.rank == 4) return text({e[0], e[1], e[2], e[3]});
  if (dense.tensor.rank == 3) {
    return text({dense.tensor.meaning == axes::heads ? e[1] : e[0], e[2], e[3]});
  }
  return text({dense.tensor.meaning == axes::keys ? e[0] : e[2], e[3]});
}

// The likely mistake behind the shapes of a refused call.
template <class T>
std::vector<std::string> shape_findings(const View<const T, 4>& q, const View<const T, 4>& k,
                                        const View<const T, 4>& v) {
  std::vector<std::string> found;
  if (v.extent[2] == q.extent[2] && v.extent[2] != k.extent[2] && k.extent[3] == q.extent[3]) {
    found.emplace_back("q and k look exchanged: v is as long as q, and values belong to keys");
  }
  if (k.extent[0] == v.extent[2] && k.extent[2] == q.extent[0] && k.extent[0] != q.extent[0]) {
    found.emplace_back(
        "k looks transposed: its first and its second last dimension are exchanged, "
        "as by .T or transpose(0, 1)");
  }
  return found;
}

}  // namespace scan

// Looks at attention(q, k, v, mask, score, options) in full; print it or read its members.
//
//   q    [B, Hq,  Lq, D]     or rank 3 or 2, as for attention
//   k    [B, Hkv, Lk, D]
//   v    [B, Hkv, Lk, Dv]
//
// Does not throw where attention does: the reason is in `error`, its explanation in `findings`. It
// says what the inputs, mask and scale do; what other code made of them is told by explain_weights
// and explain_output.
// One thread, O(Lq·Lk) memory: for looking, not for running.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S> Report report(const Q& q, const K& k, const V& v,
                                                 const M& mask = {}, const S& score = {},
                                                 const Options& options = {}) {
  using T = ScalarOf<Q>;
  Report r;
  r.element = Element<T>::name;
  r.element_max = static_cast<double>(std::numeric_limits<T>::max());
  r.q_shape = to_string(view_of(q)), r.k_shape = to_string(view_of(k)),
  r.v_shape = to_string(view_of(v));
  r.sum_type = Element<Accum<T>>::name;
  try {
    r.shape = check_call("heed::inspect::report", q, k, v, as_mask(mask), as_score(score), options);
  } catch (const Error& error) {
    r.error = error.what();
    r.shape.D = lift(view_of(q)).extent[3];
    r.shape.Lk = lift(view_of(k)).extent[2];
    r.mask_shape = scan::mask_shape(as_mask(mask), "scores");
    r.findings = diagnose(r);
    const auto q4 = lift(view_of(q)), k4 = lift(view_of(k)), v4 = lift(view_of(v));
    for (const std::string& finding : scan::shape_findings(q4, k4, v4)) {
      r.findings.push_back(finding);
    }
    return r;
  }
  r.scale = scale_of(options, r.shape);
  r.default_scale = scale_of({}, r.shape);
  r.q = summarize(view_of(q)), r.k = summarize(view_of(k)), r.v = summarize(view_of(v));
  const auto keys_seen =
      scan::scores(make_problem(q, k, v, r.shape, options), as_mask(mask), as_score(score), r);
  const auto textbook = reference::attention(q, k, v, mask, score, options);
  r.scores_shape = to_string(view_of(textbook.weights));
  r.out_shape = to_string(view_of(textbook.out));
  r.mask_shape = scan::mask_shape(as_mask(mask), r.scores_shape);
  r.weights = scan::weights(lift(view_of(textbook.weights)), keys_seen);
  r.weights.sinks = !options.sinks.empty();
  r.out = summarize(view_of(textbook.out));
  r.findings = diagnose(r);
  return r;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
