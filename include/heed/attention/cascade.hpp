// Attention of a batch whose sequences begin alike: their common prefix is read once for all of
// them. Juravsky et al., "Hydragen" (2024); Ye et al., "Cascade inference" (2024).
#pragma once

#include <string>
#include <type_traits>

#include "heed/attention/over_source.hpp"
#include "heed/core/eigen.hpp"
#include "heed/mask/causal.hpp"
#include "heed/softmax/merge.hpp"

namespace heed {

inline namespace HEED_ABI {

// The queries of all batch entries as those of one.
template <class T>
Tensor4<T> join_batch(const View<const T, 4>& q) {
  const Index B = q.extent[0], Hq = q.extent[1], Lq = q.extent[2], D = q.extent[3];
  auto joined = make_tensor<T, 4, Tensor4<T>::Layout>({1, Hq, checked_product(B, Lq), D});
  copy(q, View<T, 4>{joined.data(), {B, Hq, Lq, D}, {Lq * D, B * Lq * D, D, 1}});
  return joined;
}

inline void check_cascade(const kv::Extents& prefix, const kv::Extents& own,
                          const Options& options) {
  constexpr const char* call = "heed::cascade";
  const auto shapes = [&] {
    return "the prefix " + to_string(prefix) + ", the batch " + to_string(own);
  };
  require(prefix.B == 1, call, "the prefix must have batch 1", shapes);
  require_equal(prefix.Hkv, own.Hkv, "the prefix has heads", "the batch has", call, shapes);
  require_equal(prefix.D, own.D, "the prefix has dim", "the batch has", call, shapes);
  require_equal(prefix.Dv, own.Dv, "values of the prefix have dim", "the batch has", call, shapes);
  if (options.dropout != 0) throw Error(std::string(call) + ": dropout is not supported");
}

// attention_into of one part, in the name of heed::cascade.
template <class R, class Q, class K, class M>
void attend_part(R& part, const Q& q, const K& source, const M& mask, const Options& options) {
  constexpr const char* call = "heed::cascade";
  const auto& own_mask = as_mask(mask);
  auto problem = make_source_problem(call, q, source, own_mask, score::None{}, options);
  set_output(call, problem, part, q, view_of(q), view_of(q));
  run_over(problem, source, own_mask, score::None{}, options);
}

// attention(q, prefix and own keys together, mask over own keys), for keys of which each batch
// entry has the same prefix.
//
//   q       [B, Hq, Lq, D], or rank 3 or 2
//   prefix  a source of batch 1, all of whose keys every query sees
//   own     a source of batch B: the keys behind the prefix
//   mask    counts own keys alone
//
// Returns {out, lse} as attention does, with the rounding of a merge in the type of sums
// (softmax/merge.hpp). Throws heed::Error as attention does, for a prefix of another shape, and for
// dropout. Reads the prefix once, not B times; allocates O(B·Hq·Lq·(D + Dv)). options.report tells
// of the part over the prefix.
template <class Q, class P, class K, class M = mask::Causal>
requires RightSourceTypes<Q, P, M, score::None> && RightSourceTypes<Q, K, M, score::None>
auto cascade(const Q& q, const P& prefix, const K& own, const M& mask = {},
             const Options& options = {}) {
  using T = ScalarOf<Q>;
  using R = Accum<T>;
  using Traits = TraitsOf<Q>;
  check_cascade(prefix.extents(), own.extents(), options);
  const auto queries = lift(view_of(q));
  const Shape shape = check_source("heed::cascade", view_of(q), own);
  const Index B = shape.B, Hq = shape.Hq, Lq = shape.Lq, Dv = shape.Dv;

  Result<Tensor4<R>, Tensor3<R>> both{Tensor4<R>(B, Hq, Lq, Dv), Tensor3<R>(B, Hq, Lq)};
  attend_part(both, queries, own, mask, options);
  Result<Tensor4<R>, Tensor3<R>> shared{Tensor4<R>(1, Hq, B * Lq, Dv), Tensor3<R>(1, Hq, B * Lq)};
  Options of_prefix = options;
  of_prefix.sinks = {};  // which join once, beside the keys behind the prefix
  attend_part(shared, join_batch(queries), prefix, mask::None{}, of_prefix);
  const View<const R, 4> shared_out{
      shared.out.data(), {B, Hq, Lq, Dv}, {Lq * Dv, B * Lq * Dv, Dv, 1}};
  const View<const R, 3> shared_lse{shared.lse.data(), {B, Hq, Lq}, {Lq, B * Lq, 1}};
  merge_rows(lift(mutable_view_of(both.out)), rows_view(both.lse), shared_out, shared_lse);

  Result<typename Traits::template Owned<T>, typename Traits::template Rows<R>> result{
      make_like<T>(q, shape), make_rows<Q, R>(B, Hq, Lq)};
  copy(view_of(both.out), lift(Traits::template owned_view<T>(result.out)));
  const auto lse = lift_rows(Traits::template rows_view<R>(result.lse));
  for_each_row(view_of(both.out),
               [&](Index b, Index h, Index i) { lse(b, h, i) = both.lse(b, h, i); });
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed
