// The front door on the device: heed::cuda::attention and attention_into, called from a .cu file.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "heed/attention/operands.hpp"
#include "heed/attention/result.hpp"
#include "heed/cuda/device/arena.cuh"
#include "heed/cuda/device/checks.cuh"
#include "heed/cuda/device/device_tensor.cuh"
#include "heed/cuda/kernel/launch.cuh"
#include "heed/mask/to_device.hpp"
#include "heed/score/to_device.hpp"

namespace heed::cuda {

// True where a tensor's traits know a type for its results; a view's do where Eigen is included.
template <class Traits, class T>
concept MakesResults = requires {
  typename Traits::template Owned<T>;
};

inline namespace HEED_ABI {

template <class Q, class K, class V>
inline constexpr bool all_on_device = is_on_device<Q>&& is_on_device<K>&& is_on_device<V>;
template <class Q, class K, class V>
inline constexpr bool none_on_device = !is_on_device<Q> && !is_on_device<K> && !is_on_device<V>;

inline void report_to(const Options& options, const char* call, const char* kernel) {
  if (options.report == nullptr) return;
  *options.report = {};
  options.report->backend = name_of(Backend::cuda);
  options.report->isa = kernel;
  options.report->why = options.backend == Backend::cuda ? "options.backend asked for it" : call;
  options.report->parallel = "device";
}

// The sinks of a problem on the device, in the type of its sums; nullptr: none. Throws heed::Error
// where they are on a device already, where the host cannot convert them.
template <class T>
const Accum<T>* sinks_to_device(const char* call, const Problem<T>& problem, Arena& arena) {
  using R = Accum<T>;
  if (problem.sinks.empty()) return nullptr;
  if (residence_of(problem.sinks.bytes().data).on_device) {
    throw Error(std::string(call) + ": options.sinks must be in the host's memory");
  }
  std::vector<R> sinks;
  for (Index h = 0; h < problem.sinks.size(); ++h) sinks.push_back(sink_of<R>(problem, h));
  return arena.copy(Span<R>(sinks.data(), problem.sinks.size())).data();
}

// Mask, score and sinks go to the device, then the kernel starts: nothing waits.
template <class T, class M, class S>
void start(const char* call, const Problem<T>& problem, const M& mask, const S& score,
           const Options& options, cudaStream_t stream) {
  Arena arena(stream);
  const auto device_mask = mask::to_device(mask, arena);
  const auto device_score = score::to_device(score, arena);
  static_assert(std::is_trivially_copyable_v<decltype(device_mask)> &&
                    std::is_trivially_copyable_v<decltype(device_score)>,
                "heed::cuda: this mask or score holds what a kernel can't be given (mask::any is "
                "chosen on the host; a type with memory needs to_device(arena))");
  const auto* sinks = sinks_to_device(call, problem, arena);
  report_to(options, call,
            launch_forward(call, problem, device_mask, device_score, sinks, options.tf32, stream));
}

// The problem of tensors that are on the device, checked; results not yet set.
template <class Q, class K, class V, class M, class S>
auto device_problem(const char* call, const Q& q, const K& k, const V& v, const M& mask,
                    const S& score, const Options& options) {
  const Shape shape = check_device_call(call, q, k, v, mask, score, options);
  check_on_cuda(call, options.backend);
  require_device(call);
  check_residence(call, "q", view_of(q));
  check_residence(call, "k", view_of(k));
  check_residence(call, "v", view_of(v));
  check_one_stream(call, stream_of(q), {{"k", stream_of(k)}, {"v", stream_of(v)}});
  check_stream(call, stream_of(q));
  return make_problem(q, k, v, shape, options);
}

template <class X>
inline constexpr bool is_blhd = false;
template <class X>
inline constexpr bool is_blhd<Blhd<X>> = true;
template <class X>
inline constexpr bool is_dlhb = false;
template <class X>
inline constexpr bool is_dlhb<Dlhb<X>> = true;

// A device result like Q: [B, Hq, Lq, Dv], or as blhd and dlhb order it, [B, Lq, Dv] or [Lq, Dv].
template <class Q, class T>
DeviceTensor<T, rank_of<Q>> make_device_out(const Shape& s, cudaStream_t stream) {
  if constexpr (is_dlhb<Q>) {
    return DeviceTensor<T, 4>({s.Dv, s.Lq, s.Hq, s.B}, stream);
  } else if constexpr (is_blhd<Q>) {
    return DeviceTensor<T, 4>({s.B, s.Lq, s.Hq, s.Dv}, stream);
  } else if constexpr (rank_of<Q> == 4) {
    return DeviceTensor<T, 4>({s.B, s.Hq, s.Lq, s.Dv}, stream);
  } else if constexpr (rank_of<Q> == 3) {
    return DeviceTensor<T, 3>({s.B, s.Lq, s.Dv}, stream);
  } else {
    return DeviceTensor<T, 2>({s.Lq, s.Dv}, stream);
  }
}
template <class Q, class T>
DeviceTensor<T, rank_of<Q> - 1> make_device_lse(const Shape& s, cudaStream_t stream) {
  if constexpr (is_dlhb<Q>)
    return DeviceTensor<T, 3>({s.Lq, s.Hq, s.B}, stream);
  else if constexpr (rank_of<Q> == 4)
    return DeviceTensor<T, 3>({s.B, s.Hq, s.Lq}, stream);
  else if constexpr (rank_of<Q> == 3)
    return DeviceTensor<T, 2>({s.B, s.Lq}, stream);
  else
    return DeviceTensor<T, 1>({s.Lq}, stream);
}

// attention of device tensors: starts on q's stream and returns at once.
template <class Q, class K, class V, class M, class S>
auto attention_on_device(const char* call, const Q& q, const K& k, const V& v, const M& mask,
                         const S& score, const Options& options) {
  using T = ScalarOf<Q>;
  constexpr int rank = rank_of<Q>;
  auto problem = device_problem(call, q, k, v, mask, score, options);
  const cudaStream_t stream = stream_of(q);
  Result<DeviceTensor<T, rank>, DeviceTensor<Accum<T>, rank - 1>> result{
      make_device_out<Q, T>(problem.shape, stream),
      make_device_lse<Q, Accum<T>>(problem.shape, stream)};
  problem.out = lift(TraitsOf<Q>::template owned_view<T>(result.out));
  problem.lse = lift_rows(TraitsOf<Q>::template rows_view<Accum<T>>(result.lse));
  start(call, problem, mask, score, options, stream);
  return result;
}

// Host tensors: copied over, computed, and copied back into `out` and, where it has data, `lse`.
template <class Q, class K, class V, class M, class S, int Rank, int Rows>
void attention_through_host(const char* call, const View<ScalarOf<Q>, Rank>& out,
                            const View<Accum<ScalarOf<Q>>, Rows>& lse, const Q& q, const K& k,
                            const V& v, const M& mask, const S& score, const Options& options) {
  check_on_cuda(call, options.backend);
  require_device(call);
  const cudaStream_t stream = cudaStreamPerThread;
  const auto result = attention_on_device(
      call, cuda::to_device(view_of(q), stream), cuda::to_device(view_of(k), stream),
      cuda::to_device(view_of(v), stream), mask, score, options);
  result.out.copy_to(out);
  if (lse.data != nullptr) result.lse.copy_to(lse);
}

// heed::attention, on the device: the same tensors, masks, scores, options and contract.
//
//   q    [B, Hq,  Lq, D]     or [B, L, D] (one head), or [L, D]; heed::blhd(q) for [B, L, H, D]
//   k    [B, Hkv, Lk, D]     Hq % Hkv == 0
//   v    [B, Hkv, Lk, Dv]
//
// Device tensors (DeviceTensor, on_device): the results are device tensors on q's stream, nothing
// is copied and nothing waits. Host tensors: copied over and back, results as heed::attention's.
// bfloat16 and half on tensor cores, float and double exactly; float with options.tf32 on tensor
// cores too, which round q, k, v and the weights to ten explicit bits of mantissa, and what is not
// below 2^128 − 2^116 to infinity. options.threads, executor and workspace mean nothing here. A
// functor of the user must be marked HEED_DEVICE.
//
// Throws heed::Error as heed::attention does, where options.tf32 is set for another type, and where
// there is no device, its memory does not suffice, a tensor or stream is another device's, or no
// kernel was compiled for it; nothing is computed elsewhere instead. Dao, FlashAttention-2 (2023),
// Algorithm 1.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
auto attention(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
               const Options& options = {}) {
  constexpr const char* call = "heed::cuda::attention";
  static_assert(all_on_device<Q, K, V> || none_on_device<Q, K, V>,
                "heed::cuda::attention: q, k and v must all be on the device, or none");
  if constexpr (all_on_device<Q, K, V>) {
    return attention_on_device(call, q, k, v, as_mask(mask), as_score(score), options);
  } else {
    using T = ScalarOf<Q>;
    using Traits = TraitsOf<Q>;
    static_assert(MakesResults<Traits, T>,
                  "heed::cuda::attention: results of host views are Eigen tensors: include "
                  "<heed/core/eigen.hpp>, or give attention_into a view for the result");
    const Shape shape = check_device_call(call, q, k, v, as_mask(mask), as_score(score), options);
    Result<typename Traits::template Owned<T>, typename Traits::template Rows<Accum<T>>> result{
        make_like<T>(q, shape), make_rows<Q, Accum<T>>(shape.B, shape.Hq, shape.Lq)};
    attention_through_host(call, Traits::template owned_view<T>(result.out),
                           Traits::template rows_view<Accum<T>>(result.lse), q, k, v, as_mask(mask),
                           as_score(score), options);
    return result;
  }
}

// attention into memory the caller has: on the device where q, k and v are, else on the host. `out`
// is a tensor [B, Hq, Lq, Dv] or a Result, whose lse is then written too.
template <class Out, class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
void attention_into(Out&& out, const Q& q, const K& k, const V& v, const M& mask = {},
                    const S& score = {}, const Options& options = {}) {
  constexpr const char* call = "heed::cuda::attention_into";
  using T = ScalarOf<Q>;
  static_assert(all_on_device<Q, K, V> || none_on_device<Q, K, V>,
                "heed::cuda::attention_into: q, k and v must all be on the device, or none");
  const auto run = [&](const auto& to, const View<Accum<T>, rank_of<Q> - 1>& lse) {
    static_assert(std::is_same_v<decltype(to.data), T*>,
                  "heed::cuda::attention_into: out must be writable and of q's element type");
    const Shape shape = check_device_call(call, q, k, v, as_mask(mask), as_score(score), options);
    check_output(call, to, shape, view_of(q), view_of(k), view_of(v));
    if (lse.data != nullptr) check_rows(call, lift_rows(lse), shape, lift(view_of(q)));
    if constexpr (all_on_device<Q, K, V>) {
      auto problem = device_problem(call, q, k, v, as_mask(mask), as_score(score), options);
      check_residence(call, "out", to);
      check_residence(call, "lse", lse);
      problem.out = lift(to);
      problem.lse = lift_rows(lse);
      start(call, problem, as_mask(mask), as_score(score), options, stream_of(q));
    } else {
      attention_through_host(call, to, lse, q, k, v, as_mask(mask), as_score(score), options);
    }
  };
  if constexpr (is_result<std::remove_cvref_t<Out>>) {
    if constexpr (all_on_device<Q, K, V>) {
      check_one_stream(call, stream_of(q),
                       {{"out", stream_of(out.out)}, {"lse", stream_of(out.lse)}});
      run(mutable_view_of(out.out), mutable_view_of(out.lse));
    } else {
      run(TraitsOf<Q>::template owned_view<T>(out.out),
          TraitsOf<Q>::template rows_view<Accum<T>>(out.lse));
    }
  } else {
    static_assert(is_on_device<Out> == is_on_device<Q>,
                  "heed::cuda::attention_into: out must lie where q lies, on host or device");
    if constexpr (is_on_device<Out>)
      check_one_stream(call, stream_of(q), {{"out", stream_of(out)}});
    run(mutable_view_of(out), {nullptr, {}, {}});
  }
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
