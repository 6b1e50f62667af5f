#include "cuda/emulated.hpp"

#include "heed/cuda/kernel/dispatch.cuh"

namespace heed::test {
namespace {

// All that a view reaches.
template <class T, int Rank>
void allow(simt::GlobalMemory& global, const View<T, Rank>& x) {
  if (x.empty()) return;
  const ByteRange range = byte_range(x);
  global.add(reinterpret_cast<const char*>(range.begin),
             static_cast<std::size_t>(range.end - range.begin));
}

// An emulated device shares the host's memory.
struct NoArena {
  template <class X>
  X copy(const X& x) const {
    return x;
  }
};

template <class T, class S>
simt::Counts run(const View<T, 4>& out, const View<Accum<T>, 3>& lse, const View<const T, 4>& q,
                 const View<const T, 4>& k, const View<const T, 4>& v, const mask::any& mask,
                 const S& score, const Options& options, bool backwards) {
  Options checked = options;
  checked.tf32 = false;
  const Shape shape = check_call("heed::cuda::attention", q, k, v, mask, score, checked);
  auto problem = make_problem(q, k, v, shape, options);
  problem.out = out;
  problem.lse = lse;
  simt::GlobalMemory global;
  allow(global, q);
  allow(global, k);
  allow(global, v);
  allow(global, out);
  allow(global, lse);
  NoArena arena;
  const auto device_score = score::to_device(score, arena);
  std::vector<Accum<T>> sinks;
  for (Index h = 0; h < problem.sinks.size(); ++h) {
    sinks.push_back(sink_of<Accum<T>>(problem, h));
  }
  const auto* device_sinks = sinks.empty() ? nullptr : sinks.data();
  simt::Counts counts;
  cuda::visit_kernel(
      problem, mask, device_score, device_sinks, options.tf32, [&](const auto& call, auto kernel) {
        using Kernel = typename decltype(kernel)::type;
        using Traits = typename Kernel::Traits;
        const Index tasks = Kernel::scheduler(shape).count();
        counts = simt::Machine::run({tasks, Traits::threads, Traits::shared_bytes, backwards},
                                    global, [&call] { Kernel::run(call); });
      });
  return counts;
}

}  // namespace

template <class T>
simt::Counts emulate_into(const View<T, 4>& out, const View<Accum<T>, 3>& lse,
                          const View<const T, 4>& q, const View<const T, 4>& k,
                          const View<const T, 4>& v, const mask::any& mask,
                          const ErasedScore& score, const Options& options, bool backwards) {
  if (score) return run(out, lse, q, k, v, mask, as_score(score), options, backwards);
  return run(out, lse, q, k, v, mask, score::None{}, options, backwards);
}

#define HEED_EMULATE(T)                                                                   \
  template simt::Counts emulate_into<T>(const View<T, 4>&, const View<Accum<T>, 3>&,      \
                                        const View<const T, 4>&, const View<const T, 4>&, \
                                        const View<const T, 4>&, const mask::any&,        \
                                        const ErasedScore&, const Options&, bool);
HEED_EMULATE(float)
HEED_EMULATE(double)
HEED_EMULATE(Half)
HEED_EMULATE(BFloat16)

}  // namespace heed::test
