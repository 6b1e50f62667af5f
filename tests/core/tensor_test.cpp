#include "heed/core/tensor.hpp"

#include "heed/core/eigen.hpp"
#include "heed/core/layout.hpp"
#include "support/catch.hpp"

namespace {

using heed::Index;
using heed::TensorLike;
using heed::TensorTraits;
using heed::View;
using Tensor = heed::Tensor4<float>;

static_assert(TensorLike<Tensor> && TensorLike<const Tensor&> && TensorLike<View<double, 3>>);
static_assert(TensorLike<heed::Dlhb<Tensor>> && TensorLike<heed::Blhd<const View<float, 4>>>);
static_assert(TensorLike<heed::Blhd<Tensor>> && TensorLike<heed::Blhd<const Tensor>>);
static_assert(!TensorLike<int> && !TensorLike<float*> && !TensorLike<std::nullptr_t>);
static_assert(std::is_same_v<heed::ScalarOf<const Eigen::Tensor<double, 4>>, double>);
static_assert(heed::rank_of<heed::Blhd<Tensor>> == 4);

Tensor counted(Index a, Index b, Index c, Index d) {
  Tensor tensor(a, b, c, d);
  for (Index n = 0; n < tensor.size(); ++n) tensor.data()[n] = static_cast<float>(n);
  return tensor;
}

// A named [B, L, H, D] view outlives the helper that made it.
auto heads_first(const float* data) { return heed::blhd(heed::view(data, {2, 5, 3, 4})); }
auto heads_first_map(float* data) { return heed::blhd(Eigen::TensorMap<Tensor>(data, 2, 5, 3, 4)); }

}  // namespace

TEST_CASE("a reordered view or map may be kept and returned") {
  Tensor tensor = counted(2, 5, 3, 4);
  const auto view = heads_first(tensor.data());
  const auto map = heads_first_map(tensor.data());
  const auto reversed = heed::dlhb(heed::view(tensor.data(), {2, 5, 3, 4}));
  const Tensor other = counted(1, 1, 1, 1);  // would lie where a temporary did
  CHECK(other(0, 0, 0, 0) == 0);
  for (const auto& x : {heed::view_of(view), heed::view_of(map)}) {
    CHECK(x.data == tensor.data());
    CHECK(heed::to_string(x) == "[2,3,5,4]");
  }
  CHECK(&heed::view_of(view)(1, 2, 3, 0) == &tensor(1, 3, 2, 0));
  CHECK(&heed::mutable_view_of(map)(1, 2, 3, 0) == &tensor(1, 3, 2, 0));
  CHECK(heed::to_string(heed::view_of(reversed)) == "[4,3,5,2]");
  CHECK(&heed::view_of(reversed)(3, 2, 4, 1) == &tensor(1, 4, 2, 3));
}

TEST_CASE("a [D, L, H, B] tensor is viewed as [B, H, L, D], and results have its order") {
  Eigen::Tensor<float, 4> tensor(4, 5, 3, 2);
  tensor.setZero();
  const auto view = heed::view_of(heed::dlhb(tensor));
  CHECK(heed::to_string(view) == "[2,3,5,4]");
  CHECK(&view(1, 2, 3, 0) == &tensor(0, 3, 2, 1));
  CHECK(view.stride[3] == 1);
  using Dlhb = heed::Dlhb<Eigen::Tensor<float, 4>>;
  auto out = TensorTraits<Dlhb>::make<double>({2, 3, 5, 7});
  static_assert(std::is_same_v<decltype(out), Eigen::Tensor<double, 4>>);
  CHECK(out.dimension(0) == 7);
  CHECK(out.dimension(3) == 2);
  CHECK(&TensorTraits<Dlhb>::owned_view<double>(out)(1, 2, 3, 0) == &out(0, 3, 2, 1));
  auto rows = heed::make_rows<Dlhb, float>(2, 3, 5);
  CHECK(rows.dimension(0) == 5);
  CHECK(&TensorTraits<Dlhb>::rows_view<float>(rows)(1, 2, 3) == &rows(3, 2, 1));
}

TEST_CASE("a [B, L, H, D] tensor is viewed as [B, H, L, D] without a copy") {
  Tensor tensor = counted(2, 5, 3, 4);
  const auto view = heed::view_of(heed::blhd(tensor));
  CHECK(heed::to_string(view) == "[2,3,5,4]");
  for (int b = 0; b < 2; ++b) {
    for (int h = 0; h < 3; ++h) {
      for (int i = 0; i < 5; ++i) {
        for (int d = 0; d < 4; ++d) CHECK(&view(b, h, i, d) == &tensor(b, i, h, d));
      }
    }
  }
  heed::mutable_view_of(heed::blhd(tensor))(1, 2, 3, 0) = -7;
  CHECK(tensor(1, 3, 2, 0) == -7);
  const Tensor& constant = tensor;
  CHECK(heed::view_of(heed::blhd(constant)).data == tensor.data());
}

TEST_CASE("results for a [B, L, H, D] tensor are [B, L, H, D] too") {
  using Traits = TensorTraits<heed::Blhd<Tensor>>;
  auto out = Traits::make<double>({2, 3, 5, 4});  // asked for as [B, H, L, D]
  static_assert(std::is_same_v<decltype(out), heed::Tensor4<double>>);
  CHECK(out.dimension(0) == 2);
  CHECK(out.dimension(1) == 5);
  CHECK(out.dimension(2) == 3);
  CHECK(out.dimension(3) == 4);
  const auto view = Traits::owned_view<double>(out);
  CHECK(heed::to_string(view) == "[2,3,5,4]");
  CHECK(&view(1, 2, 3, 0) == &out(1, 3, 2, 0));
}

TEST_CASE("a column-major [B, L, H, D] tensor is viewed the same way") {
  Eigen::Tensor<float, 4> tensor(2, 5, 3, 4);
  tensor.setZero();
  const auto view = heed::view_of(heed::blhd(tensor));
  CHECK(heed::to_string(view) == "[2,3,5,4]");
  CHECK(&view(1, 2, 3, 0) == &tensor(1, 3, 2, 0));
}

TEST_CASE("a view is a tensor: strided in, row major out") {
  Tensor tensor = counted(2, 3, 4, 5);
  const auto view = heed::view(tensor.data(), {2, 3}, {60, 20});
  using Traits = TensorTraits<View<float, 2>>;
  CHECK(Traits::view(view)(1, 2) == 100);
  Traits::mutable_view(view)(1, 1) = -1;
  CHECK(tensor.data()[80] == -1);
  auto owned = Traits::make<float>({2, 3});
  CHECK(Traits::owned_view<float>(owned).stride[0] == 3);
}
