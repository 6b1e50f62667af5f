// Linear attention as a recurrent network: decoding a token costs O(D·Dv), however long the text.
// Katharopoulos et al., "Transformers are RNNs" (2020), equations 16 to 20.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/approx/linear/linear.hpp"
#include "heed/approx/linear/raise.hpp"
#include "heed/approx/results.hpp"
#include "heed/core/check.hpp"

namespace heed::approx {

// The recurrent state S, z after all tokens so far. R is the type of sums: float, or double for
// double.
template <class R>
struct LinearState {
  // NOLINTNEXTLINE(readability-identifier-naming): the paper's name
  Tensor4<R> S;  // [B, Hkv, D, Dv], Σ φ(k) vᵀ
  Tensor3<R> z;  // [B, Hkv, D], Σ φ(k)

  // Throws heed::Error for a negative size.
  [[gnu::always_inline]] LinearState(Index B, Index Hkv, Index D, Index Dv) {
    if (B < 0 || Hkv < 0 || D < 0 || Dv < 0) {
      refuse({"heed::approx::LinearState: a size is negative (B ", B, ", Hkv ", Hkv, ", D ", D,
              ", Dv ", Dv, ")"});
    }
    S = make_tensor<R, 4, Eigen::RowMajor>({B, Hkv, D, Dv}).setZero();
    z = make_tensor<R, 3, Eigen::RowMajor>({B, Hkv, D}).setZero();
  }

  // φ(k) vᵀ is added to S, φ(k) to z.
  template <class T, class F>
  [[gnu::always_inline]] void absorb(const View<const T, 4>& k, const View<const T, 4>& v, Index b,
                                     Index h, Index j, const F& map) {
    for (Index d = 0; d < k.extent[3]; ++d) {
      const R feature = map(static_cast<R>(k(b, h, j, d)));
      z(b, h, d) += feature;
      R* row = S.data() + S.dimension(3) * ((b * S.dimension(1) + h) * S.dimension(2) + d);
      for (Index n = 0; n < v.extent[3]; ++n) row[n] += feature * static_cast<R>(v(b, h, j, n));
    }
  }

  // out = φ(q)·S / φ(q)·z, for the query head hq that belongs to key head h.
  template <class T, class F>
  [[gnu::always_inline]] void attend(const View<const T, 4>& q, const View<T, 4>& out, Index b,
                                     Index hq, Index h, Index i, const F& map,
                                     std::vector<R>& sums) const {
    R total = 0;
    std::fill(sums.begin(), sums.end(), R(0));
    for (Index d = 0; d < q.extent[3]; ++d) {
      const R feature = map(static_cast<R>(q(b, hq, i, d)));
      total += feature * z(b, h, d);
      const R* row = S.data() + S.dimension(3) * ((b * S.dimension(1) + h) * S.dimension(2) + d);
      for (std::size_t n = 0; n < sums.size(); ++n) sums[n] += feature * row[n];
    }
    const R raise = raise_of(total);
    const R factor = total == R(0) ? R(0) : R(1) / (total * raise);
    for (std::size_t n = 0; n < sums.size(); ++n) {
      out(b, hq, i, static_cast<Index>(n)) =
          static_cast<T>(total == R(0) ? R(0) : sums[n] * raise * factor);
    }
  }
};

inline namespace HEED_ABI {

// Throws heed::Error where the state has other sizes than k and v want, or q another length than k.
template <class R, class Q, class K, class V>
void check_state(const char* call, const LinearState<R>& state, const Q& q, const K& k, const V& v,
                 const Shape& shape) {
  const Index sizes[4] = {shape.B, shape.Hkv, shape.D, shape.Dv};
  for (int d = 0; d < 4; ++d) {
    require_equal(state.S.dimension(static_cast<std::size_t>(d)), sizes[d],
                  "the state's dimension is", "k and v want", call, [&] {
                    return joined({"k ", extents_of(view_of(k)), ", v ", extents_of(view_of(v))});
                  });
  }
  require_equal(shape.Lq, shape.Lk, "q has length", "k has length", call, [&] {
    return joined({"q ", extents_of(view_of(q)), ", k ", extents_of(view_of(k))});
  });
}

// One step of decoding, or several: token after token, its key and value go into the state, then
// its query reads it. The same out as linear(…, mask::causal()) over the whole text, but for
// rounding.
//
//   state  of B batches and Hkv heads, changed
//   q      [B, Hq,  L, D]     k  [B, Hkv, L, D]     v  [B, Hkv, L, Dv]
//
// Throws heed::Error as linear does, and where the state has other sizes or q another length than
// k; the state is then unchanged. Time O(B·L·(Hkv + Hq)·D·Dv).
template <class R, class Q, class K, class V, class F = EluPlusOne>
requires RightTypes<Q, K, V>
auto linear_step(LinearState<R>& state, const Q& q, const K& k, const V& v, const F& map = {}) {
  constexpr const char* call = "heed::approx::linear_step";
  using T = ScalarOf<Q>;
  static_assert(std::is_same_v<R, Accum<T>>,
                "heed::approx::linear_step: the state must be of the tensors' type of sums");
  static_assert(FeatureMap<F, R>, "heed::approx::linear_step: the map must be callable as R -> R");
  const Shape shape = check_call(call, q, k, v, mask::None{}, score::None{}, {});
  check_state(call, state, q, k, v, shape);
  auto problem = make_problem(q, k, v, shape, {});
  auto result = output_for(q, problem);
  std::vector<R> sums(static_cast<std::size_t>(shape.Dv));
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < (shape.Hq == 0 ? 0 : shape.Hkv); ++h) {
      for (Index t = 0; t < shape.Lk; ++t) {
        state.absorb(problem.k, problem.v, b, h, t, map);
        for (Index hq = h * shape.group(); hq < (h + 1) * shape.group(); ++hq) {
          state.attend(problem.q, problem.out, b, hq, h, t, map, sums);
        }
      }
    }
  }
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
