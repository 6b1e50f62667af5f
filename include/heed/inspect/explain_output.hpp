// explain_weights for code that shows its output only.
#pragma once

#include <string>
#include <vector>

#include "heed/inspect/explain_weights.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

// Why `out` is not the output of attention(q, k, v, mask, score, options): the mistakes that
// reproduce it, one or two together, or how far off it is; and the cause of each row with a NaN.
// Empty where it is right.
//
//   out       [B, Hq, Lq, Dv]   computed elsewhere
//   tolerance                   as a share of the largest finite |v|
//
// Dropout is no mistake it can name: pass the weights to explain_weights. Different mistakes may
// have one output, and then each is told. Throws heed::Error as attention does, and where out has
// another shape. O(Lq·Lk·(D + Dv)); where no single mistake explains it, 160 times O(Lq·Lk·Dv).
template <class O, class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S> std::vector<std::string> explain_output(
    const O& out, const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
    const Options& options = {}, double tolerance = 1e-3) {
  constexpr const char* call = "heed::inspect::explain_output";
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), options);
  const auto given = lift(view_of(out));
  const View<const ScalarOf<Q>, 4> wanted{nullptr, {shape.B, shape.Hq, shape.Lq, shape.Dv}, {}};
  if (to_string(given) != to_string(wanted)) {
    throw Error(std::string(call) + ": out is " + to_string(given) + " but the call's is " +
                to_string(wanted));
  }
  const auto problem = make_problem(q, k, v, shape, options);
  const auto rows_of = [](auto& head, const Hypothesis& way) {
    return suspect::output_of(head, way);
  };
  const double size = summarize(view_of(v)).reach();
  return suspect::explain("numbers of out", given, problem, as_mask(mask), as_score(score),
                          tolerance * (size > 0 ? size : 1), rows_of, true);
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
