// Eigen's tensors, matrices and half types in and out of heed.
#pragma once

#include <Eigen/Core>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <unsupported/Eigen/CXX11/Tensor>

#include "heed/core/tensor.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"

namespace heed {

static_assert(sizeof(Eigen::Index) >= sizeof(std::ptrdiff_t),
              "heed: EIGEN_DEFAULT_DENSE_INDEX_TYPE makes Eigen's sizes smaller than memory");

template <class T>
using Tensor4 = Eigen::Tensor<T, 4, Eigen::RowMajor>;
template <class T>
using Tensor3 = Eigen::Tensor<T, 3, Eigen::RowMajor>;
template <class T>
using Tensor2 = Eigen::Tensor<T, 2, Eigen::RowMajor>;
using Half = Eigen::half;
using BFloat16 = Eigen::bfloat16;

template <>
struct Element<Eigen::half> {
  using Accum = float;
  static constexpr Format format = Format::binary16;
  static constexpr const char* name = "half";
};

template <>
struct Element<Eigen::bfloat16> {
  using Accum = float;
  static constexpr Format format = Format::bfloat16;
  static constexpr const char* name = "bfloat16";
};

inline namespace HEED_ABI {

// The view of a tensor with dimensions `extent` packed in Eigen's row- or column-major order.
// Throws heed::Error for a map of more elements than there can be.
template <class T, int Rank, class Dimensions>
[[gnu::noinline]] View<T, Rank> packed_view(T* data, const Dimensions& extent, bool row_major) {
  View<T, Rank> view{data, {}, {}};
  Index step = 1;
  for (int n = 0; n < Rank; ++n) {
    const int d = row_major ? Rank - 1 - n : n;
    view.extent[d] = static_cast<Index>(extent[static_cast<std::size_t>(d)]);
    view.stride[d] = step;
    step = checked_product(step, view.extent[d] > 1 ? view.extent[d] : 1);
  }
  return view;
}

// A tensor of the given extents; heed::Error where its size does not fit (Eigen would wrap, on its
// way to 0 too: an extent of 0 does not excuse the others).
template <class S, int Rank, int Layout>
Eigen::Tensor<S, Rank, Layout> make_tensor(const Extents<Rank>& extent) {
  View<S, Rank> shape{nullptr, {}, {}};
  typename Eigen::Tensor<S, Rank, Layout>::Dimensions dimensions;
  for (int d = 0; d < Rank; ++d) {
    shape.extent[d] = extent[d] > 1 ? extent[d] : 1;
    dimensions[static_cast<std::size_t>(d)] = extent[d];
  }
  checked_size(shape);
  return Eigen::Tensor<S, Rank, Layout>(dimensions);
}

}  // namespace HEED_ABI

// Results for inputs whose memory is Eigen::Tensor-like.
template <int Rank, int Layout>
struct EigenTensorResults {
  template <class S>
  using Owned = Eigen::Tensor<S, Rank, Layout>;
  template <class S>
  using Rows = Eigen::Tensor<S, Rank - 1, Layout>;

  template <class S>
  static Owned<S> make(const Extents<Rank>& extent) {
    return make_tensor<S, Rank, Layout>(extent);
  }
  template <class S>
  static View<S, Rank> owned_view(Owned<S>& x) {
    return packed_view<S, Rank>(x.data(), x.dimensions(), Layout == Eigen::RowMajor);
  }
  template <class S>
  static View<S, Rank - 1> rows_view(Rows<S>& x) {
    return packed_view<S, Rank - 1>(x.data(), x.dimensions(), Layout == Eigen::RowMajor);
  }
};

template <int Rank>
struct ViewResults : EigenTensorResults<Rank, Eigen::RowMajor> {};

template <class S, int Rank, int Options, class I>
struct TensorTraits<Eigen::Tensor<S, Rank, Options, I>>
    : EigenTensorResults<Rank, Eigen::Tensor<S, Rank, Options, I>::Layout> {
  using X = Eigen::Tensor<S, Rank, Options, I>;
  using Scalar = S;
  static constexpr int rank = Rank;
  static constexpr bool row_major = static_cast<int>(X::Layout) == Eigen::RowMajor;
  static View<const S, Rank> view(const X& x) {
    return packed_view<const S, Rank>(x.data(), x.dimensions(), row_major);
  }
  static View<S, Rank> mutable_view(X& x) {
    return packed_view<S, Rank>(x.data(), x.dimensions(), row_major);
  }
};

template <class Plain, int MapOptions, template <class> class MakePointer>
struct TensorTraits<Eigen::TensorMap<Plain, MapOptions, MakePointer>>
    : EigenTensorResults<Plain::NumIndices, Plain::Layout> {
  using X = Eigen::TensorMap<Plain, MapOptions, MakePointer>;
  using Scalar = std::remove_const_t<typename Plain::Scalar>;
  using Pointee = std::conditional_t<std::is_const_v<Plain>, const Scalar, Scalar>;
  static constexpr int rank = Plain::NumIndices;
  static constexpr bool refers = true;
  static constexpr bool row_major = static_cast<int>(Plain::Layout) == Eigen::RowMajor;
  static View<const Scalar, rank> view(const X& x) {
    return packed_view<const Scalar, rank>(x.data(), x.dimensions(), row_major);
  }
  static View<Pointee, rank> mutable_view(const X& x) {
    return packed_view<Pointee, rank>(const_cast<Pointee*>(x.data()), x.dimensions(), row_major);
  }
};

// Matrices, maps, blocks and refs: anything of Eigen's dense world that lies in memory.
template <class X>
concept DenseInMemory = std::derived_from<X, Eigen::DenseBase<X>> &&
    bool(X::Flags& Eigen::DirectAccessBit);

template <class X>
inline constexpr bool is_const_ref = false;  // which may hold a copy
template <class X, int Options, class Stride>
inline constexpr bool is_const_ref<Eigen::Ref<const X, Options, Stride>> = true;

template <DenseInMemory X>
struct TensorTraits<X> {
  using Scalar = typename X::Scalar;
  static constexpr int rank = 2;
  static constexpr bool refers =
      !std::derived_from<X, Eigen::PlainObjectBase<X>> && !is_const_ref<X>;
  template <class S>
  using Owned = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic,
                              X::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor>;
  template <class S>
  using Rows = Eigen::Matrix<S, Eigen::Dynamic, 1>;

  template <class Pointee, class Y>
  static View<Pointee, 2> dense_view(Pointee* data, const Y& x) {
    const Index outer = x.derived().outerStride();
    const Index inner = x.derived().innerStride();
    return {
        data, {x.rows(), x.cols()}, {X::IsRowMajor ? outer : inner, X::IsRowMajor ? inner : outer}};
  }
  static View<const Scalar, 2> view(const X& x) {
    return dense_view<const Scalar>(x.derived().data(), x);
  }
  static auto mutable_view(X& x) {
    return dense_view<std::remove_pointer_t<decltype(x.derived().data())>>(x.derived().data(), x);
  }
  template <class S>
  static Owned<S> make(const Extents<2>& extent) {
    checked_size(View<S, 2>{nullptr, {extent[0], extent[1]}, {}});
    return Owned<S>(extent[0], extent[1]);
  }
  template <class S>
  static View<S, 2> owned_view(Owned<S>& x) {
    return {x.data(),
            {x.rows(), x.cols()},
            {X::IsRowMajor ? x.cols() : 1, X::IsRowMajor ? 1 : x.rows()}};
  }
  template <class S>
  static View<S, 1> rows_view(Rows<S>& x) {
    return {x.data(), {x.size()}, {1}};
  }
};

inline namespace HEED_ABI {

template <class S, int Rank, int Layout, class I>
View<S, Rank> rows_view(Eigen::Tensor<S, Rank, Layout, I>& rows) {
  return packed_view<S, Rank>(rows.data(), rows.dimensions(),
                              (static_cast<int>(Layout) & Eigen::RowMajor) != 0);
}
template <class S>
View<S, 1> rows_view(Eigen::Matrix<S, Eigen::Dynamic, 1>& rows) {
  return {rows.data(), {rows.size()}, {1}};
}

}  // namespace HEED_ABI
}  // namespace heed
