// The steps of Algorithm 2 on some queries and a KV block, each against sums in double.
#include "heed/attention/flash/backward_tiles.hpp"

#include <cmath>
#include <vector>

#include "attention/one_backward.hpp"

namespace heed {
namespace {

const Shape shape{1, 2, 1, 13, 45, 6, 20};
constexpr Index head = 1, begin = 20, keys = 25;  // of the block
constexpr double scale = 0.5;

double sum_over(Index count, const auto& f) {
  double sum = 0;
  for (Index n = 0; n < count; ++n) sum += static_cast<double>(f(n));
  return sum;
}

// Rows of the block's tiles in double: weights, their gradients and those of scores.
template <class S>
struct Expected {
  std::vector<double> p, d_p, d_s;

  template <class Of>
  Expected(const Of& of, const std::vector<float>& lse, const std::vector<float>& delta) {
    const auto mask = mask::bind(of.mask, shape, 0, head);
    const auto score = score::bind(of.score, shape, 0, head);
    const auto q = of.in.q.cview().matrix(0, head), k = of.in.k.cview().matrix(0, 0),
               v = of.in.v.cview().matrix(0, 0), d_o = of.d_out.cview().matrix(0, head);
    for (int i = 0; i < shape.Lq; ++i) {
      for (int j = 0; j < keys; ++j) {
        const auto key = static_cast<int>(begin) + j;
        const double s = scale * sum_over(shape.D, [&](Index d) { return q(i, d) * k(key, d); });
        const auto n = static_cast<std::size_t>(i);
        const bool seen = mask.allows(i, key);
        p.push_back(seen ? std::exp(score.value(s, i, key) - static_cast<double>(lse[n])) : 0);
        d_p.push_back(sum_over(shape.Dv, [&](Index d) { return d_o(i, d) * v(key, d); }));
        d_s.push_back(p.back() * (d_p.back() - static_cast<double>(delta[n])) *
                      static_cast<double>(score.derivative(s, i, key)));
      }
    }
  }
  double of(const std::vector<double>& x, Index i, Index j) const {
    return x[static_cast<std::size_t>(i * keys + j)];
  }
};

// s + s²/4: a slope of its own at each score.
struct Bent {
  template <class R>
  R value(R s, int, int) const {
    return s + s * s / 4;
  }
  template <class R>
  R derivative(R s, int, int) const {
    return 1 + s / 2;
  }
};

template <class S>
void check_steps(const S& score) {
  const auto mask = mask::causal();
  test::OneBackward of(shape, mask, score, {.scale = scale});
  const auto task = of.task();
  std::vector<float> lse, delta;
  for (Index i = 0; i < shape.Lq; ++i) {
    lse.push_back(2 + test::number_of(1, i));
    delta.push_back(test::number_of(2, i));
  }
  const Expected<S> all(of, lse, delta);
  auto block = make_block(task, begin, begin + keys);
  const simd::Accumulator<float> d_q{of.wave.d_q_of(0, 0, head), of.wave.columns,
                                     of.plan.tile_shape};
  std::fill_n(d_q.data, d_q.size(d_q.shape, shape.Lq, d_q.columns), 0.0F);
  std::fill_n(block.d_k.data, block.d_k.size(block.d_k.shape, keys, block.d_k.columns), 0.0F);
  std::fill_n(block.d_v.data, block.d_v.size(block.d_v.shape, keys, block.d_v.columns), 0.0F);
  Index rows = 0;
  const auto near = [](float found, double expected) {
    REQUIRE(std::abs(static_cast<double>(found) - expected) < 2e-5);
  };
  const auto near_tiles = [&](const auto& tiles, const std::vector<double>& x, Index row) {
    for (Index i = 0; i < tiles.rows; ++i) {
      for (Index j = 0; j < keys; ++j) {
        CAPTURE(row + i, j);
        if (tiles.live(i / of.plan.tile_shape.mr, j / of.plan.tile_shape.nr)) {
          near(tiles.at(i, j), all.of(x, row + i, j));
        } else {
          REQUIRE(all.of(all.p, row + i, j) == 0);
        }
      }
    }
  };
  for_each_query_tiles(task, block, head, 0, shape.Lq, [&](const auto& tiles, Index row) {
    CHECK(block.packed);
    tiles.weights(lse.data() + row);
    near_tiles(tiles.p, all.p, row);
    tiles.weight_gradients();
    near_tiles(tiles.d_p, all.d_p, row);
    tiles.add_d_v();
    tiles.score_gradients(delta.data() + row);
    near_tiles(tiles.d_p, all.d_s, row);
    tiles.add_d_k();
    tiles.add_d_q(d_q.from_tile(row / of.plan.tile_shape.mr));
    rows += tiles.p.rows;
  });
  REQUIRE(rows == shape.Lq);
  for (Index j = 0; j < keys; ++j) {
    CAPTURE(j);
    for (Index d = 0; d < shape.Dv; ++d) {
      near(block.d_v.at(j, d), sum_over(shape.Lq, [&](Index i) {
             return all.of(all.p, i, j) * static_cast<double>(of.d_out.cview()(0, head, i, d));
           }));
    }
    for (Index d = 0; d < shape.D; ++d) {
      near(block.d_k.at(j, d), sum_over(shape.Lq, [&](Index i) {
             return all.of(all.d_s, i, j) * static_cast<double>(of.in.q.cview()(0, head, i, d));
           }));
    }
  }
  for (Index i = 0; i < shape.Lq; ++i) {
    CAPTURE(i);
    for (Index d = 0; d < shape.D; ++d) {
      near(d_q.at(i, d), sum_over(keys, [&](Index j) {
             return all.of(all.d_s, i, j) *
                    static_cast<double>(of.in.k.cview()(0, 0, begin + j, d));
           }));
    }
  }
}

}  // namespace

TEST_CASE("backward tiles: weights, their gradients and five products, step by step") {
  check_steps(score::None{});
  check_steps(Bent{});
}

TEST_CASE("backward tiles: queries that see no key of a block are left out, and it is not packed") {
  const auto mask = mask::window(3, 0);
  test::OneBackward of(shape, mask);
  const auto task = of.task();
  auto block = make_block(task, 0, 20);  // queries stand at keys 32 to 44
  for_each_query_tiles(task, block, head, 0, shape.Lq,
                       [](const auto&, Index) { FAIL("a key is seen"); });
  CHECK_FALSE(block.packed);
}

}  // namespace heed
