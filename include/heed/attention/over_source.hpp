// heed::attention of queries over a source of keys and values (kv/source.hpp): a cache, its pages,
// shards of a ring. The calls and their results are those of dense keys (attention/attention.hpp).
#pragma once

#include <algorithm>
#include <type_traits>

#include "heed/attention/attention.hpp"

namespace heed {

inline namespace HEED_ABI {

// True where q is a tensor and K a source of its elements; else a compile error that says what is
// wrong.
template <class Q, class K>
consteval bool check_source_types() {
  static_assert(TensorLike<Q>, "heed: q must be a tensor; k and v may be one source");
  if constexpr (!TensorLike<Q>) {
    return false;
  } else {
    using T = ScalarOf<Q>;
    constexpr bool good = kv::Source<K, kv::ElementOf<K, T>> && kv::serves<K, T>;
    static_assert(good,
                  "heed: a source of keys has length(b) and bind(shape, b, kv_head), whose "
                  "for_each_run(begin, end, f), or for_each_panel_run, gives f(first, k, v) of q's "
                  "element type, or of one that is summed in it");
    return good && check_tensors<Q, Q, Q>();
  }
}

template <class Q, class K, class M, class S>
concept RightSourceTypes = kv::HasExtents<K> &&
    check_source_types<Q, K>() && check_mask_type<M>() && check_score_type<S>();

// The longest of a source's lengths. Throws heed::Error for one that no tensor could have.
template <class K>
Index longest(const char* call, const K& source, Index B) {
  Index most = 0;
  for (Index b = 0; b < B; ++b) {
    const Index length = source.length(b);
    if (length < 0 || length > max_length) {
      refuse({call, ": the source has length ", length, " in batch entry ", b,
              ", outside 0 … 2^31 - 1"});
    }
    most = std::max(most, length);
  }
  return most;
}

// The shape of a call over a source. Throws heed::Error as check_operands does.
template <class T, int Rank, class K>
Shape check_source(const char* call, const View<const T, Rank>& q, const K& source) {
  require_sane(q, call, "q");
  const kv::Extents of = source.extents();
  const auto q4 = lift(q);
  const auto shapes = [&] {
    return joined({"q ", extents_of(q), ", the source's ", to_string(of)});
  };
  require(std::min({of.B, of.Hkv, of.D, of.Dv}) >= 0, call, "an extent is negative", shapes);
  require_equal(of.D, q4.extent[3], "the source has dim", "q has dim", call, shapes);
  require_equal(of.B, q4.extent[0], "the source has batch", "q has batch", call, shapes);
  require(of.D > 0, call, "dim of q and of the source is 0", shapes);
  require(q4.extent[1] == 0 || (of.Hkv != 0 && q4.extent[1] % of.Hkv == 0), call,
          "the number of query heads is not a multiple of the number of key heads", shapes);
  return {of.B, q4.extent[1], of.Hkv, q4.extent[2], longest(call, source, of.B), of.D, of.Dv, Rank};
}

// Masks and scores at the shortest length too, where they count from it: checks hold for all
// positions between two where they hold.
template <class K, class M, class S>
void check_shortest(const K& source, const Shape& shape, const M& mask, const S& score) {
  if constexpr (kv::counts_from_length<K>) {
    Index shortest = 0;
    for (Index b = 1; b < shape.B; ++b) {
      if (source.length(b) < source.length(shortest)) shortest = b;
    }
    if (shape.B == 0 || source.length(shortest) == shape.Lk) return;
    const Shape own = kv::shape_of_entry(source, shape, shortest);
    mask::check(mask, own);
    score::check(score, own);
  }
}

// A call over a source, checked; results not yet set.
template <class Q, class K, class M, class S>
Problem<ScalarOf<Q>> make_source_problem(const char* call, const Q& q, const K& source,
                                         const M& mask, const S& score, const Options& options) {
  using T = ScalarOf<Q>;
  check_on_cpu(call, options.backend);
  if (options.backend != Backend::automatic && options.backend != Backend::flash) {
    refuse({call, ": options.backend is ", name_of(options.backend),
            ", which reads dense keys only; a source runs on automatic and flash"});
  }
  Problem<T> problem{};
  problem.q = lift(view_of(q));
  problem.shape = check_source(call, view_of(q), source);
  if constexpr (std::is_same_v<K, kv::Dense<kv::ElementOf<K, T>>>) {
    check_operands(call, problem.q.as_const(), source.k, source.v);
  }
  problem.scale = scale_of(options, problem.shape);
  problem.dropout = Dropout::of(options.dropout, options.seed);
  problem.sinks = options.sinks;
  check_call<T>(call, problem.shape, mask, score, options);
  check_shortest<K>(source, problem.shape, mask, score);
  return problem;
}

// True where the kernels whose packed words are elements serve all calls: of keys in panels, and of
// elements that q's type sums.
template <class K, class T>
inline constexpr bool one_order =
    !std::is_same_v<kv::ElementOf<K, T>, T> ||
    kv::PanelSource<decltype(std::declval<const K&>().bind(Shape{}, 0, 0)), kv::ElementOf<K, T>> ||
    kv::CodeSource<decltype(std::declval<const K&>().bind(Shape{}, 0, 0))>;

// The plan of a call whose keys may come in several runs.
//   unrounded  out is not rounded to T
template <class T, class K>
Plan make_source_plan(const Shape& shape, bool unrounded, const Options& options) {
  Options full = options;
  full.compute = Compute::full;
  Plan plan = cut_call<T>(shape, true, unrounded, full);
  if (one_order<K, T>) {
    const simd::TileShape& elements = simd::element_kernels<T>(plan.isa).tile_shape;
    plan.cut = flash_plan(shape, elements, elements, true, options.threads, options.executor);
    plan.cut.one_order = true;
  }
  plan.cut.gathers = true;
  plan.scratch_bytes = flash_workspace_bytes<Accum<T>>(shape, plan.cut);
  return plan;
}

template <class T, class K, class M, class S>
void run_over(const Problem<T>& problem, const K& source, const M& mask, const S& score,
              const Options& options) {
  check_workspace(problem, options);
  check_sinks(problem);
  const bool unrounded = problem.unrounded_out.data != nullptr;
  const Plan plan = make_source_plan<T, K>(problem.shape, unrounded, options);
  const FlashKernels<T> kernels = flash_kernels<T>(plan.cut, problem.shape, plan.isa, unrounded);
  const Scratch scratch(static_cast<std::size_t>(plan.scratch_bytes), options.workspace);
  flash_forward(problem, source, mask, score, plan.cut, kernels, options.executor, scratch.begin());
  if (options.report != nullptr) *options.report = describe(plan, kernels, options);
}

// attention(q, k, v, …) with the keys and values of `source`.
//
//   q       [B, Hq, Lq, D], or rank 3 or 2
//   source  keys [B, Hkv, length(b), D] and values [B, Hkv, length(b), Dv]
//
// Returns {out, lse}: of a row source with the bits of a call over contiguous dense keys of equal
// lengths, however it cuts them into runs. Keys in panels have one order of sums (kv/source.hpp),
// which dense decoding has not. Masks that step over keys (mask::strided) read every key here.
// Keys from length(b) on do not exist. The mask counts from Lk, the longest length, or from
// length(b) where the source says so (kv::counts_from_length, as kv::Cache does). Throws
// heed::Error as attention does, and for a backend that reads dense keys only. Keys of a KV block
// that lie in several runs are copied together: scratch grows by O(512·(D + Dv)) a worker.
template <class Q, class K, class M = mask::None, class S = score::None>
requires RightSourceTypes<Q, K, M, S>
auto attention(const Q& q, const K& source, const M& mask = {}, const S& score = {},
               const Options& options = {}) {
  using T = ScalarOf<Q>;
  using Traits = TraitsOf<Q>;
  auto problem =
      make_source_problem("heed::attention", q, source, as_mask(mask), as_score(score), options);
  const Shape& shape = problem.shape;
  Result<typename Traits::template Owned<T>, typename Traits::template Rows<Accum<T>>> result{
      make_like<T>(q, shape), make_rows<Q, Accum<T>>(shape.B, shape.Hq, shape.Lq)};
  problem.out = lift(Traits::template owned_view<T>(result.out));
  problem.lse = lift_rows(Traits::template rows_view<Accum<T>>(result.lse));
  run_over(problem, source, as_mask(mask), as_score(score), options);
  return result;
}

// The same into memory that the caller has, as attention_into of dense keys. An out that shares
// memory with the source is not noticed.
template <class Out, class Q, class K, class M = mask::None, class S = score::None>
requires RightSourceTypes<Q, K, M, S>
void attention_into(Out&& out, const Q& q, const K& source, const M& mask = {}, const S& score = {},
                    const Options& options = {}) {
  constexpr const char* call = "heed::attention_into";
  auto problem = make_source_problem(call, q, source, as_mask(mask), as_score(score), options);
  set_output(call, problem, out, q, view_of(q), view_of(q));
  run_over(problem, source, as_mask(mask), as_score(score), options);
}

// Bytes that options.workspace must have for these calls to allocate nothing.
template <class Q, class K, class M = mask::None, class S = score::None>
requires RightSourceTypes<Q, K, M, S> std::size_t workspace_bytes(const Q& q, const K& source,
                                                                  const M& mask = {},
                                                                  const S& score = {},
                                                                  const Options& options = {}) {
  const auto problem = make_source_problem("heed::workspace_bytes", q, source, as_mask(mask),
                                           as_score(score), options);
  return Scratch::with_slack(static_cast<std::size_t>(
      make_source_plan<ScalarOf<Q>, K>(problem.shape, true, options).scratch_bytes));
}

// Refused at compile time: what a cache keeps is rounded, and has no gradient.
template <class DOut, class Q, kv::HasExtents K, class... Rest>
void attention_backward(const DOut&, const Q&, const K&, const Rest&...) {
  static_assert(!kv::HasExtents<K>,
                "heed::attention_backward: a source of keys, such as a cache, has no gradients; "
                "pass k and v as tensors");
}

}  // namespace HEED_ABI
}  // namespace heed
