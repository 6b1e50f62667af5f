// From a user's call to a checked Problem: types, shapes, mask, score, options. Needs no Eigen.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>

#include "heed/attention/problem.hpp"
#include "heed/core/check.hpp"
#include "heed/core/layout.hpp"
#include "heed/core/tensor.hpp"
#include "heed/kv/source.hpp"
#include "heed/mask/combine.hpp"
#include "heed/score/combine.hpp"

namespace heed {

using mask::as_mask;
using score::as_score;

inline namespace HEED_ABI {

template <class X>
concept AnyOptions = requires(const X& x) {
  x.scale;
  x.threads;
};

// True for a callable that is mutable or move-only: nearly a mask (no Score) or a score (Score is
// the float).
template <class F, class... Score>
concept AlmostFunction = std::is_invocable_v < std::decay_t<F>
&, Score..., int, int > || std::is_invocable_v<std::decay_t<F>&, Score..., int, int, int, int>;

// True where q, k and v are tensors of one type and rank; else a compile error that says what is
// wrong.
template <class Q, class K, class V>
consteval bool check_tensors() {
  if constexpr (!(TensorLike<Q> && TensorLike<K> && TensorLike<V>)) {
    static_assert(TensorLike<Q> && TensorLike<K> && TensorLike<V>,
                  "heed: q, k and v must be Eigen tensors, matrices or maps in memory (evaluate "
                  "expressions first), or heed::view(pointer, shape)");
    return false;
  } else {
    constexpr bool one_type =
        std::is_same_v<ScalarOf<Q>, ScalarOf<K>> && std::is_same_v<ScalarOf<Q>, ScalarOf<V>>;
    constexpr bool float16 = is_float16<ScalarOf<Q>> || is_float16<ScalarOf<K>>;
    constexpr bool known = AttentionElement<ScalarOf<Q>>;
    constexpr bool one_rank = rank_of<Q> == rank_of<K> && rank_of<Q> == rank_of<V>;
    constexpr bool ranked = rank_of<Q> >= 2 && rank_of<Q> <= 4;
    static_assert(one_type, "heed: q, k and v must have the same element type");
    static_assert(!float16 || !one_type,
                  "heed: _Float16, std::float16_t and std::bfloat16_t are not elements of heed's: "
                  "their bits are those of heed::Half and heed::BFloat16, which a pointer can be "
                  "cast to: heed::view(reinterpret_cast<const heed::Half*>(pointer), shape)");
    static_assert(known || float16 || !one_type,
                  "heed: elements must be float, double, heed::Half or heed::BFloat16");
    static_assert(one_rank, "heed: q, k and v must have the same rank");
    static_assert(ranked || !one_rank, "heed: tensors are [B, H, L, D], [B, L, D] or [L, D]");
    return one_type && known && one_rank && ranked;
  }
}

// True where M is a mask; else a compile error that names what is in the mask's place.
template <class M>
consteval bool check_mask_type() {
  constexpr bool good = mask::MaskLike<M>;
  constexpr bool numbers = !good && HoldsNumbers<M>;
  constexpr bool score = !good && !numbers && score::ScoreLike<M>;
  constexpr bool options = !good && !numbers && !score && AnyOptions<M>;
  constexpr bool almost = !good && !numbers && !score && !options && AlmostFunction<M>;
  constexpr bool copies = std::copy_constructible<std::decay_t<M>>;
  constexpr bool asked =
      std::is_invocable_v<const M&, int, int> || std::is_invocable_v<const M&, int, int, int, int>;
  static_assert(!numbers,
                "heed: a tensor stands in the mask's place: nonzero attends: mask::dense(t), and "
                "of [B, Lk] mask::dense(t, mask::axes::keys); added to the score: score::bias(t), "
                "after the mask; lengths: mask::padding(lengths)");
  static_assert(!score,
                "heed: a score stands in the mask's place: the order is mask, score, options; "
                "pass {} or mask::none() for no mask");
  static_assert(!options,
                "heed: options stand in the mask's place: the order is mask, score, options; "
                "pass {} for no mask and {} for no score");
  static_assert(!almost || copies,
                "heed: the mask must be copyable: capture by reference or by std::shared_ptr what "
                "can only be moved");
  static_assert(!almost || !copies || asked,
                "heed: the mask must be callable while const, since several threads ask it: "
                "remove 'mutable'");
  static_assert(!almost || !copies || !asked,
                "heed: the mask must return bool, true where the key is seen; what returns a "
                "number may be a score: pass it after the mask");
  static_assert(good || numbers || score || options || almost,
                "heed: the mask must satisfy heed::mask::Mask or be callable as (i, j) or "
                "(b, h, i, j) -> bool");
  return good;
}

// True where S is a score; else a compile error that names what is in the score's place.
template <class S>
consteval bool check_score_type() {
  constexpr bool good = score::ScoreLike<S>;
  constexpr bool numbers = !good && HoldsNumbers<S>;
  constexpr bool mask = !good && !numbers && mask::MaskLike<S>;
  constexpr bool options = !good && !numbers && !mask && AnyOptions<S>;
  constexpr bool almost = !good && !numbers && !mask && !options && AlmostFunction<S, float>;
  constexpr bool copies = std::copy_constructible<std::decay_t<S>>;
  constexpr bool asked = std::is_invocable_v<const S&, float, int, int> ||
                         std::is_invocable_v<const S&, float, int, int, int, int>;
  static_assert(!numbers,
                "heed: a tensor stands in the score's place: added to the score: score::bias(t); "
                "nonzero attends: mask::dense(t), before the score");
  static_assert(!mask,
                "heed: a mask stands in the score's place: the order is mask, score, options; "
                "combine masks with &");
  static_assert(!options,
                "heed: options stand in the score's place: the order is mask, score, options; "
                "pass {} or score::none() for no score");
  static_assert(!almost || copies,
                "heed: the score must be copyable: capture by reference or by std::shared_ptr what "
                "can only be moved");
  static_assert(!almost || !copies || asked,
                "heed: the score must be callable while const, since several threads call it: "
                "remove 'mutable'");
  static_assert(!almost || !copies || !asked,
                "heed: the score must return the modified score as a number; what returns bool is "
                "a mask: pass it before the score");
  static_assert(good || numbers || mask || options || almost,
                "heed: the score must satisfy heed::score::Score or be callable as (s, i, j) or "
                "(s, b, h, i, j) -> float");
  return good;
}

// The types of every call. As its constraint this keeps the compiler from going on with wrong ones:
// the error that names the mistake comes first, and nearly alone.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
concept RightTypes =
    !kv::HasExtents<K> && check_tensors<Q, K, V>() && check_mask_type<M>() && check_score_type<S>();

// Throws heed::Error for options, a mask or a score that a call of T and that shape cannot have.
template <class T, class M, class S>
void check_call(const char* call, const Shape& shape, const M& mask, const S& score,
                const Options& options) {
  check_options(call, options);
  check_head_numbers(call, "options.sinks", options.sinks, shape.Hq);
  using R = Accum<T>;
  if (std::abs(scale_of(options, shape)) > double{std::numeric_limits<R>::max()}) {
    refuse({call, ": the scale is not finite as a ", Element<R>::name, ", in which q of ",
            Element<T>::name, " is multiplied"});
  }
  mask::check(mask, shape);
  score::check(score, shape);
}

// The shape of a call. Throws heed::Error for whatever the contract refuses.
template <class Q, class K, class V, class M, class S>
Shape check_call(const char* call, const Q& q, const K& k, const V& v, const M& mask,
                 const S& score, const Options& options) {
  const Shape shape = check_operands(call, view_of(q), view_of(k), view_of(v));
  check_call<ScalarOf<Q>>(call, shape, mask, score, options);
  return shape;
}

// Throws heed::Error where lse is not [B, Hq, Lq].
template <class R, class T>
void check_rows(const char* call, const View<R, 3>& lse, const Shape& shape,
                const View<const T, 4>& q) {
  if (lse.extent[0] == shape.B && lse.extent[1] == shape.Hq && lse.extent[2] == shape.Lq) return;
  refuse({call, ": lse ", extents_of(lse), " is not [B,Hq,Lq] of q ", extents_of(q)});
}

// Throws heed::Error where options.workspace, which a call overwrites, is memory of x.
[[gnu::noinline]] inline void check_workspace(const Options& options, const char* name,
                                              const ViewMemory& x) {
  const View<std::byte, 1> scratch{
      options.workspace.data(), {static_cast<Index>(options.workspace.size())}, {1}};
  if (scratch.data == nullptr || x.data == nullptr || !may_overlap(scratch, x)) return;
  refuse({"heed: options.workspace, ", options.workspace.size(), " bytes, overlaps ", name, " ",
          ErrorPart(x.extent, x.rank)});
}

template <class T>
void check_workspace(const Problem<T>& problem, const Options& options) {
  check_workspace(options, "q", problem.q);
  check_workspace(options, "k", problem.k);
  check_workspace(options, "v", problem.v);
  check_workspace(options, "out", problem.out);
  check_workspace(options, "out", problem.unrounded_out);
  check_workspace(options, "lse", problem.lse);
  check_workspace(options, "options.sinks", problem.sinks.bytes());
}

// Throws heed::Error where a call writes over its sinks, which are some bytes.
[[gnu::noinline]] inline void check_sinks(const View<const std::byte, 1>& sinks, const char* name,
                                          const ViewMemory& x) {
  if (x.data == nullptr || !may_overlap(sinks, x)) return;
  refuse({"heed: options.sinks overlaps ", name, " ", ErrorPart(x.extent, x.rank)});
}

template <class T>
void check_sinks(const Problem<T>& problem) {
  const View<const std::byte, 1> sinks = problem.sinks.bytes();
  if (sinks.empty()) return;
  check_sinks(sinks, "out", problem.out);
  check_sinks(sinks, "out", problem.unrounded_out);
  check_sinks(sinks, "lse", problem.lse);
}

// The problem of a checked call, results not yet set.
template <class Q, class K, class V>
Problem<ScalarOf<Q>> make_problem(const Q& q, const K& k, const V& v, const Shape& shape,
                                  const Options& options) {
  return {lift(view_of(q)),
          lift(view_of(k)),
          lift(view_of(v)),
          {nullptr, {}, {}},
          {nullptr, {}, {}},
          {nullptr, {}, {}},
          shape,
          scale_of(options, shape),
          Dropout::of(options.dropout, options.seed),
          {nullptr, {}, {}},
          options.sinks};
}

}  // namespace HEED_ABI
}  // namespace heed
