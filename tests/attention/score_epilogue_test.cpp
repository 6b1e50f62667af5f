// Between q·kᵀ and p·v: the rows of two heads, each under its own mask and score, against the
// definition pair by pair. Tiles that the mask calls Empty stay as they are.
#include "heed/attention/flash/score_epilogue.hpp"

#include <cmath>
#include <vector>

#include "attention/one_task.hpp"
#include "support/contract.hpp"

namespace heed {
namespace {

using test::number_of;
using test::OneTask;

constexpr Index Lq = 7, Lk = 75;
constexpr int heads = 2;
const Shape shape{1, heads, 1, Lq, Lk, 6, 4};

template <class R>
void fill(const simd::ScoreTiles<R>& scores) {
  for (Index n = 0; n < scores.tiles() * scores.tile_size(); ++n) scores.data[n] = R(9);
  for (int row = 0; row < scores.rows; ++row) {
    for (int j = 0; j < scores.columns; ++j) scores.at(row, j) = static_cast<R>(number_of(row, j));
  }
}

}  // namespace

TEST_CASE("score epilogue: every tile is handed out once, cut at heads and at the last key") {
  const OneTask<float> of(shape, heads);
  const auto scores = of.scores(
      [](int g, int p) { return g == 0 && p == 1 ? mask::Coverage::Empty : mask::Coverage::Full; });
  std::vector<int> met(static_cast<std::size_t>(heads * Lq * Lk));
  const int nr = of.plan.tile_shape.nr, mr = of.plan.tile_shape.mr;
  for_each_tile_segment(of.task(), scores, 0, 0, [&](Index head) {
    return [&, head](const float* s, const mask::Tile& tile, mask::Coverage coverage) {
      CHECK(coverage == mask::Coverage::Full);
      const auto row = static_cast<int>(head * Lq) + tile.q_begin;
      CHECK(s == scores.row(row, tile.k_begin / nr));
      for (int i = tile.q_begin; i < tile.q_end; ++i) {
        for (int j = tile.k_begin; j < tile.k_end; ++j) {
          ++met[static_cast<std::size_t>((head * Lq + i) * Lk + j)];
        }
      }
    };
  });
  for (int row = 0; row < heads * Lq; ++row) {
    for (int j = 0; j < Lk; ++j) {
      CAPTURE(row, j);
      REQUIRE(met[static_cast<std::size_t>(row * Lk + j)] == (row < mr && j / nr == 1 ? 0 : 1));
    }
  }
}

TEMPLATE_TEST_CASE("score epilogue: scores are scaled, modified and masked as written", "", float,
                   double) {
  const std::vector<mask::any> masks = {mask::causal(), mask::window(2)};
  const auto mask = mask::per_head(masks);
  const auto bias = [](float s, Index, Index h, Index i, Index j) {
    return s + static_cast<float>(h) - 0.125F * static_cast<float>(i - j);
  };
  const OneTask<TestType> of(shape, heads, {.scale = 0.25});
  const auto check = [&](const auto& score, const auto& expected) {
    const auto scores = of.partial_scores();
    fill(scores);
    const auto task = of.task(mask, score);
    apply_epilogue(task, scores, 0, 0, mask::Coverage::Partial);
    for (int row = 0; row < heads * Lq; ++row) {
      const Index h = of.head_of(row);
      const auto bound = mask::bind(mask, shape, 0, h);
      for (int j = 0; j < Lk; ++j) {
        CAPTURE(row, j);
        const auto found = scores.at(row, j);
        if (!bound.allows(of.query_of(row), j)) {
          REQUIRE(is_masked(found));
        } else {
          const auto s = static_cast<double>(expected(number_of(row, j), h, of.query_of(row), j));
          REQUIRE(std::abs(static_cast<double>(found) - s) < 1e-6);
        }
      }
      for (int j = Lk; j < scores.panels * of.plan.tile_shape.nr; ++j) {
        REQUIRE(is_masked(scores.at(row, j)));
      }
    }
  };
  check(score::None{}, [](float s, Index, Index, Index) { return s; });  // the scale is in q
  const auto modifier = as_score(bias);
  check(modifier, [&](float s, Index h, Index i, Index j) { return bias(0.25F * s, 0, h, i, j); });
}

TEST_CASE("score epilogue: the scale goes to q, or to scores where q could overflow") {
  for (const double scale : {0.5, -1.0, 1.0, 3.0, -2.0}) {
    const OneTask<float> of(shape, heads, {.scale = scale});
    const auto steps = scale_steps(of.task());
    CAPTURE(scale);
    CHECK(static_cast<double>(steps.early) == (std::abs(scale) <= 1 ? scale : 1));
    CHECK(static_cast<double>(steps.early * steps.late) == scale);
    const auto with_score = scale_steps(of.task(test::no_mask, score::soft_cap(3)));
    CHECK((with_score.early == 1 && with_score.late == 1));  // the epilogue has it
    const auto scores =
        of.scores([](int, int p) { return p == 1 ? mask::Coverage::Empty : mask::Coverage::Full; });
    fill(scores);
    scale_scores(of.task(), scores, 4);
    CHECK(scores.at(3, 0) == 4 * number_of(3, 0));
    CHECK(scores.at(3, of.plan.tile_shape.nr) == number_of(3, of.plan.tile_shape.nr));
  }
}

#if !defined(__FAST_MATH__)  // which promises nothing of NaN
TEST_CASE("score epilogue: scores that are NaN are computed again, and no others") {
  const OneTask<float> of(shape, heads, {.scale = 0.5});
  simd::ScoreTiles<float> some = of.partial_scores();
  some.columns = 40;
  some.panels = static_cast<int>(of.plan.tile_shape.panels(40));
  fill(some);
  some.at(8, 3) = test::nan;
  const int from = 20;  // the block's first key
  const auto k = slice(of.problem.k.matrix(0, 0), from, 40);
  recompute_nan_scores(of.task(), some, 0, from, k);
  double sum = 0;
  for (Index d = 0; d < 6; ++d) {
    sum += 0.5 * static_cast<double>(of.in.q.cview()(0, 1, 1, d)) * static_cast<double>(k(3, d));
  }
  CHECK(std::abs(static_cast<double>(some.at(8, 3)) - sum) < 1e-6);
  CHECK(some.at(8, 4) == number_of(8, 4));
}
#endif

TEST_CASE("score epilogue: stored weights are shares of the row and its sink, dropped pairs 0") {
  std::vector<float> sinks{1, -2}, memory(static_cast<std::size_t>(heads * Lq * Lk), 7);
  OneTask<float> of(shape, heads, {.dropout = 0.5, .seed = 3, .sinks = sinks});
  of.problem.weights = {memory.data(), {1, heads, Lq, Lk}, {heads * Lq * Lk, Lq * Lk, Lk, 1}};
  const auto scores = of.scores(
      [](int g, int p) { return g == 0 && p == 1 ? mask::Coverage::Empty : mask::Coverage::Full; });
  const int nr = of.plan.tile_shape.nr, mr = of.plan.tile_shape.mr, masked_row = 4;
  std::fill_n(scores.data, scores.tiles() * scores.tile_size(), 2.0F);
  for (int row = 0; row < of.plan.rows(); ++row) {
    of.scratch.state.max[row] = row == masked_row ? std::numeric_limits<float>::lowest() : 0.5F;
    of.scratch.state.sum[row] = row == masked_row ? 0.0F : 100.0F;
  }
  const auto task = of.task();
  auto tiles = make_tile_args(of.scratch, of.scratch.state, 0, heads * Lq, Lk);
  tiles.scores = scores;
  store_weights(task, tiles, 0);
  for (int row = 0; row < heads * Lq; ++row) {
    const auto h = static_cast<std::size_t>(of.head_of(row));
    for (int j = 0; j < Lk; ++j) {
      CAPTURE(row, j);
      const bool seen = row != masked_row && (row >= mr || j / nr != 1);
      const double share = 2 / (100 + std::exp(static_cast<double>(sinks[h]) - 0.5));
      const float found = of.problem.weights(0, of.head_of(row), of.query_of(row), j);
      REQUIRE(std::abs(static_cast<double>(found) - (seen ? share : 0)) < 1e-7);
    }
  }
  drop_weights(task, scores, 0, 0);
  for (int row = 0; row < heads * Lq; ++row) {
    for (int j = 0; j < Lk; ++j) {
      if (row < mr && j / nr == 1) continue;
      const auto word = [](Index n) { return static_cast<std::uint32_t>(n); };
      const bool kept =
          of.problem.dropout.keeps(0, word(of.head_of(row)), word(of.query_of(row)), word(j));
      REQUIRE(scores.at(row, j) == (kept ? 4.0F : 0.0F));
    }
  }
}

}  // namespace heed
