// One segment of a scan's gradients, on one worker. With w_ij = φ(q_i)·φ(k_j), z_i = Σ_j w_ij and
// out_i = Σ_j w_ij v_j / z_i:
//   g_i = [d_out_i, −delta_i] / z_i, delta_i = d_out_i·out_i, so that d_w_ij = g_i·[v_j, 1]
//   d_φ(q_i) = Σ_j d_w_ij φ(k_j) = S_i g_i        S_i = Σ_j φ(k_j) [v_j, 1]ᵀ, of the keys seen
//   d_φ(k_j) = Σ_i d_w_ij φ(q_i) = G_j [v_j, 1]   G_j = Σ_i φ(q_i) g_iᵀ, of the queries that see j
//   d_v_j = Σ_i w_ij d_out_i / z_i = G_jᵀ φ(k_j)
// Katharopoulos et al., "Transformers are RNNs" (2020), equations 13 to 15.
#pragma once

#include <algorithm>

#include "heed/approx/linear/scan_gradient_rows.hpp"
#include "heed/approx/linear/scan_products.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

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
        rows_(work, head),
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
      rows_.load_keys(j, std::min(j + chunk, end));
      products_.pack(rows_.keys, rows_.width(), false);
      products_.absorb_into(own, rows_.keys.exponents);
    }
    return own;
  }

  // d_q and the statistics of the queries of span n. Returns S of its keys, as sum_keys does.
  KvState<R> scan_up(Index n) {
    KvState<R> own = cleared(work_.scratch.own);
    const auto [begin, end] = cut_.keys_of(n);
    for (Index j = begin; j < end; j += chunk) {
      const Index last = std::min(j + chunk, end);
      rows_.load_keys(j, last);
      const auto [first, behind] = cut_.queries_of(j, last);
      products_.pack(rows_.keys, rows_.width(), first < behind);
      if (first < behind) {
        publish(work_.before.get(head_, n), &own);
        attend_queries(first, behind, j);
      }
      products_.absorb_into(own, rows_.keys.exponents);
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
      rows_.load_keys(j, last);
      if (!published) publish(work_.behind.get(head_, n + 1), &own);
      published = first == behind;
      std::transform(rows_.keys.exponents, rows_.keys.exponents + rows_.keys.count,
                     work_.scratch.running_max, [](R x) { return -x; });
      read_state(rows_.keys, work_.scratch.running_max);
      if (first < behind) add_queries(own, first, behind, j);
      rows_.store_keys(j, last);
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
    const Index features = work_.plan.features;
    exponent_ = own == nullptr ? before.exponent : std::max(before.exponent, own->exponent);
    const R factor = whole_power_of_2(before.exponent - exponent_);
    const R own_factor = own == nullptr ? R(0) : whole_power_of_2(own->exponent - exponent_);
    const auto sums = work_.plan.accumulator(before.sum);
    const auto more = work_.plan.accumulator(own == nullptr ? before.sum : own->sum);
    R* to = scratch.state_rows;
    for (Index f = 0; f < features; ++f) {
      for (Index p = 0, e = 0; e < rows_.width(); ++p) {
        const R *a = sums.row(f, p), *b = more.row(f, p);
        for (Index c = 0; c < sums.width(p) && e < rows_.width(); ++c, ++e) {
          *to++ = own == nullptr ? a[c] : a[c] * factor + b[c] * own_factor;
        }
      }
    }
    const auto rows = matrix_of<const R>(scratch.state_rows, features, rows_.width());
    work_.plan.kernels.of_sums.pack_b(rows, scratch.state.plain);
    work_.plan.kernels.of_sums.pack_b_transposed(rows, scratch.state.transposed);
  }

  void read_state(const ScanRows<R>& rows, const R* running_max) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    products_.read_state(rows.features, rows.count, scratch.state.plain, rows_.width(), exponent_,
                         running_max, scratch.of_values);
    products_.read_state(rows.values, rows.count, scratch.state.transposed, work_.plan.features,
                         exponent_, running_max, scratch.of_features);
  }

  // d_q and the statistics of queries [begin, end) of all heads of the group, against the state
  // and, from key `own` on, the packed columns.
  void attend_queries(Index begin, Index end, Index own) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const Shape& shape = work_.problem.shape;
    for (Index n = 0; n < shape.group(); ++n) {
      const Index h = rows_.query_head(n);
      const ScanRows<R>& queries = rows_.queries;
      rows_.load_query_features(h, begin, end);
      find_running_max(begin, own);
      if (own >= 0) products_.set_mask(queries.count);
      products_.read_state(queries.features, queries.count, scratch.state.plain, rows_.width(),
                           exponent_, scratch.running_max, scratch.of_values);
      if (own >= 0) {
        products_.add_values(queries.features, queries.count, rows_.keys.exponents,
                             scratch.running_max, scratch.of_values);
      }
      rows_.find_gradients(h, begin);
      products_.read_state(queries.values, queries.count, scratch.state.transposed,
                           work_.plan.features, exponent_, scratch.running_max,
                           scratch.of_features);
      if (own >= 0) {
        products_.add_features(queries.values, queries.count, rows_.keys.exponents,
                               scratch.running_max, scratch.of_features);
      }
      rows_.store_queries(h, begin);
    }
  }

  // The columns that each row sees, and the largest exponent of them and the state.
  void find_running_max(Index begin, Index own) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    std::fill_n(scratch.visible, scratch.rows, Index{0});
    R top = exponent_;
    Index j = 0;
    for (Index r = 0; r < rows_.queries.count; ++r) {
      if (own >= 0) scratch.visible[r] = cut_.visible.keys(begin + r) - own;
      for (; j < scratch.visible[r]; ++j) {
        if (rows_.keys.exponents[j] > top) top = rows_.keys.exponents[j];
      }
      work_.scratch.running_max[r] = top;
    }
    std::fill(work_.scratch.running_max + rows_.queries.count,
              work_.scratch.running_max + scratch.rows, top);
  }

  // G += Σ φ(q) gᵀ of queries [begin, end), whose group passes by. From key `own` on, what they add
  // to the rows of keys as well.
  void add_queries(KvState<R>& state, Index begin, Index end, Index own) {
    const ScanGradientScratch<R>& scratch = work_.scratch;
    const Index group = work_.problem.shape.group();
    if (own >= 0) {
      std::fill_n(scratch.visible, scratch.rows, Index{0});
      for (Index r = 0; r < rows_.keys.count; ++r) {
        scratch.visible[r] = std::clamp<Index>(end - cut_.first_query(own + r), 0, end - begin);
      }
    }
    for (Index n = 0; n < group; ++n) {
      rows_.load_queries(rows_.query_head(n), begin, end);
      products_.pack(rows_.queries, rows_.width(), own >= 0);
      if (own >= 0) {
        products_.set_mask(rows_.keys.count);
        products_.add_values(rows_.keys.features, rows_.keys.count, rows_.queries.exponents,
                             scratch.running_max, scratch.of_values);
        products_.add_features(rows_.keys.values, rows_.keys.count, rows_.queries.exponents,
                               scratch.running_max, scratch.of_features);
      }
      products_.absorb_into(state, rows_.queries.exponents);
    }
  }

  const Work& work_;
  const ScanCut& cut_;
  Index head_;
  ScanGradientRows<T, Map> rows_;
  ScanProducts<T, Map::weighted> products_;
  R exponent_ = 0;  // of the published state
};

}  // namespace HEED_ABI
}  // namespace heed::approx
