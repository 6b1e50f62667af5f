// Describe: the pattern a matrix of attention weights shows, in a word and with its numbers.
//
// Four measures of a heat map (diagonal, uniform, sparse, causal), each
// with a documented threshold, so that a thousand heads can be sorted without looking at them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/inspect/names.hpp"
#include "heed/plot/cells.hpp"

namespace heed::inspect {

// When a measure names its pattern.
struct PatternThresholds {
  double diagonal = 0.5;  // mean weight on the aligned diagonal, at least
  double uniform = 0.99;  // mean entropy over that of equal weights, at least
  double sparse = 0.9;    // mean share of a row's two largest weights, at least
  double causal = 1e-6;   // largest weight on a later key, at most
};

// The four measures of weights [Lq, Lk] and the names they earn. A query's own position is aligned
// to the end of the keys: query i stands at key i + Lk − Lq.
struct Description {
  double diagonal = 0;     // mean weight of a query on its own position
  double evenness = 0;     // mean of entropy / log(keys seen), over rows that see two keys or more
  double top_two = 0;      // mean share of the two largest, over rows that see five keys or more
  double later = 0;        // largest weight on a key after the query's position
  double earlier = 0;      // largest weight on a key before it
  Index rows = 0;          // rows that see a key; the means are over these
  Index fully_masked = 0;  // rows that see none
  Index broken = 0;        // rows with a NaN or an infinity
  bool is_diagonal = false, is_uniform = false, is_sparse = false, is_causal = false;
  std::string text = {};  // "causal, diagonal"; "mixed" where no threshold is met
};

inline namespace HEED_ABI {

namespace pattern {

struct Sums {
  double diagonal = 0, evenness = 0, top_two = 0;
  Index diagonal_rows = 0, even_rows = 0, long_rows = 0;
};

// Adds one row of weights; `own` is its position among the keys, which may lie before the first.
inline void add_row(const std::vector<double>& row, Index own, Sums& sums, Description& d) {
  double total = 0, entropy = 0, first = 0, second = 0;
  Index seen = 0;
  for (std::size_t j = 0; j < row.size(); ++j) {
    const double w = row[j];
    total += w;
    if (static_cast<Index>(j) > own) d.later = std::max(d.later, w);
    if (static_cast<Index>(j) < own) d.earlier = std::max(d.earlier, w);
    if (!(w > 0)) continue;
    ++seen;
    entropy -= w * std::log(w);
    second = std::max(second, std::min(first, w));
    first = std::max(first, w);
  }
  if (seen == 0) return void(++d.fully_masked);
  ++d.rows;
  if (own >= 0 && own < static_cast<Index>(row.size())) {
    sums.diagonal += row[static_cast<std::size_t>(own)] / total;
    ++sums.diagonal_rows;
  }
  if (seen >= 2) {
    // Of weights divided by their total: the row may not sum to 1.
    sums.evenness += (entropy / total + std::log(total)) / std::log(static_cast<double>(seen));
    ++sums.even_rows;
  }
  constexpr Index long_row = 5;  // two of fewer keys are much of them by themselves
  if (seen >= long_row) sums.top_two += (first + second) / total, ++sums.long_rows;
}

inline double mean(double sum, Index count) {
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

inline std::string names(const Description& d) {
  if (d.rows == 0) return d.broken > 0 ? "not finite" : "empty";
  std::string text;
  const auto add = [&text](bool present, const char* name) {
    if (present) text += (text.empty() ? "" : ", ") + std::string(name);
  };
  add(d.is_causal, "causal");
  add(d.is_diagonal, "diagonal");
  add(d.is_uniform, "uniform");
  add(d.is_sparse, "sparse");
  return text.empty() ? "mixed" : text;
}

}  // namespace pattern

// Names the pattern of weights [Lq, Lk]; several may hold at once. O(Lq · Lk) time, O(Lk) memory.
//
// Causal needs weight before some query's position, else every diagonal would be causal too.
template <Matrix M>
Description describe(const M& weights, const PatternThresholds& thresholds = {}) {
  const auto view = view_of(weights);  // [Lq, Lk]
  const Index queries = view.extent[0], keys = view.extent[1];
  Description d;
  pattern::Sums sums;
  std::vector<double> row(static_cast<std::size_t>(keys));
  for (Index i = 0; i < queries; ++i) {
    bool finite = true;
    for (Index j = 0; j < keys; ++j) {
      const auto weight = static_cast<double>(view(i, j));
      row[static_cast<std::size_t>(j)] = weight;
      finite = finite && is_finite(weight);
    }
    if (!finite) {
      ++d.broken;
      continue;
    }
    pattern::add_row(row, i + keys - queries, sums, d);
  }
  d.diagonal = pattern::mean(sums.diagonal, sums.diagonal_rows);
  d.evenness = pattern::mean(sums.evenness, sums.even_rows);
  d.top_two = pattern::mean(sums.top_two, sums.long_rows);
  d.is_causal = queries > 1 && d.later <= thresholds.causal && d.earlier > thresholds.causal;
  d.is_diagonal = keys > 1 && sums.diagonal_rows > 0 && d.diagonal >= thresholds.diagonal;
  d.is_uniform = sums.even_rows > 0 && d.evenness >= thresholds.uniform;
  d.is_sparse = sums.long_rows > 0 && d.top_two >= thresholds.sparse;
  d.text = pattern::names(d);
  return d;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
