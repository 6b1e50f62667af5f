// Nyström attention: the softmax matrix is sampled at landmarks, and three small ones stand for it.
// Xiong et al., "Nyströmformer" (2021).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "heed/approx/options.hpp"
#include "heed/approx/results.hpp"
#include "heed/approx/upcast.hpp"
#include "heed/core/zeros.hpp"
#include "heed/mask/key_limit.hpp"
#include "heed/simd/gemm/product.hpp"

namespace heed::approx {

struct NystromOptions {
  std::optional<double> scale = {};  // default 1/sqrt(D)
  int iterations = 6;                // of the pseudo-inverse, at most
  int threads = 0;                   // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;      // the user's pool

  heed::Options common() const {
    return {.scale = scale, .threads = threads, .executor = executor};
  }
};

inline namespace HEED_ABI {

// to [m, D] = means of the rows of x [L, D], cut into m even segments. m ≤ L.
template <class T, class R>
void segment_means(const View<const T, 2>& x, const View<R, 2>& to) {
  const Index m = to.extent[0], L = x.extent[0];
  for (Index s = 0; s < m; ++s) {
    const Index begin = s * L / m, end = (s + 1) * L / m;
    for (Index d = 0; d < x.extent[1]; ++d) {
      R sum = 0;
      for (Index i = begin; i < end; ++i) sum += static_cast<R>(x(i, d));
      to(s, d) = sum / static_cast<R>(end - begin);
    }
  }
}

// softmax(scale · q kᵀ) [m, m] in double.
template <class R>
std::vector<double> small_softmax(const View<R, 2>& q, const View<R, 2>& k, double scale) {
  const Index m = q.extent[0];
  auto weights = zeros<double>(m * m);
  const std::vector<double> of_q = simd::rows_as<double>(q.as_const());
  const std::vector<double> of_k = simd::rows_as<double>(k.as_const());
  simd::multiply<double>(matrix_of(of_q.data(), m, q.extent[1]),
                         matrix_of(of_k.data(), m, q.extent[1]), matrix_of(weights.data(), m, m));
  for (Index i = 0; i < m; ++i) {
    double* row = weights.data() + i * m;
    double top = scale * row[0], sum = 0;
    for (Index j = 1; j < m; ++j) top = std::max(top, scale * row[j]);
    for (Index j = 0; j < m; ++j) sum += row[j] = std::exp(scale * row[j] - top);
    for (Index j = 0; j < m; ++j) row[j] /= sum;
  }
  return weights;
}

// y = a · b, row-major [m, m].
template <class R>
std::vector<R> small_product(const std::vector<R>& a, const std::vector<R>& b, Index m) {
  std::vector<R> y(a.size());
  simd::multiply<R>(matrix_of(a.data(), m, m), transposed(matrix_of(b.data(), m, m)),
                    matrix_of(y.data(), m, m));
  return y;
}

// The iterated pseudo-inverse of a [m, m], which converges from Z₀ = Aᵀ / (‖A‖₁ ‖A‖∞).
// Razavi et al., "A new iterative method for finding approximate inverses" (2014); Xiong et al.
// (2021), equation 14: Z ← Z (13 I − AZ (15 I − AZ (7 I − AZ))) / 4.
//
// Fewer iterations are made where they converge before. Where `a` is singular (equal landmarks),
// each further one would magnify the rounding in its null space by 13/4. Singular values below
// about 1e-5 of the largest may count as 0.
template <class R>
std::vector<R> pseudo_inverse(const std::vector<R>& a, Index m, int iterations) {
  const auto at = [m](Index i, Index j) { return static_cast<std::size_t>(i * m + j); };
  std::vector<R> z(a.size());
  R columns = 0, rows = 0;
  for (Index i = 0; i < m; ++i) {
    R column = 0, row = 0;
    for (Index j = 0; j < m; ++j) {
      column += std::abs(a[at(j, i)]);
      row += std::abs(a[at(i, j)]);
      z[at(j, i)] = a[at(i, j)];
    }
    columns = std::max(columns, column);
    rows = std::max(rows, row);
  }
  for (R& x : z) x /= columns * rows;
  const auto from_identity = [&](R factor, std::vector<R> x) {
    for (R& value : x) value = -value;
    for (Index i = 0; i < m; ++i) x[at(i, i)] += factor;
    return x;
  };
  R before = std::numeric_limits<R>::max();
  for (int n = 0; n < iterations; ++n) {
    const std::vector<R> az = small_product(a, z, m);
    const auto seven = small_product(az, from_identity(7, az), m);  // 7 AZ − (AZ)²
    R off = 0;  // from (AZ)² = AZ, a projection
    for (std::size_t x = 0; x < az.size(); ++x) off = std::max(off, std::abs(seven[x] - 6 * az[x]));
    if (off < 1e-8 && off > before / 2) break;
    before = off;
    const auto fifteen = from_identity(15, seven);
    z = small_product(z, from_identity(13, small_product(az, fifteen, m)), m);
    for (R& x : z) x /= 4;
  }
  return z;
}

// The landmarks of one query head and its key head, and values for them: in place of
// y = softmax(q̃ kᵀ) v comes softmax(q̃ k̃ᵀ)⁺ y.
template <class R>
void invert_landmarks(const View<R, 2>& q, const View<R, 2>& k, double scale, int iterations,
                      const View<R, 2>& y) {
  const Index m = q.extent[0], Dv = y.extent[1];
  const auto inverse = pseudo_inverse(small_softmax(q, k, scale), m, iterations);
  const std::vector<double> before = simd::rows_as<double>(y.as_const());
  std::vector<double> after(before.size());
  simd::multiply<double>(matrix_of(inverse.data(), m, m),
                         transposed(matrix_of(before.data(), m, Dv)),
                         matrix_of(after.data(), m, Dv));
  std::transform(after.begin(), after.end(), y.data, [](double x) { return static_cast<R>(x); });
}

inline void check_counts(const char* call, Index landmarks, int iterations) {
  if (landmarks < 1) refuse({call, ": landmarks ", landmarks, " is below 1"});
  if (iterations < 0) refuse({call, ": iterations ", iterations, " is negative"});
}

// Throws heed::Error where there are fewer tokens than landmarks; none at all are fine.
inline void check_landmarks(const char* call, const Shape& shape,
                            const std::vector<mask::KeyLimit>& visible, Index landmarks) {
  const auto check = [&](Index tokens, const char* what) {
    if (tokens == 0 || tokens >= landmarks) return;
    refuse({call, ": landmarks ", landmarks, " are more than the ", tokens, " ", what});
  };
  check(shape.Lq, "queries");
  for (const mask::KeyLimit& of_batch : visible) check(of_batch.length, "keys of a text");
}

// Everything after the checks: problem.out is written.
template <class T>
void run_nystrom(const Problem<T>& problem, Index landmarks,
                 const std::vector<mask::KeyLimit>& visible, std::span<const int> lengths,
                 const NystromOptions& options) {
  using R = Accum<T>;
  const Shape& s = problem.shape;
  const heed::Options common = options.common();
  const OwnedTensor<R> q_marks(s.B, s.Hq, landmarks, s.D), k_marks(s.B, s.Hq, landmarks, s.D);
  const OwnedTensor<R> values(s.B, s.Hq, landmarks, s.Dv);
  const int workers = worker_count(s.B * s.Hq, options.threads, options.executor);
  const auto for_each_head = [&](const auto& f) {
    parallel_for(s.B * s.Hq, workers, options.executor, [&](Index n, int) {
      const Index b = n / s.Hq;
      const Index length = visible[static_cast<std::size_t>(b)].length;
      if (length > 0) f(b, n % s.Hq, length);
    });
  };
  for_each_head([&](Index b, Index h, Index length) {
    const Index queries = s.Lq == s.Lk ? length : s.Lq;
    segment_means(slice(problem.q.matrix(b, h), 0, queries), q_marks.view().matrix(b, h));
    segment_means(slice(problem.k.matrix(b, h / s.group()), 0, length),
                  k_marks.view().matrix(b, h));
  });
  const Upcast<T, R> q(problem.q), k(problem.k), v(problem.v);
  Shape sampled = s;
  sampled.Lq = landmarks;
  attention_in<R, R>(q_marks.view().as_const(), k.view(), v.view(), sampled, problem.scale,
                     values.view(), {nullptr, {}, {}}, mask::padding(lengths), score::None{},
                     common);
  for_each_head([&](Index b, Index h, Index) {
    invert_landmarks(q_marks.view().matrix(b, h), k_marks.view().matrix(b, h), problem.scale,
                     options.iterations, values.view().matrix(b, h));
  });
  Shape spread = s;
  spread.Hkv = s.Hq;
  spread.Lk = landmarks;
  attention_in<T, R>(q.view(), k_marks.view().as_const(), values.view().as_const(), spread,
                     problem.scale, problem.out, {nullptr, {}, {}}, mask::None{}, score::None{},
                     common);
}

// out = softmax(q k̃ᵀ) softmax(q̃ k̃ᵀ)⁺ (softmax(q̃ kᵀ) v), where q̃ and k̃ are `landmarks` means of
// even segments of the queries and keys.
//
//   q     [B, Hq,  Lq, D]     any tensor that attention takes; Hq % Hkv == 0
//   k     [B, Hkv, Lk, D]
//   v     [B, Hkv, Lk, Dv]
//   mask  none or mask::padding(lengths): a text's segments end where it does; where Lq = Lk its
//         queries behind the end are no landmarks either, but get a result
//
// Returns {out}; weights may be negative, so there is no log-sum-exp. q, k and v are to be finite:
// a NaN in one of them reaches its whole head. Throws heed::Error as attention does, for landmarks
// below 1 or more than the queries or keys of a text, and for negative iterations.
//
// Time O((Lq + Lk)·landmarks·(D + Dv) + iterations·landmarks³); scratch O(landmarks·(D + Dv +
// landmarks)), and copies of half types in float. Xiong et al., "Nyströmformer" (2021),
// Algorithm 1.
template <class Q, class K, class V, class M = mask::None>
requires RightTypes<Q, K, V, M>
auto nystrom(const Q& q, const K& k, const V& v, Index landmarks, const M& mask = {},
             const NystromOptions& options = {}) {
  constexpr const char* call = "heed::approx::nystrom";
  using T = ScalarOf<Q>;
  static_assert(mask::is_padding_only<M>,
                "heed::approx::nystrom: the mask can only be mask::padding(lengths): a landmark is "
                "the mean of many tokens, and no other mask says what it sees");
  const heed::Options common = options.common();
  const Shape shape = check_call(call, q, k, v, mask, score::None{}, common);
  check_counts(call, landmarks, options.iterations);
  auto problem = make_problem(q, k, v, shape, common);
  auto result = output_for(q, problem);
  if (result.out.size() == 0) return result;
  const std::vector<mask::KeyLimit> visible = mask::key_limits_of(mask, shape);
  check_landmarks(call, shape, visible, landmarks);
  std::vector<int> lengths;
  lengths.reserve(visible.size());
  for (const mask::KeyLimit& of_batch : visible)
    lengths.push_back(static_cast<int>(of_batch.length));
  std::fill_n(result.out.data(), result.out.size(), T(0));
  if (shape.Lq > 0 && shape.Lk > 0) run_nystrom(problem, landmarks, visible, lengths, options);
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
