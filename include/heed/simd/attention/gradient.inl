// Part of kernels.inl: the softmax of scores whose log-sum-exp is known, and its gradient. Dao,
// "FlashAttention-2" (2023), Algorithm 2.
//
// A masked weight is −0, the others are at least +0: products cannot tell, and the gradient of its
// score is exactly 0 whatever d_p holds.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

template <class R>
inline constexpr BitsOf<R> negative_zero = BitsOf<R>{1} << (8 * sizeof(R) - 1);

// f(tile, row) for each live tile and each run of `interleave` rows in it.
template <class R, class Shape, class F>
HEED_INLINE void for_each_live_row(const ScoreTiles<R, Shape>& scores, const F& f) {
  for (Index g = 0; g < scores.m_tiles; ++g) {
    for (Index p = 0; p < scores.panels; ++p) {
      if (!scores.live(g, p)) continue;
      for (int r = 0; r < mr<R>; r += interleave<R>) f(g, p, r);
    }
  }
}

// s = exp(s − lse) in place, the weights of the forward call; −0 where s is −inf.
//   lse  [m_tiles · mr]
template <class R>
void probabilities(const ScoreTiles<R>& scores, const R* lse) {
  using Bits = typename Register<BitsOf<R>, vl<R>>::type;
  constexpr int count = interleave<R> * vectors<R>;
  const auto tiles = scores.in(ConstantShape<tile_shape<R>>{});
  for_each_live_row(tiles, [&](Index g, Index p, int r) {
    R* s = tiles.tile(g, p) + r * nr<R>;
    const R* of_row = lse + g * mr<R> + r;
    Array<Vec<R>, count> x;
    Array<Bits, count> masked;
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) {
      x[n] = load(s + n * vl<R>);
      masked[n] = (Bits)((Bits)x[n] == masked_bits<R>);
      x[n] -= broadcast(of_row[n / vectors<R>]);
    }
    exp<R, count>(x);
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) {
      store(s + n * vl<R>, (Vec<R>)(((Bits)x[n] & ~masked[n]) | (masked[n] & negative_zero<R>)));
    }
  });
}

// d_p = p ∘ (d_p − delta) in place, the gradient of the scores; 0 where masked.
//   delta  [m_tiles · mr], Σ_j p·d_p of each row
template <class R>
void score_gradient(const ScoreTiles<R>& p, const ScoreTiles<R>& d_p, const R* delta) {
  using Bits = typename Register<BitsOf<R>, vl<R>>::type;
  constexpr int count = interleave<R> * vectors<R>;
  const auto weights = p.in(ConstantShape<tile_shape<R>>{});
  const auto tiles = d_p.in(ConstantShape<tile_shape<R>>{});
  for_each_live_row(tiles, [&](Index g, Index panel, int r) {
    const R* w = weights.tile(g, panel) + r * nr<R>;
    R* d = tiles.tile(g, panel) + r * nr<R>;
    const R* of_row = delta + g * mr<R> + r;
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) {
      const Vec<R> weight = load(w + n * vl<R>);
      const auto seen = (Bits)((Bits)weight != negative_zero<R>);
      const Vec<R> x = weight * (load(d + n * vl<R>) - broadcast(of_row[n / vectors<R>]));
      store(d + n * vl<R>, (Vec<R>)((Bits)x & seen));
    }
  });
}

// delta += Σ_j p·d_p, the keys of these tiles in ascending order.
template <class R>
void add_row_dots(const ScoreTiles<R>& p, const ScoreTiles<R>& d_p, R* delta) {
  using Bits = typename Register<BitsOf<R>, vl<R>>::type;
  const auto weights = p.in(ConstantShape<tile_shape<R>>{});
  const auto tiles = d_p.in(ConstantShape<tile_shape<R>>{});
  for (Index g = 0; g < tiles.m_tiles; ++g) {
    for (int r = 0; r < mr<R>; ++r) {
      Vec<R> sum{};
      for (Index panel = 0; panel < tiles.panels; ++panel) {
        if (!tiles.live(g, panel)) continue;
        const R* w = weights.tile(g, panel) + r * nr<R>;
        const R* d = tiles.tile(g, panel) + r * nr<R>;
#pragma GCC unroll 16
        for (int n = 0; n < vectors<R>; ++n) {
          const Vec<R> weight = load(w + n * vl<R>);
          const auto seen = (Bits)((Bits)weight != negative_zero<R>);
          sum += (Vec<R>)((Bits)(weight * load(d + n * vl<R>)) & seen);
        }
      }
      delta[g * mr<R> + r] += reduce_add<R>(sum)[0];
    }
  }
}

// unmasked[n] = whether weight n is not masked, for the products with what is not finite.
template <class R>
void find_unmasked(const ScoreTiles<R>& p, std::uint8_t* unmasked) {
  for (Index n = 0; n < p.tiles() * p.tile_size(); ++n) {
    unmasked[n] = __builtin_bit_cast(BitsOf<R>, p.data[n]) != negative_zero<R>;
  }
}

// c += aᵀ·b where some of b are NaN or infinite: rows that do not see a column of a are left out.
//   unmasked  as a; nonzero where the row sees the column
template <class R>
void pv_transposed_masked(const ScoreTiles<R>& a, const PackedB<const R>& b,
                          const std::uint8_t* unmasked, const Accumulator<R>& c) {
  const auto p = a.in(ConstantShape<tile_shape<R>>{});
  const auto v = b.in(ConstantShape<tile_shape<R>>{});
  const auto sums = c.in(ConstantShape<transposed_shape<R>>{});
  for (Index at = 0; at < p.tiles() * p.tile_size(); ++at) {
    const Index g = at / p.tile_size() / p.panels, panel = at / p.tile_size() % p.panels;
    const Index key = panel * nr<R> + at % nr<R>;
    const Index row = g * mr<R> + at % p.tile_size() / nr<R>;
    if (!p.live(g, panel) || key >= p.columns || row >= p.rows || unmasked[at] == 0) continue;
    for (Index n = 0; n < v.panels(); ++n) {
      const R* from = v.panel(n) + row * v.width(n);
      R* to = sums.row(key, n);
      for (Index d = 0; d < v.width(n); d += vl<R>) {
        store(to + d, fma(broadcast(p.data[at]), load(from + d), load(to + d)));
      }
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
