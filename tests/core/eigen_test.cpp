#include "heed/core/eigen.hpp"

#include <array>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"

namespace {

using heed::Index;
using heed::TensorLike;
using heed::TensorTraits;
using heed::View;
using heed::test::error_of;

static_assert(TensorLike<Eigen::MatrixXf> && TensorLike<Eigen::Matrix<float, 3, 4>>);
static_assert(TensorLike<Eigen::Map<const Eigen::MatrixXd>> &&
              TensorLike<Eigen::Ref<Eigen::MatrixXf>>);
static_assert(!TensorLike<decltype(Eigen::MatrixXf() + Eigen::MatrixXf())>, "not in memory");
static_assert(heed::AttentionElement<Eigen::half> && heed::AttentionElement<Eigen::bfloat16>);
static_assert(std::is_same_v<heed::Accum<Eigen::half>, float>);
static_assert(std::is_same_v<heed::Accum<Eigen::bfloat16>, float>);

// True where heed sees every element of a matrix where Eigen has it.
template <class Matrix>
bool same_matrix(const Matrix& matrix) {
  const auto view = heed::view_of(matrix);
  if (view.extent[0] != matrix.rows() || view.extent[1] != matrix.cols()) return false;
  for (Index r = 0; r < matrix.rows(); ++r) {
    for (Index c = 0; c < matrix.cols(); ++c) {
      if (&view(r, c) != &matrix.coeffRef(r, c)) return false;
    }
  }
  return true;
}

template <class Tensor>
bool same_rank4(Tensor& tensor) {
  const auto view = heed::view_of(tensor);
  for (int d = 0; d < 4; ++d) {
    if (view.extent[d] != tensor.dimensions()[static_cast<std::size_t>(d)]) return false;
  }
  for (Index a = 0; a < view.extent[0]; ++a) {
    for (Index b = 0; b < view.extent[1]; ++b) {
      for (Index c = 0; c < view.extent[2]; ++c) {
        for (Index d = 0; d < view.extent[3]; ++d) {
          using At = typename Tensor::Index;
          const auto* element = &tensor(static_cast<At>(a), static_cast<At>(b), static_cast<At>(c),
                                        static_cast<At>(d));
          if (&view(a, b, c, d) != element) return false;
        }
      }
    }
  }
  return true;
}

}  // namespace

TEST_CASE("tensors and their maps are viewed where they lie, row major and column major") {
  heed::Tensor4<float> rows(2, 3, 4, 5);
  CHECK(same_rank4(rows));
  Eigen::Tensor<double, 4> cols(2, 3, 4, 5);
  CHECK(same_rank4(cols));
  Eigen::Tensor<float, 4, Eigen::RowMajor, int> narrow(2, 3, 4, 5);
  CHECK(same_rank4(narrow));
  std::vector<float> memory(120);
  Eigen::TensorMap<heed::Tensor4<float>> map(memory.data(), 2, 3, 4, 5);
  CHECK(same_rank4(map));
  Eigen::TensorMap<const Eigen::Tensor<float, 4>> constant(memory.data(), 2, 3, 4, 5);
  CHECK(same_rank4(constant));
  heed::Tensor3<heed::Half> half(2, 3, 4);
  CHECK(&heed::view_of(half)(1, 2, 3) == &half(1, 2, 3));
  heed::Tensor2<heed::BFloat16> brain(3, 4);
  CHECK(&heed::view_of(brain)(2, 3) == &brain(2, 3));
}

TEST_CASE("a tensor is written through its view, a constant one is not") {
  heed::Tensor2<float> tensor(2, 3);
  heed::mutable_view_of(tensor)(1, 2) = 5;
  CHECK(tensor(1, 2) == 5);
  Eigen::TensorMap<heed::Tensor2<float>> map(tensor.data(), 2, 3);
  heed::mutable_view_of(map)(0, 1) = 7;
  CHECK(tensor(0, 1) == 7);
  using Constant = Eigen::TensorMap<const heed::Tensor2<float>>;
  static_assert(
      std::is_same_v<decltype(TensorTraits<Constant>::mutable_view(std::declval<Constant&>())),
                     View<const float, 2>>);
  Eigen::MatrixXf matrix = Eigen::MatrixXf::Zero(2, 3);
  heed::mutable_view_of(matrix)(1, 0) = 4;
  CHECK(matrix(1, 0) == 4);
  auto block = matrix.block(0, 1, 2, 2);
  heed::mutable_view_of(block)(1, 1) = 6;
  CHECK(matrix(1, 2) == 6);
}

TEST_CASE("matrices, blocks, maps with strides and refs are viewed where they lie") {
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::MatrixXf cols(5, 7);
  RowMajor rows(5, 7);
  Eigen::Matrix<double, 3, 4> fixed;
  Eigen::VectorXf vector(6);
  Eigen::RowVectorXf row(6);
  CHECK(same_matrix(cols));
  CHECK(same_matrix(rows));
  CHECK(same_matrix(fixed));
  CHECK(same_matrix(vector));
  CHECK(same_matrix(row));
  auto in_cols = cols.block(1, 2, 3, 4);
  auto in_rows = rows.block(1, 2, 3, 4);
  auto one_row = cols.row(3);
  auto one_col = rows.col(3);
  CHECK(same_matrix(in_cols));
  CHECK(same_matrix(in_rows));
  CHECK(same_matrix(one_row));
  CHECK(same_matrix(one_col));
  auto turned = cols.transpose();
  CHECK(same_matrix(turned));
  std::vector<float> memory(200);
  using Stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  Eigen::Map<Eigen::MatrixXf, 0, Stride> gaps(memory.data(), 4, 5, Stride(20, 3));
  CHECK(same_matrix(gaps));
  Eigen::Map<RowMajor, 0, Stride> row_gaps(memory.data(), 4, 5, Stride(20, 3));
  CHECK(same_matrix(row_gaps));
  Eigen::Map<RowMajor, 0, Stride> reversed(memory.data() + 199, 4, 5, Stride(-20, -3));
  CHECK(same_matrix(reversed));
  Eigen::Ref<Eigen::MatrixXf> ref(in_cols);
  CHECK(same_matrix(ref));
}

TEST_CASE("results look like their input: layout, order and rank") {
  using Cols = TensorTraits<Eigen::Tensor<float, 4>>;
  auto tensor = Cols::make<double>({2, 3, 4, 5});
  static_assert(std::is_same_v<decltype(tensor), Eigen::Tensor<double, 4>>);
  CHECK(&Cols::owned_view<double>(tensor)(1, 2, 3, 4) == &tensor(1, 2, 3, 4));
  using Fixed = TensorTraits<Eigen::Matrix<float, 3, 4, Eigen::RowMajor>>;
  auto matrix = Fixed::make<float>({6, 2});
  CHECK((matrix.rows() == 6 && matrix.cols() == 2 && matrix.IsRowMajor));
  CHECK(&Fixed::owned_view<float>(matrix)(5, 1) == &matrix(5, 1));
  using Dense = TensorTraits<Eigen::MatrixXf>;
  auto other = Dense::make<float>({6, 2});
  CHECK(&Dense::owned_view<float>(other)(5, 1) == &other(5, 1));
}

TEST_CASE("results of one number a row have one rank less") {
  auto four = heed::make_rows<heed::Tensor4<float>, float>(2, 3, 4);
  CHECK(heed::to_string(heed::rows_view(four)) == "[2,3,4]");
  CHECK(&heed::rows_view(four)(1, 2, 3) == &four(1, 2, 3));
  auto three = heed::make_rows<Eigen::Tensor<float, 3>, double>(2, 1, 4);
  CHECK(heed::to_string(heed::rows_view(three)) == "[2,4]");
  CHECK(&heed::rows_view(three)(1, 3) == &three(1, 3));
  auto two = heed::make_rows<Eigen::MatrixXf, float>(1, 1, 4);
  CHECK(heed::to_string(heed::rows_view(two)) == "[4]");
  CHECK(&heed::rows_view(two)(3) == &two(3));
}

TEST_CASE("a tensor too large for 64 bits is refused before Eigen wraps") {
  constexpr Index big = 2147483647;
  const auto make = [](Index a, Index b, Index c, Index d) {
    return error_of([&] { heed::make_tensor<float, 4, Eigen::RowMajor>({a, b, c, d}); });
  };
  CHECK_FALSE(make(big, big, big, big).empty());
  CHECK_FALSE(make(2, big, big, 1).empty());
  CHECK_FALSE(make(big, big, big, 0).empty());
  CHECK(make(2, 3, big, 0).empty());
  CHECK(make(2, 3, 4, 5).empty());
  CHECK_FALSE(error_of([] { TensorTraits<Eigen::MatrixXd>::make<double>({big, big}); }).empty());
  CHECK_FALSE(error_of([] { heed::make_rows<heed::Tensor4<float>, float>(big, big, 4); }).empty());
}

TEST_CASE("dimensions of more elements than there can be are refused") {
  constexpr Index big = 2147483647;
  float one = 0;
  for (const bool row_major : {true, false}) {
    const std::array<Index, 4> lie = {big, big, big, big};
    CHECK_FALSE(error_of([&] { heed::packed_view<float, 4>(&one, lie, row_major); }).empty());
  }
}
