// Part of kernels.inl: what nn's layers are made of, x·Wᵀ + b and the normalisation of a row.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// Rows of a weight that stand side by side in a panel: b(d, c) = w(c, d), 0 beyond the last row.
//   w  [≤ panel, depth]
template <class T>
void pack_weight(const View<const T, 2>& w, const PackedB<Accum<T>>& b) {
  using R = Accum<T>;
  if (w.stride[0] != 1 || w.extent[0] != nr<R>) {
    pack_b_transposed(w, b);
    return;
  }
  HEED_ASSERT(b.k == w.extent[1] && b.width(0) == nr<R>);
  const T* from = w.data;
  R* to = b.data;
  for (Index d = 0; d < w.extent[1]; ++d, from += w.stride[1], to += nr<R>) {
#pragma GCC unroll 16
    for (int n = 0; n < vectors<R>; ++n) store(to + n * vl<R>, load_as<R>(from + n * vl<R>));
  }
}

// Rows of x become rows `at` and following of `to`, `depth_block` features a block.
template <class T>
void pack_rows(const View<const T, 2>& x, Index at, const BlockedA<Accum<T>>& to) {
  using R = Accum<T>;
  HEED_ASSERT(at + x.extent[0] <= to.rows && x.extent[1] == to.k);
  for (Index begin = 0; begin < x.extent[1]; begin += depth_block<R>) {
    const Index left = x.extent[1] - begin;
    const Index length = left < depth_block<R> ? left : depth_block<R>;
    R* row = to.block(begin) + at * length;
    for (Index r = 0; r < x.extent[0]; ++r, row += length) {
      const T* from = x.data + r * x.stride[0] + begin * x.stride[1];
      Index d = 0;
      for (; x.stride[1] == 1 && d + vl<R> <= length; d += vl<R>) {
        store(row + d, load_as<R>(from + d));
      }
      for (; d < length; ++d) row[d] = static_cast<R>(from[d * x.stride[1]]);
    }
  }
}

// Sums become outputs: y = activation(sums + bias), rounded once.
template <class T>
void finish(const Accum<T>* sums, Index count, const EpilogueArgs<T>& to) {
  using R = Accum<T>;
  constexpr int registers = vectors<R>, lanes = vl<R>;
  const bool whole = to.step == 1 && to.columns == nr<R>;
  Array<Vec<R>, registers> bias = {};
  for (int n = 0; n < registers; ++n) {
    if (to.bias == nullptr || to.columns <= n * lanes) break;
    bias[n] = load_some_as<R>(to.bias + n * lanes, 1, to.columns - n * lanes);
  }
  for (Index r = 0; r < count; ++r, sums += nr<R>) {
    Array<Vec<R>, registers> x;
#pragma GCC unroll 16
    for (int n = 0; n < registers; ++n) x[n] = load(sums + n * lanes) + bias[n];
    activate<R, registers>(to.activation, x);
    Array<T, nr<R>> some;
    T* y = to.rows[r] + to.first * to.step;
    T* at = whole ? y : some;
#pragma GCC unroll 16
    for (int n = 0; n < registers; ++n) store_as<R>(x[n], at + n * lanes);
    for (Index c = 0; !whole && c < to.columns; ++c) y[c * to.step] = some[c];
  }
}

// Registers of vl<double> numbers, and how many of them the sums of normalise_row stand in:
// eight lanes on every instruction set.
template <class R>
using Part = Register<R, vl<double>>;
inline constexpr int parts = 8 / vl<double>;

// A row's numbers as doubles, from index j.
template <class T>
HEED_INLINE Vec<double> doubles(const T* row, Index j) {
  if constexpr (std::is_same_v<T, Accum<T>>) {
    const auto part = *reinterpret_cast<const typename Part<T>::unaligned*>(row + j);
    return __builtin_convertvector(part, Vec<double>);
  } else {
    Vec<double> part{};
    for (int n = 0; n < vl<double>; ++n) part[n] = static_cast<double>(row[j + n]);
    return part;
  }
}

// Σ (row[j] − from), or of their squares, in double and in an order that the length alone decides.
template <bool Squared, class T>
HEED_INLINE double row_sum(const T* row, Index size, double from) {
  Array<Vec<double>, parts> sums = {};
  Index j = 0;
  for (; j + 8 <= size; j += 8) {
#pragma GCC unroll 4
    for (int n = 0; n < parts; ++n) {
      const Vec<double> x = doubles(row, j + n * vl<double>) - from;
      sums[n] += Squared ? x * x : x;
    }
  }
  for (Index lane = 0; j < size; ++j, ++lane) {
    const double x = static_cast<double>(row[j]) - from;
    sums[lane / vl<double>][lane % vl<double>] += Squared ? x * x : x;
  }
#pragma GCC unroll 4
  for (int n = 1; n < parts; ++n) sums[0] += sums[n];
  return reduce_add<double>(sums[0])[0];
}

// row = (row − mean) / sqrt(variance + eps) · weight + bias; mean and biased variance in double.
// Without the centre the mean is 0, and the variance the mean square.
template <class T>
void normalise_row(Norm norm, T* row, Index size, const T* weight, const T* bias, double eps) {
  using R = Accum<T>;
  const double n = static_cast<double>(size);
  const double mean = norm == Norm::layer ? row_sum<false>(row, size, 0.0) / n : 0.0;
  const double factor = 1 / __builtin_sqrt(row_sum<true>(row, size, mean) / n + eps);
  Index j = 0;
  if constexpr (std::is_same_v<T, R>) {
    using Unaligned = typename Part<R>::unaligned;
    for (; j + vl<double> <= size; j += vl<double>) {
      const auto x =
          __builtin_convertvector((doubles(row, j) - mean) * factor, typename Part<R>::type);
      *reinterpret_cast<Unaligned*>(row + j) = x * *reinterpret_cast<const Unaligned*>(weight + j) +
                                               *reinterpret_cast<const Unaligned*>(bias + j);
    }
  }
  for (; j < size; ++j) {
    const R x = static_cast<R>((static_cast<double>(row[j]) - mean) * factor);
    row[j] = static_cast<T>(x * static_cast<R>(weight[j]) + static_cast<R>(bias[j]));
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
