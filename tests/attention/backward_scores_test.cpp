// The gradients of what a score holds: of a tile, and of tasks that are added in their order.
// backward_plan_test has the heads that share numbers of a gradient.
#include "heed/attention/flash/backward_scores.hpp"

#include <cmath>
#include <vector>

#include "attention/one_backward.hpp"

namespace heed {
namespace {

using test::number_of;

const Shape shape{2, 4, 2, 11, 40, 4, 4};

}  // namespace

TEST_CASE("backward scores: a tile's gradient passes the score, which adds up its own") {
  const std::vector<float> slopes{0.5F, 0.25F, 1, 2};
  std::vector<float> d_slopes(4);
  const auto alibi = score::with_gradient(score::alibi(slopes), d_slopes);
  const auto score = score::soft_cap(2) >> alibi;
  const test::OneBackward of(shape, test::no_mask, score);
  const ScorePlace at{1, 3, 0, 11, 0, 40};
  const auto tiles =
      simd::ScoreTiles<float>::of(of.plan.tile_shape, of.scratch.d_p, of.scratch.coverage, 11, 40);
  std::fill_n(of.scratch.coverage, tiles.tiles(), std::uint8_t{1});
  simd::ScoreTiles<float> scores = tiles;
  scores.data = of.scratch.scores;
  for (int i = 0; i < 11; ++i) {
    for (int j = 0; j < 40; ++j) {
      tiles.at(i, j) = number_of(i, j);
      scores.at(i, j) = 6 * number_of(j, i);
    }
  }
  const Index number = 5;
  clear_task(of.sums, number);
  const auto bound = score::bind(score, shape, 1, 3);
  backward_score<std::remove_cvref_t<decltype(score)>>(
      tiles, of.scratch.scores, at, bound, head_sums(of.sums, 1, 3, number), 0.5F, isa());
  double d_slope = 0;
  for (int i = 0; i < 11; ++i) {
    for (int j = 0; j < 40; ++j) {
      const double d = static_cast<double>(number_of(i, j));
      const double s = 3 * static_cast<double>(number_of(j, i)), t = std::tanh(s / 2);
      d_slope -= d * std::abs(j - i - 29);
      CAPTURE(i, j);
      REQUIRE(std::abs(static_cast<double>(tiles.at(i, j)) - d * (1 - t * t)) < 2e-6);
    }
  }
  const double* of_task = std::get<0>(of.sums).of_tasks;
  CHECK(std::abs(of_task[number] - d_slope) < 1e-4);
}

TEST_CASE("backward scores: the sums of tasks go to their heads, and from there to the caller") {
  const Tensor2<float> table = Tensor2<float>(4, 5).setConstant(0);  // of each head
  Tensor2<float> d_table(4, 5);
  d_table.setConstant(7);
  const auto score = score::with_gradient(score::relative(table), d_table);
  const test::OneBackward of(shape, test::no_mask, score);
  const auto& sums = std::get<0>(of.sums);
  REQUIRE(sums.by_task);
  REQUIRE(sums.numbers() == 5);
  clear_sums(of.sums, 1, nullptr);
  for (Index task = 0; task < of.tasks(); ++task) {
    clear_task(of.sums, task);
    for (Index n = 0; n < 5; ++n) {
      REQUIRE(sums.of_tasks[task * 5 + n] == 0);
      sums.of_tasks[task * 5 + n] = static_cast<double>(number_of(task, n));
    }
  }
  add_tasks(of.sums, of.plan, shape, 0, 4, nullptr);
  store_sums(of.sums, 1, nullptr);
  const Index of_head = of.plan.spans * 2;
  for (Index h = 0; h < 4; ++h) {
    for (Index n = 0; n < 5; ++n) {
      double sum = 0;
      for (Index b = 0; b < 2; ++b) {
        for (Index span = 0; span < of.plan.spans; ++span) {
          sum += static_cast<double>(number_of((b * 2 + h / 2) * of_head + span * 2 + h % 2, n));
        }
      }
      CAPTURE(h, n);
      CHECK(d_table(h, n) == static_cast<float>(sum));
    }
  }
}

}  // namespace heed
