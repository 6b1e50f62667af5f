// Report: everything about one call of attention that can go wrong, as numbers.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/shape.hpp"
#include "heed/inspect/names.hpp"
#include "heed/plot/summary.hpp"

namespace heed::inspect {

// Counts of the mask over all batches and query heads.
struct MaskReport {
  Index pairs = 0;  // of query and key
  Index seen = 0;   // attended
  Index hidden_by_mask = 0;
  Index hidden_by_score = 0;  // allowed, but the modified score is −inf
  Index rows = 0, fully_masked_rows = 0, full_rows = 0;  // queries; that see no key; that see all
  Index fully_masked_by_score = 0;  // of those: the mask shows a key, but its score is −inf
  Index seen_before = 0, seen_own = 0, seen_after = 0;  // pairs by the key's place, aligned to the
                                                        // end
  Index seen_next = 0;                                  // of those after: the very next key
  Index before = 0, own = 0, next = 0, after = 0;       // pairs of each kind, seen or not
  Index zero_keys_seen = 0;    // keys that some query sees though k and v are all 0: padding
  Index real_keys_unseen = 0;  // keys that no query sees though they are not 0
};

// The weights of the call, before dropout.
struct WeightsReport {
  Summary values = {};
  Summary row_sums = {};  // of rows that see a key: 1 up to rounding, with sinks less
  bool sinks = false;     // the call has options.sinks
  double mean_peak = 0;   // a row's largest weight, averaged over rows that see two keys or more
};

struct Report {
  std::string error = {};  // why the call is refused; then no numbers follow
  std::string q_shape = {}, k_shape = {}, v_shape = {};  // as passed, "[2,8,128,64]"
  std::string mask_shape = {};    // of a dense one as passed; else what it is
  std::string scores_shape = {};  // of scores and weights
  std::string out_shape = {};
  std::string element = {};   // "float"
  std::string sum_type = {};  // that dots are summed in, "float"
  double element_max = 0;     // the type's largest finite number
  Shape shape = {};
  double scale = 0, default_scale = 0;
  Summary q = {}, k = {}, v = {};
  Summary raw = {};       // q·k, in double
  Index overflowed = 0;   // scores of finite q and k that are not finite in sum_type
  Summary scaled = {};    // scale·q·k, in logits
  Summary modified = {};  // after the score modifiers
  Summary attended = {};  // of these, the pairs that are seen: what the softmax gets
  MaskReport mask = {};
  WeightsReport weights = {};
  Summary out = {};
  std::vector<std::string> findings = {};  // what looks wrong, in sentences; none: nothing does

  std::string text() const;
};

namespace report_lines {

inline std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

inline std::string line(const std::string& name, const std::string& value) {
  return "  " + padded(name, 24) + value + '\n';
}

inline std::string numbers(const char* name, const std::string& shape, const Summary& s) {
  return line(name, padded(shape, 16) + padded(range_text(s), 22) + "NaN " + std::to_string(s.nan) +
                        ", inf " + std::to_string(s.infinities()));
}

inline std::string mask_lines(const MaskReport& m) {
  const auto of = [](Index part, Index whole) {
    return std::to_string(part) + " of " + std::to_string(whole);
  };
  return line("attended pairs", of(m.seen, m.pairs)) +
         line("hidden by the mask", of(m.hidden_by_mask, m.pairs)) +
         line("hidden by a -inf score", of(m.hidden_by_score, m.pairs)) +
         line("rows that see no key", of(m.fully_masked_rows, m.rows));
}

}  // namespace report_lines

// Six sections and the findings; plain ASCII, ends with a newline.
inline std::string Report::text() const {
  using report_lines::line;
  using report_lines::numbers;
  std::string page = "Attention report\n\n1. Shapes (" + element + ")\n" + line("q", q_shape) +
                     line("k", k_shape) + line("v", v_shape) + line("mask", mask_shape) +
                     line("d_k", std::to_string(shape.D));
  if (error.empty()) {
    page += "\n2. Inputs\n" + numbers("q", "", q) + numbers("k", "", k) + numbers("v", "", v);
    page += "\n3. Scores\n" + numbers("q k'", scores_shape, raw) +
            numbers("scaled", "by " + short_number(scale), scaled) +
            numbers("modified", "", modified) + numbers("attended", "", attended);
    page += "\n4. Mask\n" + report_lines::mask_lines(mask);
    page += "\n5. Weights\n" + numbers("weights", scores_shape, weights.values) +
            line("row sums", range_text(weights.row_sums) +
                                 (weights.sinks ? " (at most 1: sinks have the rest)"
                                                : " (1, but 0 where a row sees no key)")) +
            line("mean largest weight", short_number(weights.mean_peak));
    page += "\n6. Output\n" + numbers("out", out_shape, out);
  }
  page += "\nFindings\n";
  for (const std::string& finding : findings) page += "  - " + finding + '\n';
  return findings.empty() ? page + "  nothing looks wrong\n" : page;
}

inline std::ostream& operator<<(std::ostream& stream, const Report& report) {
  return stream << report.text();
}

}  // namespace heed::inspect
