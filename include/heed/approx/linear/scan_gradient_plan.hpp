// The cut of the gradients of a scan: segments of queries, and the scratch of a worker.
//
// Segment n < spans holds the queries whose last key lies in span n, chunk by chunk. Segments
// behind them hold the queries that see every key, `span` of them each.
#pragma once

#include <algorithm>

#include "heed/approx/linear/scan_keys.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Queries and keys of a head, as a mask of prefixes cuts them.
struct ScanCut {
  mask::KeyLimit visible;
  Index Lq;

  // The first query that sees key j.
  Index first_query(Index j) const {
    return visible.causal ? std::clamp<Index>(j - visible.offset, 0, Lq) : 0;
  }
  // The first query that sees all keys.
  Index first_whole() const { return visible.length == 0 ? Lq : first_query(visible.length - 1); }
  // Queries whose last key is one of [begin, end), but those that see all.
  QueryRange queries_of(Index begin, Index end) const {
    const Index whole = first_whole();
    return {std::min(first_query(begin), whole),
            end < visible.length ? std::min(first_query(end), whole) : whole};
  }
  // Block n of the queries that see all keys.
  QueryRange whole_block(Index n) const {
    constexpr Index span = ScanPlan::span;
    return {std::min(first_whole() + n * span, Lq), std::min(first_whole() + (n + 1) * span, Lq)};
  }
  // Keys of span n.
  QueryRange keys_of(Index n) const {
    return {std::min(n * ScanPlan::span, visible.length),
            std::min((n + 1) * ScanPlan::span, visible.length)};
  }
};

// Rows of one sequence, at most a chunk: keys with [v, 1], or queries with the gradient of their
// sums, [d_out, −delta] / Σ φ(q)·φ(k).
template <class R>
struct ScanRows {
  R* features;   // PackedA, [rows, F]
  R* values;     // PackedA, [rows, Dv + 1]
  R* exponents;  // [rows]; 2^exponent scales the features
  Index count = 0;
};

// The same rows as columns of a product.
template <class R>
struct PackedColumns {
  simd::PackedB<R> transposed;  // [k, rows]
  simd::PackedB<R> plain;       // [rows, k]
};

// Scratch of one worker. Sums of a chunk are ScoreTiles, and Accumulators of whole panels as well.
template <class R>
struct ScanGradientScratch {
  ScanRows<R> keys, queries;
  PackedColumns<R> features, values;  // of the columns
  R* own;                             // the sum of a KvState
  R* state_rows;                      // [F, Dv + 1]
  PackedColumns<R> state;             // transposed [Dv + 1, F], plain [F, Dv + 1]
  R* scores;                          // ScoreTiles, [chunk, chunk]
  R* of_values;                       // ScoreTiles, [chunk, Dv + 1]
  R* of_features;                     // ScoreTiles, [chunk, F]
  R* d_features;                      // [chunk, F]
  R* d_rows;                          // [chunk, max(D, Dv)], rows as R
  R* map;
  R* running_max;          // [rows], the exponents that the rows' sums are relative to
  Index rows;              // of a chunk, in whole row tiles
  Index* visible;          // [chunk]; a row sees the first columns
  std::uint8_t* live;      // [tiles], coverage of scores under the mask
  std::uint8_t* unmasked;  // as scores
  std::uint8_t* all;       // [tiles], 1

  static ScanGradientScratch carve(Carver& carver, const ScanPlan& plan, const Shape& shape,
                                   Index map_size) {
    const simd::TileShape& tiles = plan.tile_shape;
    const Index chunk = ScanPlan::chunk, features = plan.features, width = shape.Dv + 1;
    const auto whole = [&](Index n) { return tiles.columns_in_panels(n); };
    const auto packed = [&](Index k, Index columns) {
      return simd::PackedB<R>{carver.array<R>(checked_product(k, whole(columns))), k,
                              whole(columns), tiles};
    };
    ScanGradientScratch s{};
    s.rows = tiles.rows_in_tiles(chunk);
    for (ScanRows<R>* x : {&s.keys, &s.queries}) {
      x->features = carver.array<R>(checked_product(s.rows, features) + tiles.nr);
      x->values = carver.array<R>(checked_product(s.rows, width));
      x->exponents = carver.array<R>(s.rows);
    }
    // Features are rows of the tiles that absorb_into reads, in whole row tiles.
    s.features = {packed(plan.padded(), chunk), packed(chunk, features)};
    s.values = {packed(width, chunk), packed(chunk, width)};
    s.own = carver.array<R>(plan.state());
    s.state_rows = carver.array<R>(checked_product(features, width));
    s.state = {packed(width, features), packed(features, width)};
    s.scores = carver.array<R>(checked_product(s.rows, whole(chunk)));
    s.of_values = carver.array<R>(checked_product(s.rows, whole(width)));
    s.of_features = carver.array<R>(checked_product(s.rows, whole(features)));
    s.d_features = carver.array<R>(checked_product(s.rows, features));
    s.d_rows = carver.array<R>(checked_product(s.rows, std::max(shape.D, shape.Dv)));
    s.map = carver.array<R>(map_size);
    s.running_max = carver.array<R>(s.rows);
    s.visible = carver.array<Index>(s.rows);
    s.live = carver.array<std::uint8_t>(tiles.m_tiles(chunk) * tiles.panels(chunk));
    s.unmasked = carver.array<std::uint8_t>(s.rows * whole(chunk));
    s.all = carver.array<std::uint8_t>(all_tiles(plan, width));
    return s;
  }

  // Before its first use.
  void clear(const ScanPlan& plan, const Shape& shape) const {
    std::fill_n(all, all_tiles(plan, shape.Dv + 1), std::uint8_t{1});
  }

 private:
  static Index all_tiles(const ScanPlan& plan, Index width) {
    const simd::TileShape& tiles = plan.tile_shape;
    return std::max(tiles.m_tiles(ScanPlan::chunk) * tiles.panels(std::max(plan.features, width)),
                    tiles.m_tiles(plan.features));
  }
};

// As scan_plan, but values with their 1 fill whole panels.
inline ScanPlan scan_gradient_plan(const Shape& shape, const simd::TileShape& tile_shape,
                                   Index features) {
  ScanPlan plan = scan_plan(shape, tile_shape, features);
  plan.columns = tile_shape.columns_in_panels(shape.Dv + 1);
  return plan;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
