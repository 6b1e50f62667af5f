// One head of keys of a backward call on random tensors, with scratch and a wave of its own, for
// tests of what is done to it.
#pragma once

#include <vector>

#include "attention/one_task.hpp"
#include "heed/attention/flash/backward_tiles.hpp"

namespace heed::test {

// Its kernels take elements. M and S are as the user gave them.
template <class M = mask::None, class S = score::None>
struct OneBackward {
  Shape shape;
  const M& mask;
  const S& score;
  Inputs<float> in;
  Buffer<float> d_out, d_q, d_k, d_v;
  std::vector<double> d_sinks;
  Problem<float> forward;
  const simd::PackedKernels<float>& kernels = simd::element_kernels<float>(isa());
  const simd::GradientKernels<float>& gradients =
      simd::gradient_kernels<float>(simd::gradient_isa(isa()));
  BackwardPlan plan = plan_of();
  BackwardCall<float, M, S> call{forward,    {nullptr, {}, {}}, d_out.cview(), d_q.view(),
                                 d_k.view(), d_v.view(),        mask,          score,
                                 plan,       kernels,           gradients};
  std::vector<std::byte> memory =
      std::vector<std::byte>(static_cast<std::size_t>(backward_worker_bytes<float>(shape, plan) +
                                                      backward_wave_bytes<float>(shape, plan) +
                                                      sums_bytes<float>(score, shape, tasks())) +
                             256);
  Carver carver{memory.data()};
  BackwardWave<float> wave{carver, shape, plan};
  ScoreSums<float, S> sums = gradient_sums<float>(carver, score, shape, tasks());
  BackwardScratch<float> scratch{carver, shape, plan};

  explicit OneBackward(const Shape& of, const M& user_mask = no_mask,
                       const S& user_score = no_score, const Options& options = {})
      : shape(of),
        mask(user_mask),
        score(user_score),
        in(of, Layout::gaps, 5),
        d_out(of.B, of.Hq, of.Lq, of.Dv, Layout::gaps),
        d_q(of.B, of.Hq, of.Lq, of.D),
        d_k(of.B, of.Hkv, of.Lk, of.D),
        d_v(of.B, of.Hkv, of.Lk, of.Dv),
        forward(make_problem(in.q.cview(), in.k.cview(), in.v.cview(), of, options)) {
    d_out.fill(8);
  }
  OneBackward(const OneBackward&) = delete;
  OneBackward& operator=(const OneBackward&) = delete;
  ~OneBackward() = default;

  BackwardTask<float, M, S> task(Index head = 0) const {
    return {call, wave, head, head / shape.Hkv, head % shape.Hkv, scratch, sums};
  }
  Index tasks() const { return wave_tasks(shape, plan); }
  BackwardPlan plan_of() const {
    BackwardPlan cut = backward_plan(shape, kernels.tile_shape, gradients.sums, 1, nullptr);
    cut.heads = shape.B * shape.Hkv;
    cut.keeps_scores = true;
    cut.drops = forward.dropout.active();
    cut.sink_sums = forward.sinks.empty() ? 0 : shape.B * shape.Hq;
    return cut;
  }
};

}  // namespace heed::test
