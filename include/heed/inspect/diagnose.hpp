// Diagnose: from a report's numbers to the likely mistake, in a sentence that says what to do.
//
// Each rule is one function over the report. A rule speaks only where its numbers hardly have
// another reason; silence is no proof.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/inspect/report_data.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

namespace rule {

using Findings = std::vector<std::string>;

// Logits this far apart leave the smaller weight below what float resolves beside 1.
inline constexpr double saturating_spread = 16;
inline constexpr double saturated_peak = 0.99;

inline std::string of(Index part, Index whole) {
  return std::to_string(part) + " of " + std::to_string(whole);
}

inline void refused(const Report& r, Findings& found) {
  found.push_back(r.error);
  const Shape& s = r.shape;
  if (r.error.find("k has dim") != std::string::npos && s.Lk == s.D) {
    found.push_back(
        "k looks transposed: its last two dimensions are exchanged. heed wants k as [.., "
        "Lk, D] and forms q kT itself");
  }
  if (r.error.find("heed::mask::") != std::string::npos) {
    found.push_back(
        "The mask does not fit [B, Hq, Lq, Lk]: a padding mask over keys is [B, 1, 1, Lk], "
        "or [B, Lk] with axes::keys");
  }
}

inline void inputs(const Report& r, Findings& found) {
  const auto look = [&](const char* name, const Summary& s) {
    if (s.nan > 0) {
      found.push_back(std::string(name) + " already holds " + of(s.nan, s.count) +
                      " NaN: look at what computed it, not at attention");
    }
    if (s.infinities() > 0) {
      found.push_back(
          std::string(name) + " holds " + of(s.infinities(), s.count) +
          " infinities: an overflow before attention; inf - inf and 0 * inf become NaN");
    }
  };
  look("q", r.q), look("k", r.k), look("v", r.v);
}

inline void overflow(const Report& r, Findings& found) {
  const bool finite_inputs = r.q.all_finite() && r.k.all_finite();
  if (r.overflowed > 0) {
    const std::string size = r.raw.all_finite() ? "reaches " + short_number(r.raw.reach()) + " and"
                                                : "is beyond the largest double and";
    found.push_back("q k " + size + " overflows " + r.sum_type + " in " +
                    of(r.overflowed, r.raw.count) + " scores, in heed too: " +
                    of(r.out.nan, r.out.count) + " numbers of out are NaN. Make q and k smaller" +
                    (r.sum_type == "double" ? "" : ", or pass double"));
    return;
  }
  if (finite_inputs && r.raw.reach() > r.element_max) {
    found.push_back("q k reaches " + short_number(r.raw.reach()) + ", beyond the largest " +
                    r.element + " (" + short_number(r.element_max) +
                    "): code that keeps scores in " + r.element +
                    " overflows; keep them in float, as heed does, or scale q first");
  }
  if (r.attended.plus_infinity > 0 && finite_inputs) {
    found.push_back(of(r.attended.plus_infinity, r.attended.count) +
                    " attended scores are +inf, and the softmax of such a row is NaN: look at the "
                    "score modifiers and the size of q and k");
  }
  if (r.attended.nan > 0 && finite_inputs && r.scaled.nan == 0) {
    found.push_back("The score modifiers turn " + of(r.attended.nan, r.attended.count) +
                    " attended scores into NaN");
  }
}

inline void scale(const Report& r, Findings& found) {
  if (r.shape.D < 2 || r.attended.count == 0) return;
  const std::string scales = "The scale is " + short_number(r.scale) +
                             ", not 1/sqrt(D) = " + short_number(r.default_scale);
  if (std::abs(r.scale) > 1.5 * r.default_scale) {
    found.push_back(scales + ": scores grow with D, the softmax saturates and gradients vanish");
  } else if (std::abs(r.scale) < r.default_scale / 1.5) {
    found.push_back(scales + ": every key gets nearly the same weight. Was q scaled twice?");
  } else if (r.weights.mean_peak > saturated_peak && r.attended.has_finite() &&
             r.attended.high - r.attended.low > saturating_spread) {
    found.push_back("The softmax is saturated: the largest weight of a row is " +
                    short_number(r.weights.mean_peak) + " on average, scores span " +
                    range_text(r.attended) + ". Are q and k normalised?");
  }
}

// Nobody sees a key: the mask's doing, the scores', or that of both.
inline std::string all_hidden(const MaskReport& m) {
  if (m.hidden_by_score == 0) {
    return "The mask hides every key from every query: it is inverted, or not the mask you "
           "meant. In heed true attends";
  }
  if (m.hidden_by_mask == 0) {
    return "Every score is -inf after the score modifiers, so no query sees a key: the bias hides "
           "all, not the mask. An additive mask is 0 where it attends";
  }
  return "No query sees a key: the mask hides " + of(m.hidden_by_mask, m.pairs) +
         " pairs, a score of -inf the other " + std::to_string(m.hidden_by_score);
}

inline void fully_masked_rows(const Report& r, Findings& found) {
  const MaskReport& m = r.mask;
  if (m.fully_masked_rows == 0 || m.pairs == 0) return;
  if (m.fully_masked_rows == m.fully_masked_by_score && r.overflowed > 0) return;  // told already
  if (m.seen == 0) {
    found.push_back(all_hidden(m));
  } else if (m.fully_masked_by_score == 0 && m.full_rows == m.rows - m.fully_masked_rows) {
    found.push_back(of(m.fully_masked_rows, m.rows) +
                    " rows see no key and the others see all: the mask "
                    "hides queries where it should hide keys. Is it transposed?");
  } else {
    found.push_back(of(m.fully_masked_rows, m.rows) +
                    " rows see no key: their output is 0 and lse -inf "
                    "here, and NaN in code that divides by the row's sum" +
                    (m.fully_masked_by_score == 0
                         ? ""
                         : ". The mask shows keys to " +
                               of(m.fully_masked_by_score, m.fully_masked_rows) +
                               ", but all their scores are -inf"));
  }
}

inline void inversion(const Report& r, Findings& found) {
  const MaskReport& m = r.mask;
  if (m.seen == 0 || r.shape.Lq < 2) return;
  if (m.own > 0 && m.seen_own == 0 && m.seen_after > 0 && m.seen_before == 0) {
    found.push_back(
        "Every query sees later keys only: this is a causal mask inverted. In heed true "
        "attends");
  } else if (m.seen_after > 0 && m.seen_before == 0) {
    found.push_back(
        "Every query sees itself and later keys only: a causal mask is lower triangular, "
        "this one is transposed");
  } else if (m.own > 0 && m.seen_own == 0 && m.seen_after == 0 && m.seen_before == m.before) {
    found.push_back(
        "Every query sees all keys before its own position but not its own: a causal mask off by "
        "one. Position i sees j <= i, not j < i");
  } else if (m.own > 0 && m.seen_own == 0) {
    found.push_back("No query sees its own position: is the mask inverted? In heed true attends");
  }
  const bool one_ahead = m.seen_next == m.next && m.seen_after == m.next && m.after > m.next;
  if (m.next > 0 && one_ahead && m.seen_own == m.own && m.seen_before == m.before) {
    found.push_back(
        "Every query sees the key after its own position and none later: a causal mask off by "
        "one. Position i sees j <= i, not j <= i + 1");
  }
  if (m.zero_keys_seen > 0 && m.real_keys_unseen > 0) {
    found.push_back("Queries see " + std::to_string(m.zero_keys_seen) +
                    " keys that are all zero, and none sees " + std::to_string(m.real_keys_unseen) +
                    " that are not: the padding mask is inverted. In heed true attends");
  }
}

inline void weights_and_out(const Report& r, Findings& found) {
  const Summary& sums = r.weights.row_sums;
  constexpr double half_rounding = 0.05;
  const bool low = !r.weights.sinks && sums.low < 1 - half_rounding;
  if (sums.has_finite() && (low || sums.high > 1 + half_rounding)) {
    found.push_back("Rows of weights sum to " + range_text(sums) + " and should sum to 1");
  }
  const bool finite_inputs = r.q.all_finite() && r.k.all_finite() && r.v.all_finite();
  if (r.out.nan > 0 && !finite_inputs) {
    found.push_back(of(r.out.nan, r.out.count) +
                    " numbers of out are NaN: they see an input that is "
                    "not finite. Behind the mask it would do no harm");
  } else if (r.out.infinities() > 0 && finite_inputs) {
    found.push_back(of(r.out.infinities(), r.out.count) + " numbers of out overflow " + r.element);
  }
}

}  // namespace rule

// The likely causes, most basic first; empty where nothing looks wrong.
inline std::vector<std::string> diagnose(const Report& r) {
  std::vector<std::string> found;
  if (!r.error.empty()) {
    rule::refused(r, found);
    return found;
  }
  rule::inputs(r, found);
  rule::overflow(r, found);
  rule::scale(r, found);
  rule::fully_masked_rows(r, found);
  rule::inversion(r, found);
  rule::weights_and_out(r, found);
  return found;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
