// One segment of a scan's gradients, on one worker. With w_ij = φ(q_i)·φ(k_j), z_i = Σ_j w_ij and
// out_i = Σ_j w_ij v_j / z_i:
//   g_i = [d_out_i, −delta_i] / z_i, delta_i = d_out_i·out_i, so that d_w_ij = g_i·[v_j, 1]
//   d_φ(q_i) = Σ_j d_w_ij φ(k_j) = S_i g_i        S_i = Σ_j φ(k_j) [v_j, 1]ᵀ, of the keys seen
//   d_φ(k_j) = Σ_i d_w_ij φ(q_i) = G_j [v_j, 1]   G_j = Σ_i φ(q_i) g_iᵀ, of the queries that see j
//   d_v_j = Σ_i w_ij d_out_i / z_i = G_jᵀ φ(k_j)
// Katharopoulos et al., "Transformers are RNNs" (2020), equations 13 to 15.
#pragma once

#include <algorithm>
#include <array>

#include "heed/approx/linear/scan_products.hpp"
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

// The segments of one head of keys.
template <class T, class Map>
class ScanGradientHead {
 public:
  using R = Accum<T>;
  using Work = ScanGradientWork<T, Map>;

  ScanGradientHead(const Work& work, const ScanCut& cut, Index head)
      : work_(work),
        cut_(cut),
        head_(head),
        b_(head / work.problem.shape.Hkv),
        kv_head_(head % work.problem.shape.Hkv),
        E_(work.problem.shape.Dv + 1),
        keys_(work.scratch.keys),
        queries_(work.scratch.queries),
        products_(work.plan, work.scratch) {}

  bool has_queries(Index n) const {
    const auto [begin, end] = cut_.keys_of(n);
    const auto [first, behind] = cut_.queries_of(begin, end);
    return first < behind;
  }

  // S of the keys of span n alone, which `own` holds afterwards.
  KvState<R> sum_keys(Index n) {
    KvState<R> own = cleared(work_.scratch.own);
    const auto [begin, end] = cut_.keys_of(n);
    for (Index j = begin; j < end; j += chunk) {
      load_keys(j, std::min(j + chunk, end));
      products_.pack(keys_, E_, false);
      products_.absorb_into(own, keys_.exponents);
    }
    return own;
  }

  // d_q and the statistics of the queries of span n. Returns S of its keys, as sum_keys does.
  KvState<R> scan_up(Index n) {
    KvState<R> own = cleared(work_.scratch.own);
    const auto [begin, end] = cut_.keys_of(n);
    for (Index j = begin; j < end; j += chunk) {
      const Index last = std::min(j + chunk, end);
      load_keys(j, last);
      const auto [first, behind] = cut_.queries_of(j, last);
      products_.pack(keys_, E_, first < behind);
      if (first < behind) {
        publish(work_.before.get(head_, n), &own);
        attend_queries(first, behind, j);
      }
      products_.absorb_into(own, keys_.exponents);
    }
    return own;
  }

  // d_q and the statistics of block n of the queries that see all keys.
  void scan_up_whole(Index n) {
    const auto [begin, end] = cut_.whole_block(n);
    if (begin == end) return;
    publish(work_.before.get(head_, work_.before.spans), nullptr);
    for (Index i = begin; i < end; i += chunk) {
      attend_queries(i, std::min(i + chunk, end), -1);
    }
  }

  // G of block n of the queries that see all keys.
  KvState<R> sum_whole(Index n) {
    KvState<R> own = cleared(work_.scratch.own);
    const auto [begin, end] = cut_.whole_block(n);
    for (Index i = end; i > begin; i -= std::min(chunk, i - begin)) {
      add_queries(own, std::max(begin, i - chunk), i, -1);
    }
    return own;
  }

  // G of the queries of span n.
  KvState<R> sum_queries(Index n) {
    KvState<R> own = cleared(work_.scratch.own);
    const auto [begin, end] = cut_.keys_of(n);
    for (Index j = last_chunk(begin, end); j >= begin; j -= chunk) {
      const auto [first, behind] = cut_.queries_of(j, std::min(j + chunk, end));
      if (first < behind) add_queries(own, first, behind, -1);
    }
    return own;
  }

  // d_k and d_v of span n. Returns G of its queries, as sum_queries does.
  KvState<R> scan_down(Index n) {
    KvState<R> own = cleared(work_.scratch.own);
    const auto [begin, end] = cut_.keys_of(n);
    bool published = false;
    for (Index j = last_chunk(begin, end); j >= begin; j -= chunk) {
      const Index last = std::min(j + chunk, end);
      const auto [first, behind] = cut_.queries_of(j, last);
      load_keys(j, last);
      if (!published) publish(work_.behind.get(head_, n + 1), &own);
      published = first == behind;
      std::transform(keys_.exponents, keys_.exponents + keys_.count, work_.scratch.tops,
                     [](R x) { return -x; });
      read_state(keys_, work_.scratch.tops);
      if (first < behind) add_queries(own, first, behind, j);
      store_keys(j, last);
    }
    return own;
  }

 private:
  static constexpr Index chunk = ScanPlan::chunk;

  // The first key of the last chunk; before `begin` where there is none.
  static Index last_chunk(Index begin, Index end) {
    return begin + ((end - begin + chunk - 1) / chunk - 1) * chunk;
  }

  KvState<R> cleared(R* sum) const {
    std::fill_n(sum, work_.plan.state(), R(0));
    return {sum, no_exponent<R>};
  }

  // The state that rows read: of `before` and of the span's own so far.
  void publish(const KvState<R>& before, const KvState<R>* own) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const Index F = work_.plan.features;
    exponent_ = own == nullptr ? before.exponent : std::max(before.exponent, own->exponent);
    const R factor = whole_power_of_2(before.exponent - exponent_);
    const R own_factor = own == nullptr ? R(0) : whole_power_of_2(own->exponent - exponent_);
    const auto sums = work_.plan.accumulator(before.sum);
    const auto more = work_.plan.accumulator(own == nullptr ? before.sum : own->sum);
    R* to = scratch.state_rows;
    for (Index f = 0; f < F; ++f) {
      for (Index p = 0, e = 0; e < E_; ++p) {
        const R *a = sums.row(f, p), *b = more.row(f, p);
        for (Index c = 0; c < sums.width(p) && e < E_; ++c, ++e) {
          *to++ = own == nullptr ? a[c] : a[c] * factor + b[c] * own_factor;
        }
      }
    }
    const auto rows = matrix_of<const R>(scratch.state_rows, F, E_);
    work_.plan.kernels.of_sums.pack_b(rows, scratch.state.plain);
    work_.plan.kernels.of_sums.pack_b_transposed(rows, scratch.state.transposed);
  }

  void read_state(const ScanRows<R>& rows, const R* tops) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    products_.read_state(rows.features, rows.count, scratch.state.plain, E_, exponent_, tops,
                         scratch.of_values);
    products_.read_state(rows.values, rows.count, scratch.state.transposed, work_.plan.features,
                         exponent_, tops, scratch.of_features);
  }

  void clear_padding(const ScanRows<R>& rows) const {
    const simd::TileShape& shape = work_.plan.tile_shape;
    const Index padded = shape.m_tiles(rows.count) * shape.mr, F = work_.plan.features;
    std::fill(rows.features + rows.count * F, rows.features + padded * F, R(0));
    std::fill(rows.values + rows.count * E_, rows.values + padded * E_, R(0));
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

  // Keys [begin, end): φ(k) and [v, 1].
  void load_keys(Index begin, Index end) {
    keys_.count = end - begin;
    std::fill_n(keys_.exponents, keys_.count, R(0));
    work_.map.features(work_.plan, slice(work_.problem.k.matrix(b_, kv_head_), begin, end - begin),
                       R(1), keys_.features, keys_.exponents, work_.scratch.map);
    const Index Dv = E_ - 1;
    const R* v = take_rows(slice(work_.problem.v.matrix(b_, kv_head_), begin, end - begin));
    for (Index r = 0; r < keys_.count; ++r) {
      *std::copy_n(v + r * Dv, Dv, keys_.values + r * E_) = 1;
    }
    clear_padding(keys_);
  }

  // d_q and the statistics of queries [begin, end) of all heads of the group, against the state
  // and, from key `own` on, the packed columns.
  void attend_queries(Index begin, Index end, Index own) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const Shape& shape = work_.problem.shape;
    for (Index g = 0; g < shape.group(); ++g) {
      const Index h = kv_head_ * shape.group() + g;
      const auto q = query_rows(work_.problem.q, h, begin, end);
      queries_.count = end - begin;
      work_.map.features(work_.plan, q, work_.map.query_sign(), queries_.features,
                         queries_.exponents, scratch.map);
      clear_padding(queries_);
      find_tops(begin, own);
      products_.read_state(queries_.features, queries_.count, scratch.state.plain, E_, exponent_,
                           work_.scratch.tops, scratch.of_values);
      if (own >= 0) {
        products_.set_mask(queries_.count);
        products_.add_values(queries_.features, queries_.count, keys_.exponents, work_.scratch.tops,
                             scratch.of_values);
      }
      std::array<R, ScanPlan::chunk> raises;
      const R* d_out = take_rows(query_rows(work_.d_out, h, begin, end));
      find_statistics(d_out, h, begin);
      for (Index r = 0; r < queries_.count; ++r) {
        raises[static_cast<std::size_t>(r)] =
            load_gradient(d_out + r * (E_ - 1), statistics_at(h, begin + r), r);
      }
      products_.read_state(queries_.values, queries_.count, scratch.state.transposed,
                           work_.plan.features, exponent_, work_.scratch.tops, scratch.of_features);
      if (own >= 0) {
        products_.add_features(queries_.values, queries_.count, keys_.exponents, work_.scratch.tops,
                               scratch.of_features);
      }
      take_d_features(queries_.count, raises.data());
      store(q, queries_, work_.map.query_sign(),
            slice(work_.to.d_q.matrix(b_, h), begin, end - begin));
    }
  }

  // The columns that each row sees, and the largest exponent of them and the state.
  void find_tops(Index begin, Index own) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    std::fill_n(scratch.visible, scratch.rows, Index{0});
    R top = exponent_;
    Index j = 0;
    for (Index r = 0; r < queries_.count; ++r) {
      if (own >= 0) scratch.visible[r] = cut_.visible.keys(begin + r) - own;
      for (; j < scratch.visible[r]; ++j) {
        if (keys_.exponents[j] > top) top = keys_.exponents[j];
      }
      work_.scratch.tops[r] = top;
    }
    std::fill(work_.scratch.tops + queries_.count, work_.scratch.tops + scratch.rows, top);
  }

  Index statistics_at(Index h, Index i) const {
    return (b_ * work_.problem.shape.Hq + h) * work_.problem.shape.Lq + i;
  }

  // z, delta and the top of each query, of its sums.
  void find_statistics(const R* d_out, Index h, Index begin) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const Index nr = work_.plan.tile_shape.nr, Dv = E_ - 1;
    const auto sums = simd::ScoreTiles<R>::of(work_.plan.tile_shape, scratch.of_values, scratch.all,
                                              queries_.count, E_);
    for (Index r = 0; r < queries_.count; ++r, d_out += Dv) {
      const Index at = statistics_at(h, begin + r);
      const R sum = sums.at(r, Dv), raise = raise_of(sum);
      R product = 0;
      for (Index p = 0; p * nr < Dv; ++p) {
        R* of_row = sums.row(r, p);
        const Index width = std::min(nr, Dv - p * nr);
        for (Index c = 0; raise != R(1) && c < width; ++c) of_row[c] *= raise;
        product += dot(d_out + p * nr, of_row, width);
      }
      work_.statistics.sum[at] = sum;
      work_.statistics.delta[at] = sum == R(0) ? R(0) : product / (sum * raise);
      work_.statistics.exponent[at] = scratch.tops[r];
    }
  }

  // g = [d_out, −delta] / z of a query, 0 where z is. Where z has no reciprocal, it is raised, as
  // if the query's features were: out does not depend on their scale. Returns the factor.
  R load_gradient(const R* d_out, Index at, Index row) {
    const R sum = work_.statistics.sum[at], raise = raise_of(sum);
    R* values = queries_.values + row * E_;
    if (sum == R(0)) {
      std::fill_n(values, E_, R(0));
      return 1;
    }
    const R factor = R(1) / (sum * raise);
    for (Index d = 0; d + 1 < E_; ++d) values[d] = factor * d_out[d];
    values[E_ - 1] = -work_.statistics.delta[at] * factor;
    return raise;
  }

  // The queries [begin, end) of head h, last first, with g.
  void load_queries(Index h, Index begin, Index end) {
    const auto last_first = [](View<const T, 2> x) {
      x.data += (x.extent[0] - 1) * x.stride[0];
      x.stride[0] = -x.stride[0];
      return x;
    };
    const Index F = work_.plan.features;
    queries_.count = end - begin;
    work_.map.features(work_.plan, last_first(query_rows(work_.problem.q, h, begin, end)),
                       work_.map.query_sign(), queries_.features, queries_.exponents,
                       work_.scratch.map);
    const R* d_out = take_rows(last_first(query_rows(work_.d_out, h, begin, end)));
    for (Index r = 0; r < queries_.count; ++r, d_out += E_ - 1) {
      const Index at = statistics_at(h, end - 1 - r);
      const R raise = load_gradient(d_out, at, r);
      for (Index f = 0; raise != R(1) && f < F; ++f) queries_.features[r * F + f] *= raise;
      queries_.exponents[r] = -work_.statistics.exponent[at];
    }
    clear_padding(queries_);
  }

  // G += Σ φ(q) gᵀ of queries [begin, end), whose group passes by. From key `own` on, what they add
  // to the rows of keys as well.
  void add_queries(KvState<R>& state, Index begin, Index end, Index own) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const Index group = work_.problem.shape.group();
    if (own >= 0) {
      std::fill_n(scratch.visible, scratch.rows, Index{0});
      for (Index r = 0; r < keys_.count; ++r) {
        scratch.visible[r] = std::clamp<Index>(end - cut_.first_query(own + r), 0, end - begin);
      }
    }
    for (Index g = 0; g < group; ++g) {
      load_queries(kv_head_ * group + g, begin, end);
      products_.pack(queries_, E_, own >= 0);
      if (own >= 0) {
        products_.set_mask(keys_.count);
        products_.add_values(keys_.features, keys_.count, queries_.exponents, scratch.tops,
                             scratch.of_values);
        products_.add_features(keys_.values, keys_.count, queries_.exponents, scratch.tops,
                               scratch.of_features);
      }
      products_.absorb_into(state, queries_.exponents);
    }
  }

  // d_k and d_v of keys [begin, end), whose sums are complete.
  void store_keys(Index begin, Index end) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const simd::TileShape& shape = work_.plan.tile_shape;
    const simd::Accumulator<const R> d_v{scratch.of_values, shape.panels(E_) * shape.nr, shape};
    std::fill_n(scratch.tops, keys_.count, R(1));
    work_.plan.kernels.of_tensors.store_rows(
        d_v, 0, scratch.tops, slice(work_.to.d_v.matrix(b_, kv_head_), begin, end - begin));
    take_d_features(keys_.count, scratch.tops);
    store(slice(work_.problem.k.matrix(b_, kv_head_), begin, end - begin), keys_, R(1),
          slice(work_.to.d_k.matrix(b_, kv_head_), begin, end - begin));
  }

  // d_features = the sums of features, each row times a factor.
  void take_d_features(Index count, const R* factors) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const simd::TileShape& shape = work_.plan.tile_shape;
    const Index F = work_.plan.features;
    const simd::Accumulator<const R> sums{scratch.of_features, shape.panels(F) * shape.nr, shape};
    work_.plan.kernels.of_sums.store_rows(sums, 0, factors,
                                          matrix_of(scratch.d_features, count, F));
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
  const ScanCut& cut_;
  Index head_, b_, kv_head_, E_;
  ScanRows<R> keys_, queries_;
  ScanProducts<T, Map::weighted> products_;
  R exponent_ = 0;  // of the published state
};

}  // namespace HEED_ABI
}  // namespace heed::approx
