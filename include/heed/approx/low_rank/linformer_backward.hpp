// The gradients of Linformer, those of its projections among them.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/approx/low_rank/linformer.hpp"
#include "heed/attention/backward.hpp"

namespace heed::approx {

// d_e and d_f in the layouts of e and f.
template <class Q, class K, class V, class E, class F>
struct LinformerGradients {
  Q d_q;  // [B, Hq,  Lq, D]
  K d_k;  // [B, Hkv, Lk, D]
  V d_v;  // [B, Hkv, Lk, Dv]
  E d_e;  // [Lk, rank] or [Hkv, Lk, rank]
  F d_f;
};
template <class Q, class K, class V, class E, class F>
LinformerGradients(Q, K, V, E, F) -> LinformerGradients<Q, K, V, E, F>;

inline namespace HEED_ABI {

// [heads, Lk, rank] of a projection's gradient, one head where all share it.
template <class T>
View<T, 3> as_heads(const View<T, 3>& x) {
  return x;
}
template <class T>
View<T, 3> as_heads(const View<T, 2>& x) {
  return {x.data, {1, x.extent[0], x.extent[1]}, {0, x.stride[0], x.stride[1]}};
}

// Attention to projected keys and values, in the type of sums, and its gradients.
template <class R>
struct ProjectedGradients {
  OwnedTensor<R> keys, values, d_keys, d_values, d_q;

  ProjectedGradients(const Shape& shape, Index rank)
      : keys(shape.B, shape.Hkv, rank, shape.D),
        values(shape.B, shape.Hkv, rank, shape.Dv),
        d_keys(shape.B, shape.Hkv, rank, shape.D),
        d_values(shape.B, shape.Hkv, rank, shape.Dv),
        d_q(shape.B, shape.Hq, shape.Lq, shape.D) {}
};

// d_q, d_keys and d_values of g; shape.Lk is the rank.
template <class R>
void projected_backward(const View<const R, 4>& d_out, const View<const R, 4>& q,
                        const Shape& shape, double scale, const heed::Options& options,
                        const ProjectedGradients<R>& g) {
  const OwnedTensor<R> out(shape.B, shape.Hq, shape.Lq, shape.Dv);
  auto lse = zeros<R>(checked_product(checked_product(shape.B, shape.Hq), shape.Lq));
  const View<R, 3> of_rows = heed::view(lse.data(), {shape.B, shape.Hq, shape.Lq});
  const auto k = g.keys.view().as_const(), v = g.values.view().as_const();
  attention_in<R, R>(q, k, v, shape, scale, out.view(), of_rows, mask::None{}, score::None{},
                     options);
  Problem<R> problem{q, k, v, {}, of_rows, {nullptr, {}, {}}, shape, scale, Dropout::of(0, 0)};
  run_backward(problem, out.view().as_const(), d_out,
               GradientViews<R>{g.d_q.view(), g.d_keys.view(), g.d_values.view()}, mask::None{},
               score::None{}, options);
}

// Keys [begin, end) of one projection and its input x: d_x = E·d_p of each batch entry and head,
// and d_E = Σ x·d_pᵀ over the batch and, where all heads share E, over them. Both in ascending
// order; 0 behind the end of a text.
//
//   x      [B, Hkv, Lk, n]      e  [Hkv, Lk, rank]     d_p  [B, Hkv, rank, n]
//   d_x    as x                 d_e  as e
template <class T, class M>
struct UnprojectKeys {
  using R = Accum<T>;

  const Shape& shape;  // of the call
  const M& mask;
  const View<const T, 4>& x;
  const View<const T, 3>& e;
  const View<R, 4>& d_p;
  const View<T, 4>& d_x;
  const View<T, 3>& d_e;
  bool shared;  // e is one for all heads

  void operator()(Index begin, Index end) const {
    const Index rank = e.extent[2], n = x.extent[3];
    auto sum = zeros<R>((end - begin) * rank);
    auto part = zeros<R>((end - begin) * std::max(rank, n));
    for (Index h = 0; h < shape.Hkv; ++h) {
      if (h == 0 || !shared) std::fill(sum.begin(), sum.end(), R(0));
      const auto of_e = simd::rows_as<R>(slice(e.matrix(h), begin, end - begin));
      for (Index b = 0; b < shape.B; ++b) {
        const Index length = mask::key_limit(mask, shape, b).length;
        const Index count = std::clamp<Index>(length - begin, 0, end - begin);
        const View<const R, 2> d_rows = d_p.as_const().matrix(b, h);
        const auto to_x = matrix_of(part.data(), end - begin, n);
        simd::multiply<R>(matrix_of<const R>(of_e.data(), count, rank), transposed(d_rows),
                          slice(to_x, 0, count));
        std::fill(part.begin() + count * n, part.begin() + (end - begin) * n, R(0));
        store(to_x, slice(d_x.matrix(b, h), begin, end - begin));
        const auto of_x = simd::rows_as<R>(slice(x.matrix(b, h), begin, count));
        const auto to_e = matrix_of(part.data(), count, rank);
        simd::multiply<R>(matrix_of<const R>(of_x.data(), count, n), d_rows, to_e);
        for (Index at = 0; at < count * rank; ++at) {
          sum[static_cast<std::size_t>(at)] += part[static_cast<std::size_t>(at)];
        }
      }
      const bool last = !shared || h + 1 == shape.Hkv;
      if (last)
        store(matrix_of(sum.data(), end - begin, rank),
              slice(d_e.matrix(shared ? 0 : h), begin, end - begin));
    }
  }

  static void store(const View<R, 2>& from, const View<T, 2>& to) {
    for (Index r = 0; r < to.extent[0]; ++r) {
      for (Index d = 0; d < to.extent[1]; ++d) to(r, d) = static_cast<T>(from(r, d));
    }
  }
};

template <class T, class M>
void unproject(const UnprojectKeys<T, M>& keys, int threads, Executor* executor) {
  constexpr Index block = 256;
  const Index Lk = keys.shape.Lk, tasks = (Lk + block - 1) / block;
  parallel_for(tasks, worker_count(tasks, threads, executor), executor,
               [&](Index task, int) { keys(task * block, std::min(task * block + block, Lk)); });
}

// The gradients of Σ d_out ∘ out, where out = linformer(q, k, v, e, f, mask, options).out.
//
//   d_out    [B, Hq, Lq, Dv], of q's element type and rank, any strides
//   q, k, v  as for linformer; e, f, mask and options as in that call
//
// Returns {d_q, d_k, d_v, d_e, d_f} in the layouts of q, k, v, e and f; d_k and d_v are summed over
// the heads of a group, d_e and d_f over the batch and over the heads that share a projection.
// Where e and f are one tensor, its gradient is d_e + d_f. Keys behind the end of a text have
// gradient 0. Sums are float for half types, rounded once.
//
// The forward pass is computed again, so no result is asked for. Bits do not depend on threads.
// Throws heed::Error as linformer does, and where d_out is not [B, Hq, Lq, Dv].
// Time O((Lq + Lk)·rank·(D + Dv)); scratch O(Lq·(D + Dv)), and copies of q and d_out of half types.
// Wang et al., "Linformer" (2020), equation 7.
template <class DOut, class Q, class K, class V, class E, class F, class M = mask::None>
requires RightTypes<Q, K, V, M> && RightGradientTypes<DOut, Q, score::None>
auto linformer_backward(const DOut& d_out, const Q& q, const K& k, const V& v, const E& e,
                        const F& f, const M& mask = {}, const Options& options = {}) {
  constexpr const char* call = "heed::approx::linformer_backward";
  using T = ScalarOf<Q>;
  using R = Accum<T>;
  static_assert(check_projection_types<T, E, F>());
  static_assert(mask::is_padding_only<M>,
                "heed::approx::linformer_backward: the mask can only be mask::padding(lengths), as "
                "for linformer");
  const heed::Options common = options.common();
  const Shape shape = check_call(call, q, k, v, mask, score::None{}, common);
  const auto projections = check_projections(call, e, f, shape);
  const auto problem = make_problem(q, k, v, shape, common);
  const View<const T, 4> d_o = lift(view_of(d_out));
  check_shape_of_out(call, "d_out", d_o, shape);
  LinformerGradients gradients{make_as<T>(q), make_as<T>(k), make_as<T>(v), make_as<T>(e),
                               make_as<T>(f)};
  const auto to = gradient_views<Q, K, V>(gradients);
  std::fill_n(gradients.d_e.data(), gradients.d_e.size(), T(0));
  std::fill_n(gradients.d_f.data(), gradients.d_f.size(), T(0));
  if (shape.Lq == 0 && shape.Lk == 0) return gradients;
  Shape of_ranks = shape;
  of_ranks.Lk = projections.rank();
  const ProjectedGradients<R> projected(shape, projections.rank());
  project(problem, projections, mask, options.threads, options.executor, projected.keys.view(),
          projected.values.view());
  projected_backward(Upcast<T, R>(d_o).view(), Upcast<T, R>(problem.q).view(), of_ranks,
                     problem.scale, common, projected);
  copy(projected.d_q.view(), to.d_q);
  for (Index b = 0; b < shape.B; ++b) {
    if (mask::key_limit(mask, shape, b).length > 0) continue;
    for (Index h = 0; h < shape.Hq; ++h) fill(to.d_q.matrix(b, h), T(0));
  }
  const auto undo = [&](const auto& x, const auto& by, const auto& d_p, const auto& d_x,
                        const auto& d_by, bool shared) {
    unproject(UnprojectKeys<T, M>{shape, mask, x, by, d_p, d_x, d_by, shared}, options.threads,
              options.executor);
  };
  undo(problem.k, projections.of_keys, projected.d_keys.view(), to.d_k,
       as_heads(mutable_view_of(gradients.d_e)), rank_of<E> == 2);
  undo(problem.v, projections.of_values, projected.d_values.view(), to.d_v,
       as_heads(mutable_view_of(gradients.d_f)), rank_of<F> == 2);
  return gradients;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
