// From a checked Problem to its result: the plan of a call, the backend that runs it, the report.
#pragma once

#include <string>

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
  Isa isa;              // that the report names
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
                "compiled by nvcc, call heed::dispatch::attention of <heed/dispatch/backends.hpp>");
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
            Isa::portable,
            0};
  if (plan.backend == Backend::reference) return plan;
  const Isa best = isa();
  const simd::TileShape& tile_shape = packed_flash_kernels<T>(shape, best).packed.tile_shape;
  plan.cut = plan.backend == Backend::flash
                 ? flash_plan(shape, tile_shape, simd::element_kernels<T>(best).tile_shape,
                              contiguous, options.threads, options.executor)
                 : chunked::plan(shape, tile_shape, chunked::Options{}.chunk, options.threads,
                                 options.executor);
  // Calls that do without AMX are AVX-512's; BF16 is named for every type of a machine that has it.
  plan.isa = best == Isa::amx ? flash_kernels<T>(plan.cut, shape, best).packed.isa : best;
  plan.scratch_bytes = flash_workspace_bytes<Accum<T>>(shape, plan.cut);
  return plan;
}

inline CallReport describe(const Plan& plan, const Options& options) {
  CallReport report;
  report.backend = name_of(plan.backend);
  report.isa = plan.backend == Backend::reference ? "plain C++" : name_of(plan.isa);
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
    flash_forward(problem, mask, score, plan.cut, flash_kernels<T>(plan.cut, problem.shape, isa()),
                  options.executor, scratch.begin());
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

}  // namespace HEED_ABI
}  // namespace heed
