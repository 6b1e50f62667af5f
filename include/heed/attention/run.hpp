// From a checked Problem to its result: the plan of a call, the backend that runs it, the report.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "heed/attention/chunked.hpp"
#include "heed/attention/flash/forward.hpp"
#include "heed/attention/operands.hpp"
#include "heed/attention/reference/forward.hpp"
#include "heed/attention/strided_keys.hpp"

namespace heed {

// The backend of a call, its cut and its scratch.
struct Plan {
  Backend backend;
  const char* why;
  FlashPlan cut;        // of flash and of chunked
  Isa isa;              // of the machine, asked once
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
    refuse({call,
            ": options.backend is cuda, but this call computes on the CPU; in a .cu file, compiled "
            "by nvcc, call heed::dispatch::attention of <heed/dispatch/backends.hpp>"});
  }
  if (backend < Backend::automatic || backend > Backend::cuda) {
    refuse({call, ": options.backend is ", static_cast<int>(backend), ", ", name_of(backend)});
  }
}

// A plan whose scratch is not counted yet.
//   contiguous  keys and values, in their last dimension
//   unrounded   out is not rounded to T
template <class T>
Plan cut_call(const Shape& shape, bool contiguous, bool unrounded, const Options& options) {
  const bool automatic = options.backend == Backend::automatic;
  Plan plan{automatic ? Backend::flash : options.backend,
            automatic ? "automatic: the tensors are the host's" : "options.backend asked for it",
            {},
            isa(),
            0};
  if (plan.backend == Backend::reference) return plan;
  const simd::TileShape& tile_shape =
      packed_flash_kernels<T>(shape, plan.isa, options.compute).packed.tile_shape;
  plan.cut = plan.backend == Backend::flash
                 ? flash_plan(shape, tile_shape, simd::element_kernels<T>(plan.isa).tile_shape,
                              contiguous, options.threads, options.executor)
                 : chunked::plan(shape, tile_shape, chunked::Options{}.chunk, options.threads,
                                 options.executor);
  plan.cut.value_shape =
      flash_kernels<T>(plan.cut, shape, plan.isa, unrounded, options.compute).values.tile_shape;
  return plan;
}

template <class T>
Plan make_plan(const Shape& shape, bool contiguous, bool unrounded, const Options& options) {
  Plan plan = cut_call<T>(shape, contiguous, unrounded, options);
  if (plan.backend == Backend::reference) return plan;
  plan.scratch_bytes = flash_workspace_bytes<Accum<T>>(shape, plan.cut);
  return plan;
}

// Calls that do without AMX are AVX-512's; BF16 is named for every type of a machine that has it.
template <class T>
CallReport describe(const Plan& plan, const FlashKernels<T>& kernels, const Options& options) {
  const Isa used = plan.isa == Isa::amx ? kernels.packed.isa : plan.isa;
  CallReport report;
  report.backend = name_of(plan.backend);
  report.isa = plan.backend == Backend::reference ? "plain C++" : name_of(used);
  report.why = plan.why;
  report.parallel = plan.backend == Backend::reference ? "one thread (reference)"
                                                       : parallel_name(options.executor);
  report.threads = plan.cut.workers;
  report.scratch_bytes = static_cast<std::size_t>(plan.scratch_bytes);
  return report;
}

// The reference's out and lse; its other results are those of one row at a time.
template <class W, class T, class M, class S>
void run_reference(const Problem<T>& problem, const M& mask, const S& score,
                   const View<W, 4>& out) {
  const auto Lk = static_cast<std::size_t>(problem.shape.Lk);
  std::vector<W> memory(4 * Lk);
  W* row = memory.data();
  reference::attend(problem, mask, score,
                    reference::RowNumbers<W>{row, row + Lk, row + 2 * Lk, row + 3 * Lk, 0}, out,
                    problem.lse);
}

template <class T, class M, class S>
void run_reference(const Problem<T>& problem, const M& mask, const S& score) {
  if constexpr (!std::is_same_v<T, Accum<T>>) {
    if (problem.unrounded_out.data != nullptr) {
      return run_reference(problem, mask, score, problem.unrounded_out);
    }
  }
  run_reference(problem, mask, score, problem.out);
}

// Distance of the keys that a call reads. Flash leaves out the keys that a mask steps over.
template <class M>
int key_stride_of(const M& mask, const Options& options) {
  const bool flash = options.backend == Backend::automatic || options.backend == Backend::flash;
  return flash ? mask::key_stride(mask) : 1;
}

// A checked call: its plan, its scratch, its kernels, its report.
template <class T, class M, class S>
void run(const Problem<T>& problem, const M& mask, const S& score, const Options& options) {
  const Shape& shape = problem.shape;
  check_workspace(problem, options);
  check_sinks(problem);
  if constexpr (mask::HasKeyStride<M>) {
    if (const int step = key_stride_of(mask, options); step > 1) {
      return run(strided_keys(problem, step), StridedKeysMask<M>{mask, shape, step},
                 strided_keys_score(score, shape, step), options);
    }
  }
  const bool unrounded = problem.unrounded_out.data != nullptr;
  const Plan plan = make_plan<T>(shape, contiguous(problem.k, problem.v), unrounded, options);
  const FlashKernels<T> kernels =
      flash_kernels<T>(plan.cut, shape, plan.isa, unrounded, options.compute);
  const Scratch scratch(static_cast<std::size_t>(plan.scratch_bytes), options.workspace);
  if (plan.backend == Backend::reference) {
    run_reference(problem, mask, score);
  } else {
    flash_forward(problem, kv::Dense<T>{problem.k, problem.v}, mask, score, plan.cut, kernels,
                  options.executor, scratch.begin());
  }
  if (options.report != nullptr) *options.report = describe(plan, kernels, options);
}

}  // namespace HEED_ABI
}  // namespace heed
