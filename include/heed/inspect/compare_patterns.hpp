// Masks beside each other: what the same queries and keys attend to under each, or what each mask
// lets through, in one picture on one scale.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "heed/attention/reference/forward.hpp"
#include "heed/core/abi.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/error.hpp"
#include "heed/inspect/matrix_of.hpp"
#include "heed/inspect/names.hpp"
#include "heed/mask/any.hpp"
#include "heed/plot/format.hpp"
#include "heed/plot/heatmap_grid.hpp"

namespace heed::inspect {

// {"causal", mask::causal()}; mask::None{} attends everywhere.
struct Pattern {
  std::string name;
  mask::any mask;
};

struct PatternOptions {
  Index batch = 0, head = 0;         // whose matrix is shown; a query head
  std::optional<double> scale = {};  // of q·k; default 1/sqrt(D)
  HeatmapOptions heatmap = {};       // of every panel; its title is the pattern's
  GridOptions grid = {};
};

inline namespace HEED_ABI {

namespace patterns {

inline constexpr const char* call = "heed::inspect::compare_patterns";

// "12.5 %", and never "0.0 %" or "100.0 %" for what is neither nothing nor all.
inline std::string share_text(Index seen, Index pairs) {
  if (seen == 0) return "0 %";
  if (seen == pairs) return "100 %";
  const double share = static_cast<double>(seen) / static_cast<double>(pairs);
  if (share < 0.0005) return "< 0.1 %";
  return share >= 0.9995 ? "> 99.9 %" : percent_text(share);
}

// "causal: 50.8 % of pairs"
inline std::string title(const std::string& name, const Tensor2<float>& seen) {
  Index count = 0;
  for (Index n = 0; n < seen.size(); ++n) count += seen.data()[n] > 0 ? 1 : 0;
  if (seen.size() == 0) return name + ": no pairs";
  return name + ": " + share_text(count, seen.size()) + " of pairs";
}

// Throws heed::Error unless the batch and the head that are asked for are there.
inline void check_place(const Shape& shape, const PatternOptions& options) {
  const auto check = [](const char* what, const char* all, Index place, Index count) {
    if (place >= 0 && place < count) return;
    throw Error(std::string(call) + ": " + what + " is " + std::to_string(place) + " but there " +
                (count == 1 ? "is 1 " : "are " + std::to_string(count) + " ") + all);
  };
  check("batch", shape.B == 1 ? "batch" : "batches", options.batch, shape.B);
  check("head", shape.Hq == 1 ? "query head" : "query heads", options.head, shape.Hq);
}

}  // namespace patterns

// The weights that one head's queries give its keys under each mask: a panel a pattern, all in one
// colour range, titled with the share of (query, key) pairs that the mask lets attend.
//
//   q  [B, Hq,  Lq, D]   or of rank 3 or 2, as heed::attention takes them
//   k  [B, Hkv, Lk, D]   Hq % Hkv == 0
//
// Throws heed::Error as attention does, and for a batch or head that is not there.
// Time O(patterns · Lq·Lk·D); holds patterns · Lq·Lk weights.
template <TensorLike Q, TensorLike K>
Image compare_patterns(const Q& q, const K& k, const std::vector<Pattern>& patterns,
                       const PatternOptions& options = {}) {
  static_assert(RightTypes<Q, K, K>);
  const heed::Options common{.scale = options.scale};
  const Shape shape = check_call(patterns::call, q, k, k, mask::None{}, score::None{}, common);
  patterns::check_place(shape, options);
  const auto queries = lift(view_of(q)).matrix(options.batch, options.head);
  const auto keys = lift(view_of(k)).matrix(options.batch, options.head / shape.group());
  const auto weights_under = [&](const auto& mask) {  // [Lq, Lk]
    const auto allows = [&mask](int i, int j) { return mask.allows(i, j); };
    return reference::attention(queries, keys, keys, allows, score::None{}, common).weights;
  };
  std::vector<decltype(weights_under(mask::any().bind(shape, 0, 0)))> weights;
  std::vector<std::string> titles;
  for (const Pattern& pattern : patterns) {
    const auto seen = mask_matrix(pattern.mask, shape, options.batch, options.head);
    titles.push_back(patterns::title(pattern.name, seen));
    weights.push_back(weights_under(pattern.mask.bind(shape, options.batch, options.head)));
  }
  return heatmap_grid(weights, titles, options.heatmap, options.grid);
}

// The masks alone: a dark cell is a pair that attends. The scale is left out unless a range is
// given. Throws heed::Error where a mask does not fit the shape, and for a batch or head that is
// not there. O(patterns · Lq·Lk).
inline Image compare_patterns(const Shape& shape, const std::vector<Pattern>& patterns,
                              const PatternOptions& options = {}) {
  patterns::check_place(shape, options);
  std::vector<Tensor2<float>> matrices;
  std::vector<std::string> titles;
  for (const Pattern& pattern : patterns) {
    matrices.push_back(mask_matrix(pattern.mask, shape, options.batch, options.head));
    titles.push_back(patterns::title(pattern.name, matrices.back()));
  }
  HeatmapOptions heatmap = options.heatmap;
  if (!heatmap.range) {
    heatmap.range = Range{0, 1.25};  // 1 is then a blue that is not nearly black
    heatmap.color_bar = false;
  }
  return heatmap_grid(matrices, titles, heatmap, options.grid);
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
