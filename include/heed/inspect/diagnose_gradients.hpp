// Diagnose gradients: from norms to the likely cause and what to do, in a sentence.
//
// Each rule is one function, as those of diagnose.hpp, and speaks only where its numbers hardly
// have another reason.
#pragma once

#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/inspect/diagnose.hpp"
#include "heed/inspect/gradient_flow_data.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

namespace gradient_rule {

using rule::Findings;
using rule::of;

inline constexpr double vanishing = 1e-2;  // of what even weights, or the bare scores, let through
inline constexpr double exploding = 1e3;   // times the norm of d_out

// NaN, and infinities of what comes in.
inline void not_finite(const GradientFlow& f, Findings& found) {
  const Report& r = f.forward;
  if (!f.d_out.all_finite()) {
    found.push_back("d_out already holds " + of(f.d_out.nan + f.d_out.infinities(), f.d_out.count) +
                    " NaN or infinities: look at the loss, not at attention");
  }
  const Index nan = f.d_q.values.nan + f.d_k.values.nan + f.d_v.values.nan;
  const Index all = f.d_q.values.count + f.d_k.values.count + f.d_v.values.count;
  if (nan > 0) {
    const bool told = !f.d_out.all_finite() || !r.findings.empty();
    found.push_back(of(nan, all) + " gradients are NaN" +
                    (told ? ", for what is said here of the inputs"
                          : ": scores or values overflow in between; make q, k and v smaller"));
  }
  if (r.mask.fully_masked_rows > 0) {
    found.push_back(of(r.mask.fully_masked_rows, r.mask.rows) +
                    " rows see no key: their gradients are 0 here. In code that divides 0 by 0 "
                    "there, all gradients become NaN, and nan_to_num after the softmax mends out "
                    "alone, since the softmax's own gradient still multiplies by the NaN: leave "
                    "such rows a key, or drop them from the batch");
  }
}

inline void vanish(const GradientFlow& f, Findings& found) {
  const Report& r = f.forward;
  if (f.through_softmax < vanishing) {
    const bool unscaled = r.scale > 1.5 * r.default_scale;
    found.push_back("Gradients of q and k vanish: the softmax is peaked (largest weight " +
                    short_number(f.mean_peak) + " on average) and lets through " +
                    short_number(f.through_softmax) + " of what even weights would. " +
                    (unscaled ? "Scale the scores by 1/sqrt(D) = " + short_number(r.default_scale) +
                                    ", not " + short_number(r.scale)
                              : "Scores span " + range_text(r.attended) + ": normalise q and k"));
  }
  if (f.through_score < vanishing) {
    found.push_back("Gradients of q and k vanish: the score's derivative lets through " +
                    short_number(f.through_score) + ". Scores before it span " +
                    range_text(r.scaled) + ": is a soft cap saturated?");
  }
}

inline void explode(const GradientFlow& f, Findings& found) {
  const auto look = [&](const char* name, const GradientNorms& g, const std::string& sizes) {
    if (g.values.infinities() == 0 && !(g.norm > exploding * f.d_out_norm)) return;
    found.push_back(std::string(name) + " explodes: its norm is " + short_number(g.norm) +
                    ", that of d_out " + short_number(f.d_out_norm) +
                    ". The softmax does not amplify; " + sizes +
                    " do: normalise them, or clip gradients by their norm");
  };
  const Report& r = f.forward;
  const std::string scale = "scale " + short_number(r.scale);
  const std::string v = " and v up to " + short_number(r.v.reach());
  look("d_q", f.d_q, scale + ", k up to " + short_number(r.k.reach()) + v);
  look("d_k", f.d_k, scale + ", q up to " + short_number(r.q.reach()) + v);
  look("d_v", f.d_v, "many queries that attend to one key");
}

inline void type_limits(const GradientFlow& f, Findings& found) {
  const Index over = f.d_q.overflows + f.d_k.overflows + f.d_v.overflows;
  const Index under = f.d_q.underflows + f.d_k.underflows + f.d_v.underflows;
  const Index all = f.d_q.values.count + f.d_k.values.count + f.d_v.values.count;
  if (over > 0) {
    found.push_back(of(over, all) + " gradients are beyond the largest " + f.forward.element +
                    ": scale the loss down");
  }
  if (10 * under > all) {
    found.push_back(of(under, all) + " gradients are not 0, but are as " + f.forward.element +
                    ": scale the loss up, and the step down");
  }
}

// Some positions never learn.
inline void uneven(const GradientFlow& f, Findings& found) {
  if (f.row != every_row || 2 * f.silent_keys <= f.seen_keys) return;
  found.push_back(of(f.silent_keys, f.seen_keys) +
                  " keys that are seen get less than 0.001 of the largest gradient of their head: "
                  "every query attends to the same few keys. Dropout on the weights spreads it");
}

}  // namespace gradient_rule

// The likely causes, most basic first, those of the forward call among them; empty where nothing
// looks wrong.
inline std::vector<std::string> diagnose(const GradientFlow& f) {
  std::vector<std::string> found = f.forward.findings;
  if (!f.forward.error.empty()) return found;
  gradient_rule::not_finite(f, found);
  gradient_rule::vanish(f, found);
  gradient_rule::explode(f, found);
  gradient_rule::type_limits(f, found);
  gradient_rule::uneven(f, found);
  return found;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
