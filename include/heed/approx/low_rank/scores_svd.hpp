// The truncated singular value decomposition of scale·q kᵀ, without that matrix: q and k have D
// columns, so all of it is in matrices of D × D.
#pragma once

#include <Eigen/Core>
#include <limits>
// Eigen 3.4.90 refuses a part of it alone; with LAPACKE the part has other code than the whole.
#if EIGEN_VERSION_AT_LEAST(3, 4, 90) || defined(EIGEN_USE_LAPACKE)
#include <Eigen/Eigenvalues>
#else  // all of <Eigen/Eigenvalues> takes 0.17 s and 37 MiB more
#include <Eigen/Householder>
#include <Eigen/Jacobi>
// The solver needs those two.
#include <Eigen/src/Eigenvalues/SelfAdjointEigenSolver.h>
#endif

#include "heed/approx/orthogonal.hpp"
#include "heed/simd/gemm/product.hpp"

namespace heed::approx {

template <class Real>
using Dense = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

// U_r Σ_r = q · queries and V_r = k · keys are the first r singular triplets of scale·q kᵀ.
template <class Real>
struct ScoreFactors {
  Dense<Real> queries, keys;  // [D, r]
};

// The method that finds the directions.
struct SvdOptions {
  bool randomised = false;
  std::uint64_t seed = 0;
};

inline namespace HEED_ABI {

// xᵀx [D, D].
template <class Real, class T>
Dense<Real> gram(const View<const T, 2>& x) {
  Dense<Real> sum(x.extent[1], x.extent[1]);
  simd::multiply_columns<Real>(x, x, sum.data());
  return sum;
}

// R [D, D] with RᵀR = xᵀx: x = Q R for some Q with orthonormal columns, which is never formed.
template <class Real>
Dense<Real> factor_of_gram(const Dense<Real>& gram) {
  const Eigen::SelfAdjointEigenSolver<Dense<Real>> eigen(gram);
  const auto roots = eigen.eigenvalues().cwiseMax(Real(0)).cwiseSqrt().eval();
  return roots.asDiagonal() * eigen.eigenvectors().transpose();
}

// Eigenvectors of the `rank` largest eigenvalues, largest first.
template <class Real>
struct Eigenpairs {
  Dense<Real> vectors;                            // [D, rank]
  Eigen::Matrix<Real, Eigen::Dynamic, 1> values;  // [rank]
};

template <class Real>
Eigenpairs<Real> largest_eigenpairs(const Dense<Real>& symmetric, Index rank) {
  const Eigen::SelfAdjointEigenSolver<Dense<Real>> eigen(symmetric);
  return {eigen.eigenvectors().rightCols(rank).rowwise().reverse(),
          eigen.eigenvalues().tail(rank).reverse()};
}

// The same within a random range of rank + 8 columns, after two more products with the matrix;
// where that is everything, or the matrix has a lower rank, the same but for rounding.
// Halko, Martinsson, Tropp, "Finding structure with randomness" (2011), Algorithms 4.4 and 5.3.
template <class Real>
Eigenpairs<Real> random_eigenpairs(const Dense<Real>& symmetric, Index rank, std::uint64_t seed) {
  constexpr Index oversampling = 8;
  const Index D = symmetric.rows(), count = rank + oversampling;
  if (count >= D) return largest_eigenpairs(symmetric, rank);
  Dense<Real> range(D, count);
  for (Index n = 0; n < range.size(); ++n)
    range.data()[n] = static_cast<Real>(gaussian(seed, n, 2));
  for (int product = 0; product < 3; ++product) {
    range = symmetric.lazyProduct(range).eval();
    for (Index c = 0; c < count; ++c) complete_basis(range.data(), 0, c, D, seed, 4);
  }
  const Dense<Real> within = range.transpose().lazyProduct(symmetric.lazyProduct(range).eval());
  const Eigenpairs<Real> small = largest_eigenpairs(within, rank);
  return {range.lazyProduct(small.vectors), small.values};
}

// Let q = Q R with orthonormal columns in Q, and A Σ² Aᵀ = scale² R kᵀk Rᵀ. Then U = Q A,
// U Σ = scale² q kᵀk Rᵀ A Σ⁻¹ and V = scale k Rᵀ A Σ⁻¹. All NaN where q or k is not finite.
//
//   q [Lq, D]   k [Lk, D]   1 ≤ rank ≤ D
//
// Time O((Lq + Lk)·D² + D³). In double, singular values below 1e-7 of the largest count as 0, which
// is what their squares leave. Products here are lazy: Eigen's others may depend on the number of
// threads.
template <class Real, class T>
ScoreFactors<Real> score_factors(const View<const T, 2>& q, const View<const T, 2>& k, Real scale,
                                 Index rank, const SvdOptions& options) {
  constexpr Real negligible = 1e-14;  // of the largest square
  const Dense<Real> of_q = gram<Real>(q), of_k = gram<Real>(k);
  if (!is_finite(of_q.trace() + of_k.trace())) {
    const Dense<Real> none =
        Dense<Real>::Constant(q.extent[1], rank, std::numeric_limits<Real>::quiet_NaN());
    return {none, none};
  }
  const Dense<Real> r = factor_of_gram(of_q);
  const Dense<Real> k_rt = (scale * of_k).lazyProduct(r.transpose());  // scale · kᵀk Rᵀ
  const Dense<Real> core = scale * r.lazyProduct(k_rt);
  const Eigenpairs<Real> pairs = options.randomised ? random_eigenpairs(core, rank, options.seed)
                                                    : largest_eigenpairs(core, rank);
  ScoreFactors<Real> factors{scale * k_rt.lazyProduct(pairs.vectors),
                             scale * r.transpose().lazyProduct(pairs.vectors)};
  for (Index c = 0; c < rank; ++c) {
    const bool counts = pairs.values[c] > negligible * pairs.values[0];
    const Real factor = counts ? 1 / std::sqrt(pairs.values[c]) : Real(0);
    factors.queries.col(c) *= factor;
    factors.keys.col(c) *= factor;
  }
  return factors;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
