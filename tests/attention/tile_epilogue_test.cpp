// A tile of scores against the definition, pair by pair: scaled, modified, masked, cut at the keys.
#include "heed/attention/flash/tile_epilogue.hpp"

#include <vector>

#include "attention/one_task.hpp"
#include "support/contract.hpp"

namespace heed {
namespace {

constexpr int panel = 16;

float score_at(int i, int j) { return test::number_of(i, j); }

// A tile whose scores are known, under a mask and a score for all of `keys` keys from 30 on.
template <class M, class S>
void check(const M& mask, const S& score, int rows, int keys, bool masked) {
  const mask::Tile tile{40, 40 + rows, 30, 30 + keys};
  std::vector<float> scores(static_cast<std::size_t>(rows * panel) + 1, 100);
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < panel; ++c)
      scores[static_cast<std::size_t>(i * panel + c)] = score_at(i, c);
  }
  const float scale = 0.5F;
  const TileEpilogue<float, M, S> epilogue{mask, score, scale, masked};
  epilogue.template operator()<panel>(scores.data(), tile);
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < panel; ++c) {
      CAPTURE(rows, keys, masked, i, c);
      const float found = scores[static_cast<std::size_t>(i * panel + c)];
      if (c >= keys || (masked && !mask.allows(40 + i, 30 + c))) {
        REQUIRE(is_masked(found));
      } else if constexpr (folds_scale<S>) {
        REQUIRE(found == score_at(i, c));
      } else {
        REQUIRE(found == score.value(scale * score_at(i, c), 40 + i, 30 + c));
      }
    }
  }
  REQUIRE(scores.back() == 100);
}

template <class M, class S>
void check_tiles(const M& any_mask, const S& any_score) {
  const Shape shape{1, 1, 1, 80, 80, 4, 4};
  const auto mask = mask::bind(any_mask, shape, 0, 0);
  const auto score = score::bind(any_score, shape, 0, 0);
  for (const int rows : {1, 3, 8}) {
    for (const int keys : {panel, 1, 11}) {
      check(mask, score, rows, keys, true);
      check(mask, score, rows, keys, false);
    }
  }
}

}  // namespace

TEST_CASE("tile epilogue: every pair is scaled, modified and masked, keys behind the last hidden") {
  const auto distance =
      score::with_derivative([](float s, int i, int j) { return s - static_cast<float>(i - j); },
                             [](float, int, int) { return 1.0F; });
  const std::vector<int> ids = [] {
    std::vector<int> of(80);
    for (std::size_t n = 0; n < of.size(); ++n) of[n] = static_cast<int>(n / 7 % 3);
    return of;
  }();
  check_tiles(mask::window(4, 3), score::None{});  // by rows
  check_tiles(mask::window(4, 3), distance);
  check_tiles(mask::document(ids), score::None{});
  check_tiles(mask::any(~mask::causal()), score::None{});  // by whole tiles
  check_tiles(mask::any(mask::document(ids)), distance);
}

TEST_CASE("tile epilogue: a scale multiplies the rows that there are") {
  std::vector<float> scores(3 * panel, 2);
  ScaleTile<float>{1.5F}.operator()<panel>(scores.data(), 2);
  for (std::size_t n = 0; n < scores.size(); ++n) CHECK(scores[n] == (n < 2 * panel ? 3 : 2));
}

TEST_CASE("tile epilogue: a tile drops what Philox says of its pairs") {
  const Dropout dropout = Dropout::of(0.4, 11);
  const auto& kernels = simd::element_kernels<float>(isa());
  const int nr = kernels.tile_shape.nr;
  for (const int keys : {nr, 5}) {
    std::vector<float> p(static_cast<std::size_t>(3 * nr), 1);
    drop_tile(kernels, p.data(), {7, 10, 60, 60 + keys}, 2, 5, dropout);
    for (int i = 0; i < 3; ++i) {
      for (int c = 0; c < keys; ++c) {
        const bool kept = dropout.keeps(2, 5, static_cast<std::uint32_t>(7 + i),
                                        static_cast<std::uint32_t>(60 + c));
        CHECK(p[static_cast<std::size_t>(i * nr + c)] ==
              (kept ? static_cast<float>(dropout.keep_scale) : 0));
      }
    }
  }
}

}  // namespace heed
