// Between the products of a backward call, tile by tile against the definition.
#include "heed/attention/flash/backward_epilogue.hpp"

#include <cmath>
#include <vector>

#include "attention/one_backward.hpp"
#include "support/contract.hpp"

namespace heed {
namespace {

using test::number_of;

const ScorePlace at{1, 3, 20, 31, 10, 50};  // 11 queries and 40 keys

// Tiles of a place whose numbers are known, with room for slopes beside them.
struct Tiles {
  simd::TileShape shape = simd::element_kernels<float>(isa()).tile_shape;
  std::vector<float> memory, more;
  std::vector<std::uint8_t> coverage;
  simd::ScoreTiles<float> scores;

  explicit Tiles(mask::Coverage all = mask::Coverage::Partial) {
    const auto size = static_cast<std::size_t>(simd::ScoreTiles<float>::size(shape, 11, 40));
    memory.assign(size, 0), more.assign(size, 77);
    coverage.assign(static_cast<std::size_t>(shape.m_tiles(11) * shape.panels(40)),
                    static_cast<std::uint8_t>(all));
    scores = simd::ScoreTiles<float>::of(shape, memory.data(), coverage.data(), 11, 40);
    for (int i = 0; i < 11; ++i) {
      for (int j = 0; j < 40; ++j) scores.at(i, j) = number_of(i, j);
    }
  }
  float& other(Index i, Index j) {
    return more[static_cast<std::size_t>(&scores.at(i, j) - memory.data())];
  }
};

template <class F>
void for_each_pair(const F& f) {
  for (int i = 0; i < 11; ++i) {
    for (int j = 0; j < 40; ++j) {
      CAPTURE(i, j);
      f(i, j);
    }
  }
}

// s² + i − j: a slope that depends on the score.
struct Bent {
  template <class R>
  R value(R s, int i, int j) const {
    return s * s + static_cast<R>(i - j);
  }
  template <class R>
  R derivative(R s, int, int) const {
    return 2 * s;
  }
};

}  // namespace

TEST_CASE("backward epilogue: scores become masked logits of their pairs") {
  const auto mask = mask::bind(mask::causal(), Shape{1, 1, 1, 40, 60, 4, 4}, 0, 0);
  Tiles tiles;
  apply_epilogue(tiles.scores, at, mask, Bent{}, 0.5F, isa());
  for_each_pair([&](int i, int j) {
    const float s = 0.5F * number_of(i, j), found = tiles.scores.at(i, j);
    if (!mask.allows(20 + i, 10 + j)) {
      REQUIRE(is_masked(found));
    } else {
      REQUIRE(std::abs(found - (s * s + static_cast<float>(10 + i - j))) < 1e-5F);
    }
  });
  Tiles full(mask::Coverage::Full);
  apply_epilogue(full.scores, at, test::no_mask, score::None{}, 1.0F, isa());
  for_each_pair([&](int i, int j) { REQUIRE(full.scores.at(i, j) == number_of(i, j)); });
  REQUIRE((40 % full.shape.nr == 0 || is_masked(full.scores.at(0, 40))));
}

TEST_CASE("backward epilogue: slopes stand where their scores do, and multiply what is not 0") {
  Tiles tiles;
  modify_with_slopes(tiles.scores, tiles.more.data(), at, Bent{}, 0.5F, isa());
  for_each_pair([&](int i, int j) {
    const float s = 0.5F * number_of(i, j);
    REQUIRE(std::abs(tiles.scores.at(i, j) - (s * s + static_cast<float>(10 + i - j))) < 1e-5F);
    REQUIRE(std::abs(tiles.other(i, j) - 2 * s) < 1e-6F);
  });
  Tiles d;
  d.scores.at(3, 5) = 0;
  d.other(3, 5) = test::inf;  // of a masked pair
  multiply_slopes(d.scores, d.more.data(), at, isa());
  for_each_pair([&](int i, int j) {
    REQUIRE(d.scores.at(i, j) == (i == 3 && j == 5 ? 0 : 77 * number_of(i, j)));
  });
}

TEST_CASE("backward epilogue: a place drops what Philox says of its pairs") {
  Tiles tiles;
  const Dropout dropout = Dropout::of(0.3, 4);
  drop(simd::element_kernels<float>(isa()), tiles.scores, at, dropout);
  for_each_pair([&](int i, int j) {
    const bool kept =
        dropout.keeps(1, 3, static_cast<std::uint32_t>(20 + i), static_cast<std::uint32_t>(10 + j));
    const float x = number_of(i, j) * static_cast<float>(dropout.keep_scale);
    REQUIRE(tiles.scores.at(i, j) == (kept ? x : 0));
  });
}

TEST_CASE("backward epilogue: dots of rows, contiguous or not") {
  std::vector<BFloat16> a(200);
  std::vector<float> b(400);
  for (std::size_t n = 0; n < b.size(); ++n) b[n] = number_of(3, static_cast<Index>(n));
  for (std::size_t n = 0; n < a.size(); ++n) a[n] = BFloat16(number_of(4, static_cast<Index>(n)));
  for (const Index step : {1, 2}) {
    for (const Index columns : {1, 7, 16, 37}) {
      const View<const BFloat16, 2> x{a.data(), {2, columns}, {90, step}};
      const View<const float, 2> y{b.data(), {2, columns}, {columns * 2 + 1, 1}};
      float to[2] = {};
      simd::for_isa<float, RowDots<BFloat16, float>, float*>(isa())({x, y}, to);
      for (Index r = 0; r < 2; ++r) {
        double sum = 0;
        for (Index d = 0; d < columns; ++d)
          sum += static_cast<double>(x(r, d)) * static_cast<double>(y(r, d));
        CAPTURE(step, columns, r);
        REQUIRE(std::abs(static_cast<double>(to[r]) - sum) < 1e-5);
      }
    }
  }
}

}  // namespace heed
