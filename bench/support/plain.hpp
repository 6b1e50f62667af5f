// Unfused attention on heed's own kernels: all scores of a head at once, one softmax, one product.
// It stands beside heed's rows to show where fusing would lose.
#pragma once

#include <algorithm>
#include <limits>

#include "heed/core/zeros.hpp"
#include "heed/simd/kernels.hpp"
#include "support/operands.hpp"

namespace heed::bench {

// One thread; all keys, or those of a causal mask.
template <class T>
class Plain {
 public:
  using R = Accum<T>;

  Plain(const Row& row, const Operands<T>& operands)
      : row_(row), operands_(operands), kernels_(simd::packed_kernels<T>(isa())) {
    const simd::TileShape& shape = kernels_.tile_shape;
    const Index keys = shape.columns_in_panels(row.Lk), columns = shape.columns(row.Dv);
    const Index padded_rows = shape.rows_in_tiles(row.Lq);
    q_ = zeros<R>(simd::PackedA<R>::size(shape, padded_rows, row.D));
    kt_ = zeros<R>(simd::PackedB<R>::size(shape, row.D, keys));
    v_ = zeros<R>(simd::PackedB<R>::size(shape, keys, columns));
    scores_ = zeros<R>(simd::ScoreTiles<R>::size(shape, padded_rows, keys));
    acc_ = zeros<R>(simd::Accumulator<R>::size(shape, padded_rows, columns));
    max_ = zeros<R>(padded_rows), sum_ = zeros<R>(padded_rows),
    packed_p_ = zeros<R>(shape.packed_p);
    coverage_.assign(static_cast<std::size_t>(shape.m_tiles(padded_rows) * shape.panels(keys)), 1);
    out_ = Tensor4<T>(row.B, row.Hq, row.Lq, row.Dv);
  }

  // True where a head's scores fit in memory.
  static bool fits(const Row& row) { return row.Lq * row.Lk <= Index{1} << 24; }

  void operator()() {
    for (Index b = 0; b < row_.B; ++b) {
      for (Index h = 0; h < row_.Hq; ++h) attend(b, h);
    }
  }

  const Tensor4<T>& out() const { return out_; }

 private:
  template <class X>
  static auto matrix(X& tensor, Index b, Index h) {
    const Index L = tensor.dimension(2), D = tensor.dimension(3);
    auto* data = tensor.data() + (b * tensor.dimension(1) + h) * L * D;
    return View<std::remove_pointer_t<decltype(data)>, 2>{data, {L, D}, {D, 1}};
  }

  void attend(Index b, Index h) {
    const simd::TileShape& shape = kernels_.tile_shape;
    const Index kv_head = h / (row_.Hq / row_.Hkv), columns = shape.columns(row_.Dv);
    const Index keys = shape.columns_in_panels(row_.Lk);
    const auto scale = static_cast<R>(1 / std::sqrt(static_cast<double>(row_.D)));
    const simd::PackedA<R> q{q_.data(), row_.D, shape, kernels_.folds_scale ? R(1) : scale};
    const simd::PackedB<R> kt{kt_.data(), row_.D, keys, shape};
    const simd::PackedB<R> v{v_.data(), keys, columns, shape};
    const simd::Accumulator<R> acc{acc_.data(), columns, shape};
    auto scores =
        simd::ScoreTiles<R>::of(shape, scores_.data(), coverage_.data(), row_.Lq, row_.Lk);
    scores.packed_p = packed_p_.data();
    kernels_.pack_a(matrix(operands_.q, b, h), kernels_.folds_scale ? scale : R(1), q);
    kernels_.pack_b_transposed(matrix(operands_.k, b, kv_head), kt);
    kernels_.pack_b(operands_.values.matrix(b, kv_head), v);
    kernels_.gemm.qk(q, kt, scores);
    mask(scores);
    std::fill(max_.begin(), max_.end(), std::numeric_limits<R>::lowest());
    std::fill(sum_.begin(), sum_.end(), R(0));
    std::fill(acc_.begin(), acc_.end(), R(0));
    kernels_.softmax(scores, {max_.data(), sum_.data(), acc});
    kernels_.gemm.pv(scores, v, acc);
    kernels_.finalize_rows(max_.data(), sum_.data(), row_.Lq);
    kernels_.store_rows(acc, 0, sum_.data(), matrix(out_, b, h));
  }

  // −inf for keys that a row does not see, and beyond the last one.
  void mask(const simd::ScoreTiles<R>& scores) const {
    const Index nr = scores.shape.nr;
    for (Index i = 0; i < row_.Lq; ++i) {
      const Index seen = visible_keys(row_, i);
      for (Index p = seen / nr; p < scores.panels; ++p) {
        std::fill(scores.row(i, p) + std::max<Index>(0, seen - p * nr), scores.row(i, p) + nr,
                  -std::numeric_limits<R>::infinity());
      }
    }
  }

  Row row_;
  const Operands<T>& operands_;
  const simd::PackedKernels<T>& kernels_;
  std::vector<R> q_, kt_, v_, scores_, acc_, max_, sum_, packed_p_;
  std::vector<std::uint8_t> coverage_;
  Tensor4<T> out_;
};

}  // namespace heed::bench
