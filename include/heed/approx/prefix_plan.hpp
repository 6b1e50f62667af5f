// How sums over prefixes of the keys are cut: into spans whose sums are computed apart, blocks of
// queries, and chunks that are worked on at a time.
#pragma once

#include <algorithm>

#include "heed/approx/visible.hpp"
#include "heed/core/assert.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/simd/strip.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

struct PrefixPlan {
  static constexpr Index chunk = 64;   // keys, or queries, at a time; a multiple of every panel
  static constexpr Index span = 1024;  // keys of a sum, queries of a task

  simd::Geometry cell{};
  Index features = 0;  // F
  Index columns = 0;   // of a value and the 1 behind it, in whole registers
  Index spans = 0;     // of keys
  Index blocks = 0;    // of queries, of each head

  // Features in whole groups, since in the sums over keys they are the rows.
  Index padded() const { return cell.groups(features) * cell.rows; }
  Index state() const { return checked_product(padded(), columns); }
};

// A run of whole panels of numbers.
struct Panels {
  Index count;
};

// Σ_j φ(k_j) [v_j, 1] over some keys, times 2^−exponent. Exponents are whole numbers: states and
// keys change over to another without rounding.
template <class R>
struct PrefixState {
  R* sum;  // [groups of features, columns / panel, rows, panel], as simd::Strip::acc
  R exponent;
};

// What one worker needs. R is the type of sums.
template <class R>
struct PrefixScratch {
  R* key_exponents;  // [chunk]
  R* keys;           // [panels of the chunk, padded F, panel]
  R* value_rows;     // [panel, panel], the last columns and the 1 behind them
  R* values;         // [panels of the chunk, columns / panel, panel, panel]
  R* exponents;      // [chunk in groups], of queries
  R* tops;           // [chunk in groups], the largest exponent that a row sees
  R* query_cells;    // [groups of the chunk, panels of F, rows, panel]
  R* shown;          // [columns / panel, F, panel]: a PrefixState as values
  R* before;         // a PrefixState: of the spans before
  R* own;            // another: of the span's own keys so far
  R* scores;         // [groups of the chunk, 1, rows, panel]
  R* acc;            // [groups of the chunk, columns / panel, rows, panel]
  R* map;            // what φ needs
  std::uint8_t* live;
  std::uint8_t* seen;

  static PrefixScratch carve(Carver& carver, const PrefixPlan& plan, Index map_size) {
    PrefixScratch s{};
    const simd::Geometry& cell = plan.cell;
    const Index features = plan.features, chunk = PrefixPlan::chunk;
    const Index rows = cell.groups(chunk) * cell.rows;
    s.key_exponents = carver.array<R>(chunk);
    s.keys = carver.array<R>(checked_product(plan.padded(), chunk));
    s.value_rows = carver.array<R>(cell.panel * cell.panel);
    s.values = carver.array<R>(checked_product(plan.columns, chunk));
    s.exponents = carver.array<R>(rows);
    s.tops = carver.array<R>(rows);
    s.query_cells = carver.array<R>(checked_product(cell.panels(features) * cell.panel, rows));
    s.shown = carver.array<R>(checked_product(features, plan.columns));
    s.before = carver.array<R>(plan.state());
    s.own = carver.array<R>(plan.state());
    s.scores = carver.array<R>(rows * cell.panel);
    s.acc = carver.array<R>(checked_product(rows, plan.columns));
    s.map = carver.array<R>(map_size);
    s.live = carver.array<std::uint8_t>(live_cells(plan));
    s.seen = carver.array<std::uint8_t>(rows * cell.panel);
    return s;
  }

  // Before its first use: where no mask stands in between, every cell is live.
  void clear(const PrefixPlan& plan) const { std::fill_n(live, live_cells(plan), std::uint8_t{1}); }

 private:
  static Index live_cells(const PrefixPlan& plan) {
    const simd::Geometry& cell = plan.cell;
    return std::max(cell.groups(PrefixPlan::chunk) * cell.panels(plan.features),
                    cell.groups(plan.features));
  }
};

inline PrefixPlan prefix_plan(const Shape& shape, const simd::Geometry& cell, Index features) {
  constexpr Index span = PrefixPlan::span;
  PrefixPlan plan;
  HEED_ASSERT(PrefixPlan::chunk % cell.panel == 0);
  plan.cell = cell;
  plan.features = features;
  plan.columns = cell.columns(shape.Dv + 1);
  plan.spans = (shape.Lk + span - 1) / span;
  plan.blocks = (shape.Lq + span - 1) / span + 1;
  return plan;
}

// Whether spans and blocks of a head become tasks of their own: where heads alone would leave
// workers idle.
constexpr bool divides_heads(const PrefixPlan& plan, Index heads, int workers) {
  return plan.spans > 1 && heads % workers != 0 && heads < 4 * Index{workers};
}

// Queries [begin, end) of block n: blocks end where spans of keys do, so that a block goes on from
// the sum of the spans before it.
struct QueryBlock {
  Index begin, end;
};

constexpr QueryBlock query_block(const Visible& visible, Index Lq, Index n) {
  constexpr Index span = PrefixPlan::span;
  const Index offset = visible.causal ? visible.offset : 0;
  const Index shift = (offset % span + span) % span;
  return {std::clamp<Index>(n * span - shift, 0, Lq),
          std::clamp<Index>((n + 1) * span - shift, 0, Lq)};
}

}  // namespace HEED_ABI
}  // namespace heed::approx
