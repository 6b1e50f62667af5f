// Between q·kᵀ and p·v: scale, score modifier, mask and dropout, for any layout of fragments.
#pragma once

#include <utility>

#include "heed/core/random.hpp"
#include "heed/cuda/kernel/forward_call.cuh"
#include "heed/cuda/kernel/fragments.cuh"
#include "heed/cuda/kernel/scheduler.cuh"
#include "heed/mask/mask.hpp"
#include "heed/score/score.hpp"

namespace heed::cuda {

// The epilogue of one task: mask and score bound to its head.
template <class Fragments, class Call>
class ScoreEpilogue {
 public:
  using R = typename Fragments::Real;
  using Scores = typename Fragments::Scores;

  HEED_GPU ScoreEpilogue(const Call& call, const Task& task)
      : call_(call),
        task_(task),
        mask_(mask::bind(call.mask, call.shape, task.b, task.h)),
        score_(score::bind(call.score, call.shape, task.b, task.h)) {}

  HEED_GPU const auto& mask() const { return mask_; }

  // scores = mask(modify(scale · scores)); with `Folds_scale` the softmax applies the scale.
  template <bool Folds_scale>
  HEED_GPU void apply(Scores& scores, int k_begin, bool full) const {
    if constexpr (!Folds_scale) {
      modify(scores, k_begin);
    } else if (call_.sign != 1) {
      for_each(scores, [&](R& s) { s *= call_.sign; });
    }
    if (full) return;
    change_scores(scores, allowed(k_begin), [](R& s, bool allows) { s = mask_if(!allows, s); });
  }

  HEED_GPU void drop(Scores& weights, int k_begin) const {
    if (!call_.dropout.active()) return;
    change_scores(weights, kept(k_begin), [](R& p, bool keeps) { p = keeps ? p : R(0); });
  }

 private:
  HEED_GPU void modify(Scores& scores, int k_begin) const {
    const int first_query = task_.q_begin + Fragments::first_row();
    const int first_key = k_begin + Fragments::first_column();
    const int last_query = static_cast<int>(call_.shape.Lq) - 1;
    const int last_key = static_cast<int>(call_.shape.Lk) - 1;
    const R scale = call_.scale * call_.sign;
    int n = 0;
    for_each(scores, [&](R& s) {
      // Pairs beyond the last query or key are masked later, but a score may read memory.
      const int i = smaller(first_query + Fragments::row_of_score(n), last_query);
      const int j = smaller(first_key + Fragments::column_of_score(n), last_key);
      s = static_cast<R>(score_.value(scale * s, i, j));
      ++n;
    });
  }

  HEED_GPU auto allowed(int k_begin) const {
    const int Lq = static_cast<int>(call_.shape.Lq);
    const int Lk = static_cast<int>(call_.shape.Lk);
    return ask_of_scores<Fragments>([&](int row, int column) {
      const int i = task_.q_begin + row;
      return [=, this](int c) {
        const int j = k_begin + column + c;
        return i < Lq && j < Lk && mask_.allows(i, j);
      };
    });
  }

  HEED_GPU auto kept(int k_begin) const {
    return ask_of_scores<Fragments>([&](int row, int column) {
      const auto i = static_cast<std::uint32_t>(task_.q_begin + row);
      const auto j = static_cast<std::uint32_t>(k_begin + column);
      const Words4 words = philox(
          call_.dropout.seed,
          {j / 4, i, static_cast<std::uint32_t>(task_.h), static_cast<std::uint32_t>(task_.b)});
      // Not words[j % 4], which would put them in memory. A pair begins at an even column.
      const std::uint32_t even = j % 4 < 2 ? words[0] : words[2];
      const std::uint32_t odd = j % 4 < 2 ? words[1] : words[3];
      const bool pair = Fragments::columns_at_once == 2;
      return [=, threshold = call_.dropout.threshold](int c) {
        return ((pair ? c : static_cast<int>(j % 2)) == 0 ? even : odd) >= threshold;
      };
    });
  }

  HEED_GPU static int smaller(int a, int b) { return a < b ? a : b; }

  using BoundMask = decltype(mask::bind(std::declval<const Call&>().mask, Shape{}, 0, 0));
  using BoundScore = decltype(score::bind(std::declval<const Call&>().score, Shape{}, 0, 0));

  const Call& call_;
  Task task_;
  BoundMask mask_;
  BoundScore score_;
};

}  // namespace heed::cuda
