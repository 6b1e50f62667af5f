// Rows of keys and queries of a scan's gradients, on their way from the tensors and back.
#pragma once

#include <algorithm>
#include <array>

#include "heed/approx/linear/raise.hpp"
#include "heed/approx/linear/scan_gradient_plan.hpp"
#include "heed/approx/linear/scan_state.hpp"
#include "heed/approx/orthogonal.hpp"
#include "heed/attention/backward.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Numbers of each query that the keys' gradients need: [B, Hq, Lq].
template <class R>
struct QueryStatistics {
  R* sum;       // z, times 2^−exponent
  R* delta;     // Σ d_out·out
  R* exponent;  // the largest of the keys that it sees
};

// One call, and one worker's memory for it.
template <class T, class Map>
struct ScanGradientWork {
  using R = Accum<T>;

  const Problem<T>& problem;
  const View<const T, 4>& d_out;
  const GradientViews<T>& to;
  const Map& map;
  const ScanCall<T>& plan;
  const KvStates<R>& before;  // S of the keys before each span
  const KvStates<R>& behind;  // G of the queries behind each segment
  QueryStatistics<R> statistics;
  ScanGradientScratch<R> scratch;
};

// The rows of one head of keys and its query heads.
template <class T, class Map>
class ScanGradientRows {
 public:
  using R = Accum<T>;
  using Work = ScanGradientWork<T, Map>;

  ScanRows<R> keys, queries;

  ScanGradientRows(const Work& work, Index head)
      : keys(work.scratch.keys),
        queries(work.scratch.queries),
        work_(work),
        b_(head / work.problem.shape.Hkv),
        kv_head_(head % work.problem.shape.Hkv),
        width_(work.problem.shape.Dv + 1) {}

  Index width() const { return width_; }
  // Query head n of the group.
  Index query_head(Index n) const { return kv_head_ * work_.problem.shape.group() + n; }

  // Keys [begin, end): φ(k) and [v, 1].
  void load_keys(Index begin, Index end) {
    keys.count = end - begin;
    std::fill_n(keys.exponents, keys.count, R(0));
    work_.map.features(work_.plan, slice(work_.problem.k.matrix(b_, kv_head_), begin, end - begin),
                       R(1), keys.features, keys.exponents, work_.scratch.map);
    const Index Dv = width_ - 1;
    const R* v = take_rows(slice(work_.problem.v.matrix(b_, kv_head_), begin, end - begin));
    for (Index r = 0; r < keys.count; ++r) {
      *std::copy_n(v + r * Dv, Dv, keys.values + r * width_) = 1;
    }
    clear_padding(keys);
  }

  // φ(q) of queries [begin, end) of head h.
  void load_query_features(Index h, Index begin, Index end) {
    queries.count = end - begin;
    work_.map.features(work_.plan, query_rows(work_.problem.q, h, begin, end),
                       work_.map.query_sign(), queries.features, queries.exponents,
                       work_.scratch.map);
    clear_padding(queries);
  }

  // The statistics of the queries from `begin` on, whose sums are complete, and their g.
  void find_gradients(Index h, Index begin) {
    const R* d_out = take_rows(query_rows(work_.d_out, h, begin, begin + queries.count));
    find_statistics(d_out, h, begin);
    for (Index r = 0; r < queries.count; ++r) {
      raises_[static_cast<std::size_t>(r)] =
          load_gradient(d_out + r * (width_ - 1), statistics_at(h, begin + r), r);
    }
  }

  // The queries [begin, end) of head h, last first, with g.
  void load_queries(Index h, Index begin, Index end) {
    const auto last_first = [](View<const T, 2> x) {
      x.data += (x.extent[0] - 1) * x.stride[0];
      x.stride[0] = -x.stride[0];
      return x;
    };
    const Index features = work_.plan.features;
    queries.count = end - begin;
    work_.map.features(work_.plan, last_first(query_rows(work_.problem.q, h, begin, end)),
                       work_.map.query_sign(), queries.features, queries.exponents,
                       work_.scratch.map);
    const R* d_out = take_rows(last_first(query_rows(work_.d_out, h, begin, end)));
    for (Index r = 0; r < queries.count; ++r, d_out += width_ - 1) {
      const Index at = statistics_at(h, end - 1 - r);
      const R raise = load_gradient(d_out, at, r);
      for (Index f = 0; raise != R(1) && f < features; ++f) {
        queries.features[r * features + f] *= raise;
      }
      queries.exponents[r] = -work_.statistics.exponent[at];
    }
    clear_padding(queries);
  }

  // d_q of the queries from `begin` on, whose sums of features are complete.
  void store_queries(Index h, Index begin) {
    take_d_features(queries.count, raises_.data());
    store(query_rows(work_.problem.q, h, begin, begin + queries.count), queries,
          work_.map.query_sign(), slice(work_.to.d_q.matrix(b_, h), begin, queries.count));
  }

  // d_k and d_v of keys [begin, end), whose sums are complete.
  void store_keys(Index begin, Index end) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const simd::TileShape& shape = work_.plan.tile_shape;
    const simd::Accumulator<const R> d_v{scratch.of_values, shape.columns_in_panels(width_), shape};
    std::fill_n(scratch.running_max, keys.count, R(1));
    work_.plan.kernels.of_tensors.store_rows(
        d_v, 0, scratch.running_max, slice(work_.to.d_v.matrix(b_, kv_head_), begin, end - begin));
    take_d_features(keys.count, scratch.running_max);
    store(slice(work_.problem.k.matrix(b_, kv_head_), begin, end - begin), keys, R(1),
          slice(work_.to.d_k.matrix(b_, kv_head_), begin, end - begin));
  }

 private:
  void clear_padding(const ScanRows<R>& rows) const {
    const simd::TileShape& shape = work_.plan.tile_shape;
    const Index padded = shape.rows_in_tiles(rows.count), size = work_.plan.features;
    std::fill(rows.features + rows.count * size, rows.features + padded * size, R(0));
    std::fill(rows.values + rows.count * width_, rows.values + padded * width_, R(0));
    std::fill(rows.exponents + rows.count, rows.exponents + padded, no_exponent<R>);
  }

  View<const T, 2> query_rows(const View<const T, 4>& x, Index h, Index begin, Index end) const {
    return slice(x.matrix(b_, h), begin, end - begin);
  }

  // Rows of any type and strides as R, row-major.
  const R* take_rows(const View<const T, 2>& x) {
    work_.plan.kernels.copy_rows(x, R(1), work_.scratch.d_rows);
    return work_.scratch.d_rows;
  }

  Index statistics_at(Index h, Index i) const {
    return (b_ * work_.problem.shape.Hq + h) * work_.problem.shape.Lq + i;
  }

  // z, delta and the top of each query, of its sums.
  void find_statistics(const R* d_out, Index h, Index begin) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const Index nr = work_.plan.tile_shape.nr, Dv = width_ - 1;
    const auto sums = simd::ScoreTiles<R>::of(work_.plan.tile_shape, scratch.of_values, scratch.all,
                                              queries.count, width_);
    for (Index r = 0; r < queries.count; ++r, d_out += Dv) {
      const Index at = statistics_at(h, begin + r);
      const R sum = sums.at(r, Dv), raise = gradient_raise_of(sum);
      R product = 0;
      for (Index p = 0; p * nr < Dv; ++p) {
        R* of_row = sums.row(r, p);
        const Index width = std::min(nr, Dv - p * nr);
        for (Index c = 0; raise != R(1) && c < width; ++c) of_row[c] *= raise;
        product += dot(d_out + p * nr, of_row, width);
      }
      work_.statistics.sum[at] = sum;
      work_.statistics.delta[at] = sum == R(0) ? R(0) : product / (sum * raise);
      work_.statistics.exponent[at] = scratch.running_max[r];
    }
  }

  // g = [d_out, −delta] / z of a query, 0 where z is. Where z has no reciprocal, it is raised, as
  // if the query's features were: out does not depend on their scale. Returns the factor.
  R load_gradient(const R* d_out, Index at, Index row) {
    const R sum = work_.statistics.sum[at], raise = gradient_raise_of(sum);
    R* values = queries.values + row * width_;
    if (sum == R(0)) {
      std::fill_n(values, width_, R(0));
      return 1;
    }
    const R factor = R(1) / (sum * raise);
    for (Index d = 0; d + 1 < width_; ++d) values[d] = factor * d_out[d];
    values[width_ - 1] = -work_.statistics.delta[at] * factor;
    return raise;
  }

  // d_features = the sums of features, each row times a factor.
  void take_d_features(Index count, const R* factors) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const simd::TileShape& shape = work_.plan.tile_shape;
    const Index features = work_.plan.features;
    const simd::Accumulator<const R> sums{scratch.of_features, shape.columns_in_panels(features),
                                          shape};
    work_.plan.kernels.of_sums.store_rows(sums, 0, factors,
                                          matrix_of(scratch.d_features, count, features));
  }

  // to = the gradient of x by that of its features, d_features.
  void store(const View<const T, 2>& x, const ScanRows<R>& rows, R sign, const View<T, 2>& to) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const Index D = work_.problem.shape.D;
    work_.map.gradient(work_.plan, x, sign, rows.features, scratch.d_features, scratch.d_rows,
                       scratch.map);
    const R* from = scratch.d_rows;
    for (Index r = 0; r < rows.count; ++r, from += D) {
      T* row = to.data + r * to.stride[0];
      if (to.stride[1] == 1) {  // apart, since only it is vectorised
        for (Index d = 0; d < D; ++d) row[d] = static_cast<T>(from[d]);
      } else {
        for (Index d = 0; d < D; ++d) row[d * to.stride[1]] = static_cast<T>(from[d]);
      }
    }
  }

  const Work& work_;
  Index b_, kv_head_;
  Index width_;                            // of a value and the 1 behind it
  std::array<R, ScanPlan::chunk> raises_;  // of the queries' features
};

}  // namespace HEED_ABI
}  // namespace heed::approx
