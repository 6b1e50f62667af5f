// The front door: heed::attention, attention_into, workspace_bytes.
#pragma once

#include <type_traits>

#include "heed/attention/chunked.hpp"
#include "heed/attention/flash_forward.hpp"
#include "heed/attention/operands.hpp"
#include "heed/attention/reference.hpp"
#include "heed/attention/result.hpp"
#include "heed/attention/strided_keys.hpp"
#include "heed/core/eigen.hpp"

namespace heed {

// The backend of a call, its cut and its scratch.
struct Plan {
  Backend backend;
  const char* why;
  FlashPlan cut;        // of flash and of chunked
  Index scratch_bytes;  // of all workers together
};

inline namespace HEED_ABI {

// True where keys and values are contiguous in their last dimension.
template <class T>
bool contiguous(const View<T, 4>& k, const View<T, 4>& v) {
  return k.stride[3] == 1 && v.stride[3] == 1;
}

// Throws heed::Error for a backend that the CPU cannot be.
inline void check_on_cpu(const char* call, Backend backend) {
  if (backend == Backend::cuda) {
    throw Error(std::string(call) +
                ": options.backend is cuda, but this call computes on the CPU; in a .cu file, "
                "compiled by nvcc, call heed::dispatch::attention of <heed/backend.hpp>");
  }
  if (backend < Backend::automatic || backend > Backend::cuda) {
    throw Error(std::string(call) + ": options.backend is " +
                std::to_string(static_cast<int>(backend)) + ", " + name_of(backend));
  }
}

template <class T>
Plan make_plan(const Shape& shape, bool contiguous, const Options& options) {
  const bool automatic = options.backend == Backend::automatic;
  Plan plan{automatic ? Backend::flash : options.backend,
            automatic ? "automatic: the tensors are the host's" : "options.backend asked for it",
            {},
            0};
  if (plan.backend == Backend::reference) return plan;
  const simd::TileShape tile_shape = packed_tile_shape<T>(shape, isa());
  plan.cut = plan.backend == Backend::flash
                 ? flash_plan(shape, tile_shape, simd::kernels<T>(isa()).tile_shape, contiguous,
                              options.threads, options.executor)
                 : chunked::plan(shape, tile_shape, chunked::Options{}.chunk, options.threads,
                                 options.executor);
  plan.scratch_bytes = flash_workspace_bytes<Accum<T>>(shape, plan.cut);
  return plan;
}

inline CallReport describe(const Plan& plan, const Options& options) {
  const bool without_tiles = isa() == Isa::amx && plan.cut.tile_shape.k_multiple == 1;
  CallReport report;
  report.backend = name_of(plan.backend);
  report.isa = plan.backend == Backend::reference ? "plain C++"
                                                  : name_of(without_tiles ? Isa::avx512 : isa());
  report.why = plan.why;
  report.parallel = plan.backend == Backend::reference ? "one thread (reference)"
                                                       : parallel_name(options.executor);
  report.threads = plan.cut.workers;
  report.scratch_bytes = static_cast<std::size_t>(plan.scratch_bytes);
  return report;
}

// The reference has results of its own, in tensors as the problem's.
template <class T, class M, class S>
void copy_reference(const Problem<T>& problem, const M& mask, const S& score,
                    const Options& options) {
  const auto textbook = reference::attention(problem.q, problem.k, problem.v, mask, score, options);
  const Shape& shape = problem.shape;
  const Index batches = shape.Lq == 0 || shape.Hq == 0 ? 0 : shape.B;
  for (Index b = 0; b < batches; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      for (Index i = 0; i < shape.Lq; ++i) {
        for (Index d = 0; d < shape.Dv; ++d) problem.out(b, h, i, d) = textbook.out(b, h, i, d);
        if (problem.lse.data != nullptr) problem.lse(b, h, i) = textbook.lse(b, h, i);
      }
    }
  }
}

// Distance of the keys that a call reads. Flash leaves out the keys that a mask steps over, except
// under dropout, whose random numbers count keys.
template <class M>
int key_stride_of(const M& mask, const Options& options) {
  const bool flash = options.backend == Backend::automatic || options.backend == Backend::flash;
  return flash && options.dropout == 0 ? mask::key_stride(mask) : 1;
}

template <class T, class M, class S>
void run_planned(const Problem<T>& problem, const M& mask, const S& score, const Options& options) {
  const Plan plan = make_plan<T>(problem.shape, contiguous(problem.k, problem.v), options);
  const Scratch scratch(static_cast<std::size_t>(plan.scratch_bytes), options.workspace);
  if (plan.backend == Backend::reference) {
    copy_reference(problem, mask, score, options);
  } else {
    flash_forward(problem, mask, score, plan.cut, isa(), options.executor, scratch.begin());
  }
  if (options.report != nullptr) *options.report = describe(plan, options);
}

template <class T, class M, class S>
void run(const Problem<T>& problem, const M& mask, const S& score, const Options& options) {
  check_workspace(problem, options);
  if constexpr (mask::HasKeyStride<M>) {
    if (const int step = key_stride_of(mask, options); step > 1) {
      const Shape& shape = problem.shape;
      return run_planned(strided_keys(problem, step), StridedKeysMask<M>{mask, shape, step},
                         strided_keys_score(score, shape, step), options);
    }
  }
  run_planned(problem, mask, score, options);
}

// out = softmax(mask(modify(scale · q kᵀ))) v, row by row, without forming the scores.
//
//   q    [B, Hq,  Lq, D]     or [B, L, D] (one head), or [L, D]; heed::blhd(q) for [B, L, H, D],
//   k    [B, Hkv, Lk, D]     heed::dlhb(q) for [D, L, H, B]
//   v    [B, Hkv, Lk, Dv]    Hq % Hkv == 0: grouped-query attention
//
// Returns {out, lse}: out [B, Hq, Lq, Dv] in q's layout and rank, 0 where a row sees no key;
// lse [B, Hq, Lq], natural log, −inf there. The contract (README) says what every edge case does.
//
// Throws heed::Error if shapes disagree. Time O(Lq·Lk·D); scratch O(threads · tile · D), one
// allocation a call. Dao, FlashAttention-2 (2023), Algorithm 1.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
auto attention(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
               const Options& options = {}) {
  using T = ScalarOf<Q>;
  using Traits = TraitsOf<Q>;
  const Shape shape =
      check_call("heed::attention", q, k, v, as_mask(mask), as_score(score), options);
  check_on_cpu("heed::attention", options.backend);
  Result<typename Traits::template Owned<T>, typename Traits::template Rows<Accum<T>>> result{
      make_like<T>(q, shape), make_rows<Q, Accum<T>>(shape.B, shape.Hq, shape.Lq)};
  auto problem = make_problem(q, k, v, shape, options);
  problem.out = lift(Traits::template owned_view<T>(result.out));
  problem.lse = lift_rows(Traits::template rows_view<Accum<T>>(result.lse));
  run(problem, as_mask(mask), as_score(score), options);
  return result;
}

// attention into memory the caller has: `out` is a tensor [B, Hq, Lq, Dv] of any layout, or a
// Result of an earlier call, whose lse is then written too. Allocates no results, and with
// options.workspace nothing at all. Throws heed::Error also where out has another shape or overlaps
// an input.
template <class Out, class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
void attention_into(Out&& out, const Q& q, const K& k, const V& v, const M& mask = {},
                    const S& score = {}, const Options& options = {}) {
  constexpr const char* call = "heed::attention_into";
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), options);
  check_on_cpu(call, options.backend);
  auto problem = make_problem(q, k, v, shape, options);
  const auto write_to = [&](const auto& view) {
    static_assert(std::is_same_v<decltype(view.data), ScalarOf<Q>*>,
                  "heed::attention_into: out must be writable and of q's element type");
    check_output(call, view, shape, view_of(q), view_of(k), view_of(v));
    problem.out = lift(view);
  };
  if constexpr (is_result<std::remove_cvref_t<Out>>) {
    write_to(TraitsOf<Q>::template owned_view<ScalarOf<Q>>(out.out));
    problem.lse = lift_rows(TraitsOf<Q>::template rows_view<Accum<ScalarOf<Q>>>(out.lse));
    check_rows(call, problem.lse, shape, problem.q);
  } else {
    static_assert(TensorLike<Out>, "heed::attention_into: out is no tensor that heed can view");
    write_to(mutable_view_of(out));
  }
  run(problem, as_mask(mask), as_score(score), options);
}

// Bytes that options.workspace must have for this call to allocate nothing.
// Throws heed::Error as attention does.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S> std::size_t workspace_bytes(const Q& q, const K& k, const V& v,
                                                               const M& mask = {},
                                                               const S& score = {},
                                                               const Options& options = {}) {
  const Shape shape =
      check_call("heed::workspace_bytes", q, k, v, as_mask(mask), as_score(score), options);
  check_on_cpu("heed::workspace_bytes", options.backend);
  const bool together = contiguous(lift(view_of(k)), lift(view_of(v)));
  const Shape read = strided_keys(shape, key_stride_of(as_mask(mask), options));
  const Index bytes = make_plan<ScalarOf<Q>>(read, together, options).scratch_bytes;
  return Scratch::with_slack(static_cast<std::size_t>(bytes));
}

}  // namespace HEED_ABI
}  // namespace heed
