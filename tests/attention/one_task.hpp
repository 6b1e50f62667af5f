// One task of a call on random tensors, with its scratch, for tests of what is done to a task.
#pragma once

#include <vector>

#include "heed/attention/flash/task.hpp"
#include "support/problem.hpp"

namespace heed::test {

inline constexpr mask::None no_mask{};
inline constexpr score::None no_score{};

// A task and the heads that it refers to.
template <class T, class M, class S>
struct Heads {
  HeadContexts<M, S> heads;
};
template <class T, class M, class S>
struct TaskOfHeads : Heads<T, M, S>, FlashTask<T, M, S> {
  template <class Parts>
  TaskOfHeads(const Parts& of, const M& mask, const S& score, Accum<T> weight_scale)
      : Heads<T, M, S>{{mask, score, of.shape, of.rows}},
        FlashTask<T, M, S>{of.problem, Heads<T, M, S>::heads, of.plan,     of.kernels, of.rows,
                           of.scratch, of.scratch.state,      weight_scale} {}
  TaskOfHeads(const TaskOfHeads&) = delete;
  TaskOfHeads& operator=(const TaskOfHeads&) = delete;
  ~TaskOfHeads() = default;
};

// All queries of the first heads against all keys, in one KV block. Its kernels take elements.
template <class T>
struct OneTask {
  using R = Accum<T>;

  Shape shape;
  Inputs<T> in;
  Buffer<T> out;
  std::vector<R> lse;
  Problem<T> problem;
  FlashKernels<T> kernels{simd::element_kernels<T>(isa()), simd::unpacked_kernels<T>(isa())};
  QueryBlock rows;
  FlashPlan plan = plan_of(kernels.packed.tile_shape);
  std::vector<std::byte> memory =
      std::vector<std::byte>(static_cast<std::size_t>(flash_scratch_bytes<R>(shape, plan)) + 64);
  Carver carver{memory.data()};
  FlashScratch<R> scratch = flash_scratch<R>(carver, shape, plan);

  explicit OneTask(const Shape& of, int heads = 1, const Options& options = {})
      : shape(of),
        in(of, Layout::gaps, 5),
        out(of.B, of.Hq, of.Lq, of.Dv, Layout::gaps),
        lse(static_cast<std::size_t>(of.B * of.Hq * of.Lq)),
        problem(make_problem(in.q.cview(), in.k.cview(), in.v.cview(), of, options)),
        rows{0, 0, heads, 0, static_cast<int>(of.Lq)} {
    problem.out = out.view();
    problem.lse = {lse.data(), {of.B, of.Hq, of.Lq}, {of.Hq * of.Lq, of.Lq, 1}};
  }
  OneTask(const OneTask&) = delete;
  OneTask& operator=(const OneTask&) = delete;
  ~OneTask() = default;

  template <class M = mask::None, class S = score::None>
  TaskOfHeads<T, M, S> task(const M& mask = no_mask, const S& score = no_score,
                            R shrink = 1) const {
    return {*this, mask, score, shrink};
  }

  // Scores of all rows and keys, whose tiles have the coverage that `of_tile(g, p)` says.
  template <class F>
  simd::ScoreTiles<R> scores(F&& of_tile) const {
    const auto tiles = simd::ScoreTiles<R>::of(plan.tile_shape, scratch.scores, scratch.coverage,
                                               rows.count(), shape.Lk);
    for (int g = 0; g < tiles.m_tiles; ++g) {
      for (int p = 0; p < tiles.panels; ++p) {
        scratch.coverage[g * tiles.panels + p] = static_cast<std::uint8_t>(of_tile(g, p));
      }
    }
    return tiles;
  }
  simd::ScoreTiles<R> partial_scores() const {
    return scores([](int, int) { return mask::Coverage::Partial; });
  }

  FlashPlan plan_of(const simd::TileShape& tile_shape) const {
    FlashPlan cut{tile_shape, tile_shape.panels(shape.Lk) * Index{tile_shape.nr}};
    cut.q_inner = static_cast<int>(tile_shape.m_tiles(rows.count()));
    cut.q_block = rows.queries;
    cut.heads_per_task = rows.heads;
    cut.gathers = true;
    return cut;
  }
  Index head_of(int row) const { return row / rows.queries; }
  int query_of(int row) const { return row % rows.queries; }
};

// A number in (−1, 1) for each pair.
inline float number_of(Index a, Index b) { return static_cast<float>(uniform(7, 1000 * a + b)); }

}  // namespace heed::test
