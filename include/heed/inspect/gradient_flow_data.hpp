// Gradient flow: where the gradient of a loss goes through one call of attention, as numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/shape.hpp"
#include "heed/inspect/report_data.hpp"

namespace heed::inspect {

// The loss is the sum of all rows of out.
inline constexpr Index every_row = -1;

// A matrix of numbers, a row a head: norms [Hq, Lq] or [Hkv, Lk], weights [Hq, Lk].
struct HeadRows {
  Index heads = 0, positions = 0;
  std::vector<double> values = {};

  HeadRows() = default;
  HeadRows(Index head_count, Index position_count)
      : heads(head_count),
        positions(position_count),
        values(static_cast<std::size_t>(head_count * position_count)) {}

  double& at(Index h, Index position) {
    return values[static_cast<std::size_t>(h * positions + position)];
  }
  double at(Index h, Index position) const {
    return values[static_cast<std::size_t>(h * positions + position)];
  }
};

// The gradient of one input. It has the input's shape.
struct GradientNorms {
  HeadRows by_position = {};  // Euclidean, over features and batch entries
  double norm = 0;            // of all elements
  Summary values = {};        // of all elements
  Index underflows = 0;       // elements that are not 0, but are in the inputs' type
  Index overflows = 0;        // finite elements beyond the largest number of the inputs' type

  bool finite() const { return values.all_finite(); }
};

struct GradientFlow {
  Report forward = {};    // the call itself: shapes, weights' statistics, what looks wrong in it
  Index row = every_row;  // the loss is the sum of this row of out
  Summary d_out = {};
  double d_out_norm = 0;
  GradientNorms d_q = {}, d_k = {}, d_v = {};
  HeadRows weights = {};  // of the row, its mean over batch entries; of every_row, over rows too
  double mean_peak = 0;   // largest weight of a row of the loss, averaged over those that see a key
  // ‖dS‖ by that of even weights over the same keys, dS the gradient of the scores after their
  // modifiers: 1 for even weights, 0 for a row that puts all its weight on one key.
  double through_softmax = 1;
  double through_score = 1;  // ‖gradient of the scores before their modifiers‖ by ‖dS‖
  Index silent_keys = 0;     // keys of a head that a row of the loss sees, but whose d_k and d_v
  Index seen_keys = 0;       // are below 1e-3 of the head's largest; keys that are seen
  std::vector<std::string> findings = {};  // what looks wrong, in sentences; none: nothing does

  std::string text() const;
};

namespace flow_lines {

// "0.31       0.2        0" in order of position where they are few, else "0.31 at 2, 0.2 at 0, …".
inline std::string positions_text(const HeadRows& rows, Index h) {
  constexpr Index all = 10, largest = 6;
  std::vector<Index> order(static_cast<std::size_t>(rows.positions));
  for (std::size_t n = 0; n < order.size(); ++n) order[n] = static_cast<Index>(n);
  std::string text;
  if (rows.positions <= all) {
    for (const Index j : order) {
      const std::string number = short_number(rows.at(h, j));
      text += j + 1 < rows.positions ? report_lines::padded(number, 11) : number;
    }
    return text;
  }
  const auto size = [&](Index j) {  // a NaN is to be seen, so it comes first
    return is_nan(rows.at(h, j)) ? std::numeric_limits<double>::infinity() : rows.at(h, j);
  };
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return size(a) > size(b); });
  for (Index n = 0; n < largest; ++n) {
    const Index j = order[static_cast<std::size_t>(n)];
    if (rows.at(h, j) == 0) return text + (n == 0 ? "all 0" : ", the rest 0");
    text += (n == 0 ? "" : ", ") + short_number(rows.at(h, j)) + " at " + std::to_string(j);
  }
  return text + ", the rest less";
}

inline std::string magnitude(const char* name, const GradientNorms& g) {
  return report_lines::numbers(name, "norm " + short_number(g.norm), g.values);
}

inline std::string head_lines(const char* name, const HeadRows& rows) {
  std::string page;
  for (Index h = 0; h < rows.heads; ++h) {
    const std::string head = rows.heads == 1 ? "" : ", head " + std::to_string(h);
    page += report_lines::line(name + head, positions_text(rows, h));
  }
  return page;
}

}  // namespace flow_lines

// Four sections and the findings; plain ASCII, ends with a newline.
inline std::string GradientFlow::text() const {
  using report_lines::line;
  const std::string of = row == every_row ? "every row" : "row " + std::to_string(row);
  std::string page = "Gradient flow of the sum of " + of + " of out\n";
  if (!forward.error.empty()) {
    page += '\n';
  } else {
    page += "\n1. Shapes (" + forward.element + "), each gradient that of its input\n" +
            line("q, d_q", forward.q_shape) + line("k, d_k", forward.k_shape) +
            line("v, d_v", forward.v_shape);
    page += "\n2. Magnitudes\n" +
            report_lines::numbers("d_out", "norm " + short_number(d_out_norm), d_out) +
            flow_lines::magnitude("d_q", d_q) + flow_lines::magnitude("d_k", d_k) +
            flow_lines::magnitude("d_v", d_v);
    page += "\n3. Weights\n" +
            report_lines::numbers("weights", forward.scores_shape, forward.weights.values) +
            line("row sums", range_text(forward.weights.row_sums)) +
            line("mean largest weight", short_number(mean_peak) + " in rows of the loss") +
            line("through the softmax", short_number(through_softmax) + " of even weights");
    page += "\n4. Norms by position\n" + flow_lines::head_lines("weights", weights) +
            flow_lines::head_lines("d_q", d_q.by_position) +
            flow_lines::head_lines("d_k", d_k.by_position) +
            flow_lines::head_lines("d_v", d_v.by_position);
  }
  page += "\nFindings\n";
  for (const std::string& finding : findings) page += "  - " + finding + '\n';
  return findings.empty() ? page + "  nothing looks wrong\n" : page;
}

inline std::ostream& operator<<(std::ostream& stream, const GradientFlow& flow) {
  return stream << flow.text();
}

}  // namespace heed::inspect
