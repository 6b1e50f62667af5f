// report: one call that looks at one call of attention, from its shapes to its output.
//
// Every number comes from the textbook code, so it shows what attention should do with these
// inputs; what the fast path does is compared with it by the tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "heed/attention/reference.hpp"
#include "heed/core/abi.hpp"
#include "heed/inspect/diagnose.hpp"
#include "heed/inspect/report_data.hpp"

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

// One query of one head: its scores at every stage, and whom it sees. Returns how many keys.
template <class T, class M, class S>
Index row(const Problem<T>& p, Index b, Index h, int i, const M& mask, const S& score, Report& r,
          std::vector<bool>& key_seen) {
  using R = Accum<T>;
  const Index kv_head = h / p.shape.group();
  const Index own = i + p.shape.end_offset();
  Index seen = 0;
  for (int j = 0; j < p.shape.Lk; ++j) {
    double dot = 0;
    for (Index d = 0; d < p.shape.D; ++d) {
      dot += static_cast<double>(p.q(b, h, i, d)) * static_cast<double>(p.k(b, kv_head, j, d));
    }
    const R modified = static_cast<R>(score.value(static_cast<R>(p.scale * dot), i, j));
    const bool allowed = mask.allows(i, j), visible = allowed && !is_masked(modified);
    r.raw.add(dot);
    r.scaled.add(p.scale * dot);
    r.modified.add(static_cast<double>(modified));
    if (!allowed) ++r.mask.hidden_by_mask;
    if (allowed && !visible) ++r.mask.hidden_by_score;
    if (j == own) ++r.mask.own;
    if (!visible) continue;
    ++seen;
    key_seen[static_cast<std::size_t>(j)] = true;
    r.attended.add(static_cast<double>(modified));
    ++(j < own ? r.mask.seen_before : j == own ? r.mask.seen_own : r.mask.seen_after);
  }
  r.mask.seen += seen;
  r.mask.blind_rows += seen == 0 ? 1 : 0;
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
  for (Index b = 0; b < w.extent[0]; ++b) {
    for (Index h = 0; h < w.extent[1]; ++h) {
      for (Index i = 0; i < w.extent[2]; ++i) {
        double sum = 0, peak = 0;
        for (Index j = 0; j < w.extent[3]; ++j) {
          const double weight = static_cast<double>(w(b, h, i, j));
          report.values.add(weight);
          sum += weight;
          peak = std::max(peak, weight);
        }
        if (sum != 0) report.row_sums.add(sum);
        if (*seen++ >= 2) peaks += peak, ++rows_with_choice;
      }
    }
  }
  report.mean_peak = rows_with_choice == 0 ? 0 : peaks / static_cast<double>(rows_with_choice);
  return report;
}

}  // namespace scan

// Looks at attention(q, k, v, mask, score, options) in full; print it or read its members.
//
//   q    [B, Hq,  Lq, D]     or rank 3 or 2, as for attention
//   k    [B, Hkv, Lk, D]
//   v    [B, Hkv, Lk, Dv]
//
// Does not throw where attention does: the reason is in `error`, its explanation in `findings`.
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
  try {
    r.shape = check_call("heed::inspect::report", q, k, v, as_mask(mask), as_score(score), options);
  } catch (const Error& error) {
    r.error = error.what();
    r.shape.D = lift(view_of(q)).extent[3];
    r.shape.Lk = lift(view_of(k)).extent[2];
    r.findings = diagnose(r);
    return r;
  }
  r.scale = scale_of(options, r.shape);
  r.default_scale = scale_of({}, r.shape);
  r.q = summarize(view_of(q)), r.k = summarize(view_of(k)), r.v = summarize(view_of(v));
  const auto keys_seen =
      scan::scores(make_problem(q, k, v, r.shape, options), as_mask(mask), as_score(score), r);
  const auto textbook = reference::attention(q, k, v, mask, score, options);
  r.weights = scan::weights(lift(view_of(textbook.weights)), keys_seen);
  r.out = summarize(view_of(textbook.out));
  r.findings = diagnose(r);
  return r;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
