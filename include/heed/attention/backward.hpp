// The public backward calls: heed::attention_backward, attention_backward_into,
// backward_workspace_bytes.
#pragma once

#include <string>
#include <type_traits>

#include "heed/attention/flash/backward.hpp"
#include "heed/attention/gradient_views.hpp"
#include "heed/attention/gradients.hpp"
#include "heed/attention/reference/backward.hpp"
#include "heed/attention/run.hpp"
#include "heed/core/copy.hpp"
#include "heed/softmax/merge.hpp"

namespace heed {

inline namespace HEED_ABI {

template <class X, class Q>
concept ResultOf = HasOutAndLse<X> && check_result_type<X, Q>();

// The plan of a backward call and its bytes.
template <class T, class S>
BackwardPlan make_backward_plan(const Shape& shape, const S& score, Isa machine,
                                const Options& options) {
  using Bound = decltype(score::bind(std::declval<const S&>(), shape, 0, 0));
  BackwardPlan plan = backward_plan(
      shape, simd::packed_kernels<T>(machine, options.compute).tile_shape,
      simd::gradient_kernels<T>(machine, options.compute).sums, options.threads, options.executor);
  plan.keeps_scores = !score::unit_derivative<Bound>;
  plan.drops = Dropout::of(options.dropout, options.seed).active();
  plan.sink_sums = options.d_sinks.empty() ? 0 : checked_product(shape.B, shape.Hq);
  keep_heads_apart<Accum<T>>(plan, score, shape);
  return plan;
}

template <class T, class S>
std::size_t backward_bytes(const Shape& shape, const S& score, const BackwardPlan& plan) {
  using R = Accum<T>;
  const Index sums = sums_bytes<R>(score, shape, wave_tasks(shape, plan));
  return static_cast<std::size_t>(
      checked_sum(checked_sum(backward_wave_bytes<R>(shape, plan), sums),
                  checked_product(backward_worker_bytes<R>(shape, plan), plan.workers)));
}

// Throws heed::Error for a backend that has no backward call.
inline void check_backward_backend(const char* call, Backend backend) {
  check_on_cpu(call, backend);
  if (backend != Backend::chunked) return;
  throw Error(std::string(call) +
              ": options.backend is chunked, which has no backward call; automatic, flash and "
              "reference have one");
}

// The reference has gradients of its own, in tensors as the call's.
template <class T, class M, class S>
void copy_reference_gradients(const Problem<T>& forward, const View<const T, 4>& d_out,
                              const GradientViews<T>& to, const M& mask, const S& score,
                              const Options& options) {
  const auto textbook =
      reference::attention_backward(d_out, forward.q, forward.k, forward.v, mask, score, options);
  copy(lift(view_of(textbook.d_q)), to.d_q);
  copy(lift(view_of(textbook.d_k)), to.d_k);
  copy(lift(view_of(textbook.d_v)), to.d_v);
}

// Rows of every key but each step-th become 0.
template <class T>
void clear_between(const View<T, 4>& x, int step) {
  for_each_row(x, [&](Index b, Index h, Index j) {
    if (j % step == 0) return;
    for (Index d = 0; d < x.extent[3]; ++d) x(b, h, j, d) = T(0);
  });
}

//   out  not rounded; no data where there is none
template <class T, class M, class S>
void run_backward(const Problem<T>& forward, const View<const Accum<T>, 4>& out,
                  const View<const T, 4>& d_out, const GradientViews<T>& to, const M& mask,
                  const S& score, const Options& options) {
  if constexpr (mask::HasKeyStride<M>) {
    if (const int step = key_stride_of(mask, options); step > 1) {
      run_backward(strided_keys(forward, step), out, d_out,
                   GradientViews<T>{to.d_q, take_every(to.d_k, step), take_every(to.d_v, step)},
                   StridedKeysMask<M>{mask, forward.shape, step},
                   strided_keys_score(score, forward.shape, step), options);
      clear_between(to.d_k, step);
      return clear_between(to.d_v, step);
    }
  }
  if (options.backend == Backend::reference) {
    copy_reference_gradients(forward, d_out, to, mask, score, options);
    if (options.report != nullptr) {
      *options.report = {name_of(Backend::reference), "plain C++", "options.backend asked for it",
                         "one thread (reference)",    1,           0};
    }
    return;
  }
  const Isa machine = simd::gradient_isa(isa());
  const BackwardPlan plan = make_backward_plan<T>(forward.shape, score, machine, options);
  const std::size_t bytes = backward_bytes<T>(forward.shape, score, plan);
  const Scratch scratch(bytes, options.workspace);
  const BackwardCall<T, M, S> call{forward,
                                   out,
                                   d_out,
                                   to.d_q,
                                   to.d_k,
                                   to.d_v,
                                   mask,
                                   score,
                                   plan,
                                   simd::packed_kernels<T>(machine, options.compute),
                                   simd::gradient_kernels<T>(machine, options.compute),
                                   options.d_sinks};
  flash_backward(call, options.executor, scratch.begin());
  if (options.report != nullptr) {
    *options.report = {name_of(Backend::flash),
                       name_of(call.kernels.isa),
                       plan.tile_shape.k_pack == 1 ? "gradients are computed on elements"
                                                   : "gradients are computed in pairs",
                       parallel_name(options.executor),
                       plan.workers,
                       bytes};
  }
}

// attention_backward into memory the caller has: `gradients` is a Gradients, or another type with
// members d_q, d_k and d_v, tensors of the shapes of q, k and v and any layout. Allocates no
// results, and with options.workspace nothing at all. Throws heed::Error also where a gradient has
// another shape than its input, or overlaps an input, out, d_out or another gradient.
template <class G, class DOut, class Q, class K, class V, ResultOf<Q> X, class M = mask::None,
          class S = score::None>
requires RightTypes<Q, K, V, M, S> && RightGradientTypes<DOut, Q, S>
void attention_backward_into(G&& gradients, const DOut& d_out, const Q& q, const K& k, const V& v,
                             const X& result, const M& mask = {}, const S& score = {},
                             const Options& options = {}) {
  constexpr const char* call = "heed::attention_backward";
  using T = ScalarOf<Q>;
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), options);
  check_backward_backend(call, options.backend);
  Problem<T> forward = make_problem(q, k, v, shape, options);
  const View<const T, 4> d_o = lift(view_of(d_out));
  const auto out = lift(view_like<Q>(result.out)).as_const();
  require_sane(d_o, call, "d_out");
  require_sane(out, call, "result.out");
  check_shape_of_out(call, "d_out", d_o, shape);
  check_shape_of_out(call, "result.out", out, shape);
  forward.lse = rows_like<Q>(result.lse);
  check_rows(call, forward.lse, shape, forward.q);
  require_sane(forward.lse, call, "result.lse");
  const auto to = gradient_views<Q, K, V>(gradients);
  check_gradients(call, to, forward, out, d_o, as_score(score), options);
  View<const Accum<T>, 4> unrounded{nullptr, {}, {}};
  if constexpr (std::is_same_v<decltype(out.data), const Accum<T>*>) unrounded = out;
  run_backward(forward, unrounded, d_o, to, as_mask(mask), as_score(score), options);
}

// The gradients of Σ d_out ∘ out, where out = attention(q, k, v, mask, score, options).out.
//
//   d_out    [B, Hq, Lq, Dv], of q's element type and rank, any strides; blhd(d_out) beside blhd(q)
//   q, k, v  as for attention; mask, score and options as in that call, its dropout and seed too
//   result   what attention returned: {out, lse}. Of half types its out may be float, as
//            attention_into writes it: the call is faster then
//
// Returns {d_q, d_k, d_v} in the layouts of q, k and v; d_k and d_v are summed over the heads of a
// group. A masked pair adds exactly 0, whatever its key or its query holds; a row that sees no key
// has gradient 0. Sums are float for half types, rounded once. The score needs a derivative
// (score::with_derivative gives a lambda one); else the call does not compile.
// score::with_gradient names memory for the gradient of what a score holds, a bias, slopes or a
// table: it is written too, and that of options.sinks to options.d_sinks.
//
// Bits depend on neither threads nor batch. Five products where forward has two, with an out
// rounded to a half type seven; scratch O(L·D), one allocation a call. options.backend is
// automatic, flash or reference. Throws heed::Error as attention does, and where d_out, result.out
// or result.lse has the shape of another call. Dao, "FlashAttention-2" (2023), Algorithm 2.
template <class DOut, class Q, class K, class V, ResultOf<Q> X, class M = mask::None,
          class S = score::None>
requires RightTypes<Q, K, V, M, S> && RightGradientTypes<DOut, Q, S>
auto attention_backward(const DOut& d_out, const Q& q, const K& k, const V& v, const X& result,
                        const M& mask = {}, const S& score = {}, const Options& options = {}) {
  using T = ScalarOf<Q>;
  check_operands("heed::attention_backward", view_of(q), view_of(k), view_of(v));
  Gradients gradients{make_as<T>(q), make_as<T>(k), make_as<T>(v)};
  attention_backward_into(gradients, d_out, q, k, v, result, mask, score, options);
  return gradients;
}

// Bytes that options.workspace must have for the backward call to allocate nothing but results.
// Throws heed::Error as that call does.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S> std::size_t backward_workspace_bytes(
    const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
    const Options& options = {}) {
  const auto& the_mask = as_mask(mask);
  const auto& the_score = as_score(score);
  const Shape all =
      check_call("heed::backward_workspace_bytes", q, k, v, the_mask, the_score, options);
  check_backward_backend("heed::backward_workspace_bytes", options.backend);
  using T = ScalarOf<Q>;
  const Isa machine = simd::gradient_isa(isa());
  const auto bytes = [&](const Shape& shape, const auto& score_of_call) {
    const auto plan = make_backward_plan<T>(shape, score_of_call, machine, options);
    return Scratch::with_slack(backward_bytes<T>(shape, score_of_call, plan));
  };
  if (const int step = key_stride_of(the_mask, options); step > 1) {
    return bytes(strided_keys(all, step), strided_keys_score(the_score, all, step));
  }
  return bytes(all, the_score);
}

}  // namespace HEED_ABI
}  // namespace heed
