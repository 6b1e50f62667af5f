// The textbook's gradients, a row at a time, with nothing fused. The oracle of every backward call.
//
// With p = softmax(m), m the modified scores, w = p after dropout and o = w·v:
//   d_v = wᵀ·d_o     d_p = keep ∘ (d_o·vᵀ)     d_m = p ∘ (d_p − Σ_j p_j·d_p_j)
//   d_s = d_m ∘ derivative(s)     d_q = scale·d_s·k     d_k = scale·d_sᵀ·q
//   d_sink = −p_sink · Σ_j p_j·d_p_j: a score whose value is 0
// Dao et al., "FlashAttention" (2022), Algorithm 4.
#pragma once

#include <cmath>
#include <type_traits>
#include <vector>

#include "heed/attention/gradients.hpp"
#include "heed/attention/reference/forward.hpp"
#include "heed/attention/score_gradients.hpp"
#include "heed/core/zeros.hpp"

namespace heed::reference {

template <class Q, class K, class V, class Scores>
struct ReferenceGradients {
  Q d_q;
  K d_k;
  V d_v;
  Scores d_scores;  // [B, Hq, Lq, Lk]  of the modified scores; 0 where masked
};
template <class Q, class K, class V, class Scores>
ReferenceGradients(Q, K, V, Scores) -> ReferenceGradients<Q, K, V, Scores>;

inline namespace HEED_ABI {

// A row of Lk numbers each.
template <class W, class R>
struct RowGradient {
  const W* weights;          // p
  const W* dropped_weights;  // p after dropout
  const W* scores;           // s, before the score modifier
  const R* modified;         // m, −inf where masked
  W* d_scores;               // d_m, written; 0 on entry
};

// d_m of one query; returns Σ p·d_p. Each product is rounded to W, as the obvious code in W does.
template <class W, class T, class R>
R row_gradient(const Problem<T>& problem, const View<const T, 4>& d_out, Index b, Index h, int i,
               const RowGradient<W, R>& row) {
  const Index kv_head = h / problem.shape.group();
  const Dropout& dropout = problem.dropout;
  std::vector<R> d_p(static_cast<std::size_t>(problem.shape.Lk));
  R mean = 0;  // Σ p·d_p
  for (std::size_t j = 0; j < d_p.size(); ++j) {
    if (is_masked(row.modified[j])) continue;
    const bool kept = !dropout.active() ||
                      dropout.keeps(static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(h),
                                    static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j));
    R dot = 0;
    for (Index d = 0; kept && d < problem.shape.Dv; ++d) {
      dot += static_cast<R>(d_out(b, h, i, d)) *
             static_cast<R>(problem.v(b, kv_head, static_cast<Index>(j), d));
    }
    d_p[j] = static_cast<R>(static_cast<W>(dot * static_cast<R>(dropout.keep_scale)));
    mean += static_cast<R>(row.weights[j]) * d_p[j];
  }
  for (std::size_t j = 0; j < d_p.size(); ++j) {
    if (is_masked(row.modified[j])) continue;
    row.d_scores[j] = static_cast<W>(static_cast<R>(row.weights[j]) * (d_p[j] - mean));
  }
  return mean;
}

// Sums of one head of keys in R, rounded once: [Lk, D] and [Lk, Dv].
template <class R>
struct KvSums {
  std::vector<R> d_k, d_v;

  explicit KvSums(const Shape& shape)
      : d_k(static_cast<std::size_t>(checked_product(shape.Lk, shape.D))),
        d_v(static_cast<std::size_t>(checked_product(shape.Lk, shape.Dv))) {}
};

// The gradients of one query: its d_q, and its share of d_k and d_v.
template <class W, class T, class R, class S>
void add_row(const Problem<T>& problem, const View<const T, 4>& d_out, Index b, Index h, int i,
             const S& score, const RowGradient<W, R>& row, const View<W, 4>& d_q, KvSums<R>& sums) {
  const Index kv_head = h / problem.shape.group(), D = problem.shape.D, Dv = problem.shape.Dv;
  const R scale = static_cast<R>(problem.scale);
  std::vector<R> of_q(static_cast<std::size_t>(D));
  for (int j = 0; j < problem.shape.Lk; ++j) {
    if (is_masked(row.modified[j])) continue;
    const R slope = static_cast<R>(score.derivative(static_cast<R>(row.scores[j]), i, j));
    const R d_s = static_cast<R>(static_cast<W>(static_cast<R>(row.d_scores[j]) * slope)) * scale;
    for (Index d = 0; d < D; ++d) {
      of_q[static_cast<std::size_t>(d)] += d_s * static_cast<R>(problem.k(b, kv_head, j, d));
      sums.d_k[static_cast<std::size_t>(j * D + d)] += d_s * static_cast<R>(problem.q(b, h, i, d));
    }
    const R w = static_cast<R>(row.dropped_weights[j]);
    for (Index d = 0; d < Dv; ++d) {
      sums.d_v[static_cast<std::size_t>(j * Dv + d)] += w * static_cast<R>(d_out(b, h, i, d));
    }
  }
  for (Index d = 0; d < D; ++d) d_q(b, h, i, d) = static_cast<W>(of_q[static_cast<std::size_t>(d)]);
}

// Adds to the gradients of what the score holds, pair by pair.
template <class TheScore, class W, class R, class S, class Sums>
void add_score_row(const Shape& shape, int i, const S& score, const RowGradient<W, R>& row,
                   const Sums& sums) {
  for (int j = 0; j < shape.Lk; ++j) {
    if (is_masked(row.modified[j])) continue;
    R d = static_cast<R>(row.d_scores[j]);
    const R s = static_cast<R>(row.scores[j]);
    score::ChainRule<TheScore>::template row<0, 1>(score, sums, &d, &s, i, j, 1);
  }
}

template <class W, class R>
void store_sums(const KvSums<R>& sums, Index b, Index kv_head, const View<W, 4>& d_k,
                const View<W, 4>& d_v) {
  const auto store = [&](const std::vector<R>& from, const View<W, 4>& to) {
    for (Index j = 0; j < to.extent[2]; ++j) {
      for (Index d = 0; d < to.extent[3]; ++d) {
        to(b, kv_head, j, d) = static_cast<W>(from[static_cast<std::size_t>(j * to.extent[3] + d)]);
      }
    }
  };
  store(sums.d_k, d_k);
  store(sums.d_v, d_v);
}

// Throws heed::Error where what is written besides the result overlaps what is read.
template <class T, class S>
void check_written(const char* call, const Problem<T>& problem, const View<const T, 4>& d_out,
                   const S& score, const Options& options) {
  check_score_gradients(call, score, problem.shape, options, std::pair{"q", problem.q},
                        std::pair{"k", problem.k}, std::pair{"v", problem.v},
                        std::pair{"d_out", d_out},
                        std::pair{"options.sinks", options.sinks.bytes()},
                        std::pair{"options.d_sinks", options.d_sinks.bytes()});
  check_d_sinks(call, problem.shape.Hq, options, std::pair{"q", problem.q},
                std::pair{"k", problem.k}, std::pair{"v", problem.v}, std::pair{"d_out", d_out});
}

// Gradients of Σ d_out ∘ out, O(Lq·Lk) memory, one thread.
//
//   d_out [B, Hq, Lq, Dv]   q [B, Hq, Lq, D]   k [B, Hkv, Lk, D]   v [B, Hkv, Lk, Dv]
//
// Returns {d_q, d_k, d_v, d_scores}, the first three in the layouts of q, k and v, summed over the
// heads of a group; d_scores of the scores after the modifier. A masked pair adds nothing, whatever
// its key holds; a row that sees no key has gradient 0. attention_backward<double>(…) is the
// oracle; without <double> it rounds where the obvious code in the inputs' type does. A score needs
// a derivative. The gradients that score::with_gradient and options.d_sinks ask for are written
// too, summed in double.
// Throws heed::Error as attention does, and where d_out has another shape than out.
template <class Compute = void, class DOut, class Q, class K, class V, class M = mask::None,
          class S = score::None>
requires RightTypes<Q, K, V, M, S> && RightGradientTypes<DOut, Q, S>
auto attention_backward(const DOut& d_out, const Q& q, const K& k, const V& v, const M& mask = {},
                        const S& score = {}, const Options& options = {}) {
  using T = ScalarOf<Q>;
  using W = std::conditional_t<std::is_void_v<Compute>, T, Compute>;
  using R = Accum<W>;
  const auto& the_mask = as_mask(mask);
  const auto& the_score = as_score(score);
  constexpr const char* call = "heed::reference::attention_backward";
  const Shape shape = check_call(call, q, k, v, the_mask, the_score, options);
  const auto problem = make_problem(q, k, v, shape, options);
  const View<const T, 4> d_o = lift(view_of(d_out));
  check_shape_of_out(call, "d_out", d_o, shape);
  check_written(call, problem, d_o, the_score, options);

  ReferenceGradients gradients{make_as<W>(q), make_as<W>(k), make_as<W>(v),
                               make_scores<Q, W>(shape)};
  const auto d_q = lift(TraitsOf<Q>::template owned_view<W>(gradients.d_q));
  const auto d_k = lift(TraitsOf<K>::template owned_view<W>(gradients.d_k));
  const auto d_v = lift(TraitsOf<V>::template owned_view<W>(gradients.d_v));
  std::fill_n(gradients.d_scores.data(), gradients.d_scores.size(), W(0));
  const auto keys = static_cast<std::size_t>(shape.Lk);
  std::vector<W> weights(keys), dropped(keys), scores(keys), masked_scores(keys);
  std::vector<R> modified(keys);
  std::vector<double> d_sinks(static_cast<std::size_t>(shape.Hq));
  using TheScore = std::remove_cvref_t<decltype(the_score)>;
  auto totals = zeros<double>(sums_bytes<R>(the_score, shape, 0) / Index{sizeof(double)});
  Carver carver(reinterpret_cast<std::byte*>(totals.data()));
  const auto score_sums = gradient_sums<R>(carver, the_score, shape, 0);
  for (Index b = 0; b < shape.B; ++b) {
    for (Index kv_head = 0; kv_head < shape.Hkv; ++kv_head) {
      KvSums<R> sums(shape);
      for (Index g = 0; g < shape.group(); ++g) {
        const Index h = kv_head * shape.group() + g;
        const auto bound_mask = mask::bind(the_mask, shape, b, h);
        const auto bound_score = score::bind(the_score, shape, b, h);
        for (int i = 0; i < shape.Lq; ++i) {
          const R lse = row(problem, b, h, i, bound_mask, bound_score, weights.data(),
                            dropped.data(), scores.data(), masked_scores.data(), modified);
          const RowGradient<W, R> of_row{
              weights.data(), dropped.data(), scores.data(), modified.data(),
              gradients.d_scores.data() + ((b * shape.Hq + h) * shape.Lq + i) * shape.Lk};
          const R mean = row_gradient(problem, d_o, b, h, i, of_row);
          d_sinks[static_cast<std::size_t>(h)] -= sink_weight(sink_of<R>(problem, h), lse) * mean;
          add_row(problem, d_o, b, h, i, bound_score, of_row, d_q, sums);
          add_score_row<TheScore>(shape, i, bound_score, of_row, head_sums(score_sums, b, h, 0));
        }
      }
      store_sums(sums, b, kv_head, d_k, d_v);
    }
  }
  for (Index h = 0; h < options.d_sinks.size(); ++h) {
    options.d_sinks.set(h, d_sinks[static_cast<std::size_t>(h)]);
  }
  for_each_of(score_sums, [](const auto& of_one) {
    for (Index n = 0; n < of_one.rows(); ++n) store_row(of_one, n);
  });
  return gradients;
}

}  // namespace HEED_ABI
}  // namespace heed::reference
