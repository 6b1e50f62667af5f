// Linformer: keys and values are projected along the tokens to a few, then attended to exactly.
// Wang et al., "Linformer: Self-Attention with Linear Complexity" (2020).
#pragma once

#include <algorithm>
#include <cmath>

#include "heed/approx/options.hpp"
#include "heed/approx/results.hpp"
#include "heed/approx/upcast.hpp"
#include "heed/core/normal.hpp"
#include "heed/mask/key_limit.hpp"
#include "heed/simd/gemm/product.hpp"

namespace heed::approx {

inline namespace HEED_ABI {

// A projection to begin with, [Lk, rank]: normal numbers of variance 1/rank. Linformer's Theorem 2.
// Throws heed::Error for a negative length or a rank below 1.
template <class T>
Tensor2<T> linformer_projection(Index Lk, Index rank, std::uint64_t seed) {
  if (Lk < 0 || rank < 1) {
    refuse({"heed::approx::linformer_projection: Lk ", Lk, ", rank ", rank});
  }
  auto projection = make_tensor<T, 2, Eigen::RowMajor>({Lk, rank});
  const double deviation = 1 / std::sqrt(static_cast<double>(rank));
  for (Index n = 0; n < projection.size(); ++n) {
    projection.data()[n] = static_cast<T>(static_cast<float>(deviation * gaussian(seed, n, 3)));
  }
  return projection;
}

// [Hkv, Lk, rank] of a projection, which may be one for all heads.
template <class E>
View<const ScalarOf<E>, 3> head_projections(const E& e, Index Hkv) {
  const auto view = view_of(e);
  if constexpr (rank_of<E> == 3) {
    return view;
  } else {
    return {view.data, {Hkv, view.extent[0], view.extent[1]}, {0, view.stride[0], view.stride[1]}};
  }
}

template <class T>
void check_projection(const char* call, const char* name, const View<const T, 3>& e,
                      const Shape& shape) {
  require_sane(e, call, name);
  if (e.extent[0] == shape.Hkv && e.extent[1] == shape.Lk && e.extent[2] >= 1) return;
  refuse({call, ": ", name, ", as [Hkv,Lk,rank] ", extents_of(e), ", does not fit ", shape.Hkv,
          " key heads of ", shape.Lk, " keys and a rank of at least 1"});
}

// The projections of a call, [Hkv, Lk, rank] each, checked against its keys and each other.
template <class T>
struct Projections {
  View<const T, 3> of_keys, of_values;

  Index rank() const { return of_keys.extent[2]; }
};

template <class E, class F>
auto check_projections(const char* call, const E& e, const F& f, const Shape& shape) {
  const Projections<ScalarOf<E>> both{head_projections(e, shape.Hkv),
                                      head_projections(f, shape.Hkv)};
  check_projection(call, "e", both.of_keys, shape);
  check_projection(call, "f", both.of_values, shape);
  if (both.of_values.extent[2] != both.rank()) {
    refuse({call, ": e has rank ", both.rank(), " but f has rank ", both.of_values.extent[2]});
  }
  return both;
}

// True where e and f are projections for tensors of T; else a compile error.
template <class T, class E, class F>
consteval bool check_projection_types() {
  static_assert(TensorLike<E> && TensorLike<F>,
                "heed::approx::linformer: e and f must be tensors [Lk, rank] or [Hkv, Lk, rank]");
  static_assert(std::is_same_v<T, ScalarOf<E>> && std::is_same_v<T, ScalarOf<F>>,
                "heed::approx::linformer: e and f must have the element type of q");
  static_assert((rank_of<E> == 2 || rank_of<E> == 3) && (rank_of<F> == 2 || rank_of<F> == 3),
                "heed::approx::linformer: e and f are [Lk, rank] or [Hkv, Lk, rank]");
  return true;
}

// keys = Eᵀk and values = Fᵀv of the keys before the end, [B, Hkv, rank, D] and [B, Hkv, rank, Dv].
template <class T, class M>
void project(const Problem<T>& problem, const Projections<T>& by, const M& mask, int threads,
             Executor* executor, const View<Accum<T>, 4>& keys, const View<Accum<T>, 4>& values) {
  using R = Accum<T>;
  const Shape& shape = problem.shape;
  const Index heads = checked_product(shape.B, shape.Hkv);
  parallel_for(heads, worker_count(heads, threads, executor), executor, [&](Index head, int) {
    const Index b = head / shape.Hkv, h = head % shape.Hkv;
    const Index length = mask::key_limit(mask, shape, b).length;
    simd::multiply_columns<R>(slice(by.of_keys.matrix(h), 0, length),
                              slice(problem.k.matrix(b, h), 0, length), keys.matrix(b, h).data);
    simd::multiply_columns<R>(slice(by.of_values.matrix(h), 0, length),
                              slice(problem.v.matrix(b, h), 0, length), values.matrix(b, h).data);
  });
}

// out = softmax(scale · q (Eᵀk)ᵀ) (Fᵀv).
//
//   q     [B, Hq,  Lq, D]     any tensor that attention takes; Hq % Hkv == 0
//   k     [B, Hkv, Lk, D]
//   v     [B, Hkv, Lk, Dv]
//   e, f  [Lk, rank], or [Hkv, Lk, rank] with one for each key head; e of keys, f of values
//   mask  none or mask::padding(lengths): keys behind the end are left out of the sums
//
// Returns {out}; it is 0 where a text has no keys. The log-sum-exp over projected keys is not that
// of the keys, and is not returned. Throws heed::Error as attention does, and where e and f do not
// fit. Time O((Lq + Lk)·rank·(D + Dv)); scratch O(rank·(D + Dv)), and a copy of q of half types.
// Wang et al., "Linformer" (2020), equation 7.
template <class Q, class K, class V, class E, class F, class M = mask::None>
requires RightTypes<Q, K, V, M>
auto linformer(const Q& q, const K& k, const V& v, const E& e, const F& f, const M& mask = {},
               const Options& options = {}) {
  constexpr const char* call = "heed::approx::linformer";
  static_assert(check_projection_types<ScalarOf<Q>, E, F>());
  static_assert(mask::is_padding_only<M>,
                "heed::approx::linformer: the mask can only be mask::padding(lengths): a projected "
                "key is a sum of many, early and late ones, and no other mask can tell them apart");
  using T = ScalarOf<Q>;
  using R = Accum<T>;
  const heed::Options common = options.common();
  Shape shape = check_call(call, q, k, v, mask, score::None{}, common);
  const auto projections = check_projections(call, e, f, shape);
  auto problem = make_problem(q, k, v, shape, common);
  auto result = output_for(q, problem);
  if (result.out.size() == 0) return result;
  const OwnedTensor<R> keys(shape.B, shape.Hkv, projections.rank(), shape.D);
  const OwnedTensor<R> values(shape.B, shape.Hkv, projections.rank(), shape.Dv);
  project(problem, projections, mask, options.threads, options.executor, keys.view(),
          values.view());
  shape.Lk = projections.rank();
  const Upcast<T, R> queries(problem.q);
  attention_in<T, R>(queries.view(), keys.view().as_const(), values.view().as_const(), shape,
                     problem.scale, problem.out, {nullptr, {}, {}}, mask::None{}, score::None{},
                     common);
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
