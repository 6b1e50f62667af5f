// The cut of a chunked scan: spans of keys that are summed apart, blocks of queries, and chunks
// that are computed at a time.
#pragma once

#include <algorithm>

#include "heed/approx/kernels.hpp"
#include "heed/core/assert.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/mask/key_limit.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

struct ScanPlan {
  static constexpr Index chunk = 64;   // keys, or queries, at a time; a multiple of every panel
  static constexpr Index span = 1024;  // keys of a sum, queries of a task

  simd::TileShape tile_shape{};
  Index features = 0;  // F
  Index columns = 0;   // of a value and the 1 behind it, in whole registers
  Index spans = 0;     // of keys
  Index blocks = 0;    // of queries, of each head

  // Features in whole groups, since in the sums over keys they are the rows.
  Index padded() const { return tile_shape.rows_in_tiles(features); }
  Index state() const { return simd::Accumulator<float>::size(tile_shape, padded(), columns); }
  // The sums of a KvState: features are the rows.
  template <class R>
  simd::Accumulator<R> accumulator(R* sum) const {
    return {sum, columns, tile_shape};
  }
};

// The cut of a call with its kernels.
template <class T>
struct ScanCall : ScanPlan {
  using R = Accum<T>;

  CallKernels<T> kernels;

  template <class F, class... Args>
  auto compiled() const {
    return simd::for_isa<R, F, Args...>(kernels.of_sums.isa);
  }
};

// A run of whole panels of numbers.
struct Panels {
  Index count;
};

// Σ_j φ(k_j) [v_j, 1] over some keys, times 2^−exponent. Exponents are whole numbers: states and
// keys change over to another without rounding.
template <class R>
struct KvState {
  R* sum;  // plan.accumulator
  R exponent;
};

// Scratch of one worker. R is the type of sums.
template <class R>
struct ScanScratch {
  R* key_exponents;  // [chunk]
  R* keys;           // PackedB, [padded F, chunk]
  R* value_rows;     // [panel, panel], the last columns and the 1 behind them
  R* values;         // [panels of the chunk], each a PackedB [panel, columns]
  R* exponents;      // [chunk in groups], of queries
  R* running_max;    // [chunk in groups], the largest exponent that a row sees
  R* query_tiles;    // ScoreTiles, [chunk, F]
  R* published;      // PackedB, [F, columns]: a KvState as values
  R* before;         // a KvState: of the spans before
  R* own;            // another: of the span's own keys so far
  R* scores;         // ScoreTiles, [chunk, panel]
  R* acc;            // Accumulator, [chunk, columns]
  R* map;            // what φ needs
  std::uint8_t* coverage;
  std::uint8_t* unmasked;

  static ScanScratch carve(Carver& carver, const ScanPlan& plan, Index map_size) {
    ScanScratch s{};
    const simd::TileShape& tile_shape = plan.tile_shape;
    const Index features = plan.features, chunk = ScanPlan::chunk;
    const Index rows = tile_shape.rows_in_tiles(chunk);
    s.key_exponents = carver.array<R>(chunk);
    s.keys = carver.array<R>(simd::PackedB<R>::size(tile_shape, plan.padded(), chunk));
    s.value_rows = carver.array<R>(tile_shape.nr * tile_shape.nr);
    s.values = carver.array<R>(simd::PackedB<R>::size(tile_shape, chunk, plan.columns));
    s.exponents = carver.array<R>(rows);
    s.running_max = carver.array<R>(rows);
    s.query_tiles = carver.array<R>(simd::ScoreTiles<R>::size(tile_shape, rows, features));
    s.published = carver.array<R>(simd::PackedB<R>::size(tile_shape, features, plan.columns));
    s.before = carver.array<R>(plan.state());
    s.own = carver.array<R>(plan.state());
    s.scores = carver.array<R>(simd::ScoreTiles<R>::size(tile_shape, rows, tile_shape.nr));
    s.acc = carver.array<R>(simd::Accumulator<R>::size(tile_shape, rows, plan.columns));
    s.map = carver.array<R>(map_size);
    s.coverage = carver.array<std::uint8_t>(most_tiles(plan));
    s.unmasked = carver.array<std::uint8_t>(rows * tile_shape.nr);
    return s;
  }

  // Before its first use: where no mask stands in between, every tile is live.
  void clear(const ScanPlan& plan) const {
    std::fill_n(coverage, most_tiles(plan), std::uint8_t{1});
  }

 private:
  static Index most_tiles(const ScanPlan& plan) {
    const simd::TileShape& tile_shape = plan.tile_shape;
    return std::max(tile_shape.m_tiles(ScanPlan::chunk) * tile_shape.panels(plan.features),
                    tile_shape.m_tiles(plan.features));
  }
};

inline ScanPlan scan_plan(const Shape& shape, const simd::TileShape& tile_shape, Index features) {
  constexpr Index span = ScanPlan::span;
  ScanPlan plan;
  HEED_ASSERT(tile_shape.begins_panel(ScanPlan::chunk));
  plan.tile_shape = tile_shape;
  plan.features = features;
  plan.columns = tile_shape.columns(shape.Dv + 1);
  plan.spans = (shape.Lk + span - 1) / span;
  plan.blocks = (shape.Lq + span - 1) / span + 1;
  return plan;
}

// True where spans and blocks of a head become tasks: heads alone would leave workers idle.
constexpr bool divides_heads(const ScanPlan& plan, Index heads, int workers) {
  return plan.spans > 1 && heads % workers != 0 && heads < 4 * Index{workers};
}

// Queries [begin, end) of block n: blocks end where spans of keys do, so that a block goes on from
// the sum of the spans before it.
struct QueryRange {
  Index begin, end;
};

constexpr QueryRange query_range(const mask::KeyLimit& visible, Index Lq, Index n) {
  constexpr Index span = ScanPlan::span;
  const Index offset = visible.causal ? visible.offset : 0;
  const Index shift = (offset % span + span) % span;
  return {std::clamp<Index>(n * span - shift, 0, Lq),
          std::clamp<Index>((n + 1) * span - shift, 0, Lq)};
}

}  // namespace HEED_ABI
}  // namespace heed::approx
