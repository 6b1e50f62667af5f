// Every kind of tensor in, the same numbers out, in the layout and rank of q.
#include "support/problem.hpp"

namespace heed {
namespace {

template <class X>
X random_like(std::uint64_t seed, X x) {
  for (Index n = 0; n < x.size(); ++n) x.data()[n] = static_cast<float>(test::uniform(seed, n));
  return x;
}

}  // namespace

TEST_CASE("[B, L, H, D] and [B, H, L, D] give the same bits") {
  const auto q = random_like(1, Tensor4<float>(2, 4, 9, 8));
  const auto k = random_like(2, Tensor4<float>(2, 2, 11, 8));
  const auto v = random_like(3, Tensor4<float>(2, 2, 11, 6));
  const Eigen::array<int, 4> swap{0, 2, 1, 3};
  const Tensor4<float> q_blhd = q.shuffle(swap);
  const Tensor4<float> k_blhd = k.shuffle(swap);
  const Tensor4<float> v_blhd = v.shuffle(swap);

  const auto expected = attention(q, k, v, mask::causal());
  const auto r = attention(blhd(q_blhd), blhd(k_blhd), blhd(v_blhd), mask::causal());
  REQUIRE(r.out.dimension(1) == 9);
  REQUIRE(test::same_bits(Tensor4<float>(r.out.shuffle(swap)), expected.out));
  REQUIRE(test::same_bits(r.lse, expected.lse));

  Tensor4<float> out(2, 9, 4, 6);
  attention_into(blhd(out), q, blhd(k_blhd), v, mask::causal());
  REQUIRE(test::same_bits(out, r.out));
  auto result = r;
  result.out.setZero();
  attention_into(result, blhd(q_blhd), blhd(k_blhd), blhd(v_blhd), mask::causal());
  REQUIRE(test::same_bits(result.out, r.out));
}

TEST_CASE("column-major [D, L, H, B] and [B, H, L, D] give the same bits") {
  const auto q = random_like(1, Tensor4<float>(2, 4, 9, 8));
  const auto k = random_like(2, Tensor4<float>(2, 2, 11, 8));
  const auto v = random_like(3, Tensor4<float>(2, 2, 11, 6));
  const auto reversed = [](const Tensor4<float>& x) {
    return Eigen::Tensor<float, 4>(x.swap_layout());  // its dimensions are x's from last to first
  };
  const Eigen::Tensor<float, 4> q_dlhb = reversed(q), k_dlhb = reversed(k), v_dlhb = reversed(v);
  const auto expected = attention(q, k, v, mask::causal());
  auto r = attention(dlhb(q_dlhb), dlhb(k_dlhb), dlhb(v_dlhb), mask::causal());
  static_assert(std::is_same_v<decltype(r.out), Eigen::Tensor<float, 4>>);
  REQUIRE(r.out.dimension(0) == 6);
  REQUIRE(r.lse.dimension(0) == 9);
  REQUIRE(std::equal(r.out.data(), r.out.data() + r.out.size(), expected.out.data()));
  REQUIRE(std::equal(r.lse.data(), r.lse.data() + r.lse.size(), expected.lse.data()));
  r.out.setZero();
  attention_into(r, dlhb(q_dlhb), dlhb(k_dlhb), dlhb(v_dlhb), mask::causal());
  REQUIRE(std::equal(r.out.data(), r.out.data() + r.out.size(), expected.out.data()));
  const auto textbook = reference::attention(dlhb(q_dlhb), dlhb(k_dlhb), dlhb(v_dlhb));
  const auto wanted = reference::attention(q, k, v);
  REQUIRE(
      std::equal(wanted.lse.data(), wanted.lse.data() + wanted.lse.size(), textbook.lse.data()));
  REQUIRE(test::same_bits(textbook.weights, wanted.weights));
}

TEST_CASE("rank 3 is one head, rank 2 one head of one batch") {
  const auto q = random_like(1, Tensor4<float>(3, 1, 9, 8));
  const auto k = random_like(2, Tensor4<float>(3, 1, 11, 8));
  const auto expected = attention(q, k, k, mask::causal());
  const Tensor3<float> q3 = q.reshape(Eigen::array<Index, 3>{3, 9, 8});
  const Tensor3<float> k3 = k.reshape(Eigen::array<Index, 3>{3, 11, 8});
  const auto r3 = attention(q3, k3, k3, mask::causal());
  static_assert(std::is_same_v<std::remove_const_t<decltype(r3.out)>, Tensor3<float>>);
  static_assert(std::is_same_v<std::remove_const_t<decltype(r3.lse)>, Tensor2<float>>);
  REQUIRE(test::same_bits(r3.out, expected.out));
  REQUIRE(test::same_bits(r3.lse, expected.lse));

  const Tensor2<float> q2 = q3.chip(1, 0);
  const Tensor2<float> k2 = k3.chip(1, 0);
  const auto r2 = attention(q2, k2, k2, mask::causal());
  for (Index i = 0; i < 9; ++i) {
    REQUIRE(r2.lse(i) == r3.lse(1, i));
    for (Index d = 0; d < 8; ++d) REQUIRE(r2.out(i, d) == r3.out(1, i, d));
  }
}

TEST_CASE("one head on Eigen matrices of either order, maps, blocks and refs") {
  using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::MatrixXf q = random_like(1, Eigen::MatrixXf(9, 8));
  const Eigen::MatrixXf kv = random_like(2, Eigen::MatrixXf(11, 16));
  const RowMatrix q_rows = q;
  const RowMatrix k_rows = kv.leftCols(8);
  const RowMatrix v_rows = kv.rightCols(5);

  const auto columns = attention(q, kv.leftCols(8), kv.rightCols(5), mask::causal());
  const auto rows = attention(q_rows, k_rows, v_rows, mask::causal());
  static_assert(std::is_same_v<std::remove_const_t<decltype(columns.out)>, Eigen::MatrixXf>);
  static_assert(std::is_same_v<std::remove_const_t<decltype(rows.out)>, RowMatrix>);
  static_assert(std::is_same_v<std::remove_const_t<decltype(rows.lse)>, Eigen::VectorXf>);
  REQUIRE(columns.out == Eigen::MatrixXf(rows.out));
  REQUIRE(columns.lse == rows.lse);

  const Eigen::Map<const Eigen::MatrixXf> map(q.data(), 9, 8);
  const Eigen::Ref<const Eigen::MatrixXf> ref(q);
  const Eigen::Matrix<float, 9, 8> fixed = q;
  REQUIRE(attention(map, k_rows, v_rows, mask::causal()).out == columns.out);
  REQUIRE(attention(ref, k_rows, v_rows, mask::causal()).out == columns.out);
  REQUIRE(attention(fixed, k_rows, v_rows, mask::causal()).out == columns.out);

  Eigen::MatrixXf wide = Eigen::MatrixXf::Constant(9, 9, 7);
  attention_into(wide.middleCols(2, 5), q, k_rows, v_rows, mask::causal());
  REQUIRE(wide.middleCols(2, 5) == columns.out);
  REQUIRE(wide.col(1) == Eigen::VectorXf::Constant(9, 7));
  REQUIRE(wide.col(7) == Eigen::VectorXf::Constant(9, 7));
}

TEST_CASE("column-major tensors and tensor maps") {
  using ColTensor = Eigen::Tensor<float, 4>;
  const auto q = random_like(1, Tensor4<float>(2, 4, 9, 8));
  const auto k = random_like(2, Tensor4<float>(2, 2, 11, 8));
  const auto expected = attention(q, k, k);
  const Eigen::array<int, 4> reverse{3, 2, 1, 0};
  const ColTensor q_col = q.swap_layout().shuffle(reverse);
  const ColTensor k_col = k.swap_layout().shuffle(reverse);
  const auto r = attention(q_col, k_col, k_col);
  static_assert(std::is_same_v<std::remove_const_t<decltype(r.out)>, ColTensor>);
  REQUIRE(r.out(1, 3, 8, 7) == expected.out(1, 3, 8, 7));
  REQUIRE(test::same_bits(Tensor4<float>(r.out.swap_layout().shuffle(reverse)), expected.out));

  std::vector<float> memory(q.data(), q.data() + q.size());
  const Eigen::TensorMap<Tensor4<float>> map(memory.data(), 2, 4, 9, 8);
  const Eigen::TensorMap<const Tensor4<float>> const_map(memory.data(), 2, 4, 9, 8);
  REQUIRE(test::same_bits(attention(map, k, k).out, expected.out));
  REQUIRE(test::same_bits(attention(const_map, k, k).out, expected.out));
  std::vector<float> out(static_cast<std::size_t>(expected.out.size()));
  attention_into(Eigen::TensorMap<Tensor4<float>>(out.data(), 2, 4, 9, 8), q, k, k);
  REQUIRE(std::equal(out.begin(), out.end(), expected.out.data()));
}

TEST_CASE("raw pointers with any strides, reversed and broadcast ones too") {
  const auto q = random_like(1, Tensor4<float>(2, 4, 9, 8));
  const auto k = random_like(2, Tensor4<float>(2, 2, 11, 8));
  const auto expected = attention(q, k, k);
  const auto raw = attention(view(q.data(), {2, 4, 9, 8}), k, k);
  REQUIRE(test::same_bits(raw.out, expected.out));

  // Queries from last to first.
  const auto backwards = attention(view(q.data() + 8 * 8, {2, 4, 9, 8}, {4 * 72, 72, -8, 1}), k, k);
  REQUIRE(backwards.out(1, 2, 0, 3) == expected.out(1, 2, 8, 3));
  REQUIRE(backwards.lse(1, 2, 8) == expected.lse(1, 2, 0));

  // One batch of keys for both batches of queries (pytorch#191937 is about stride 0).
  const auto shared = view(static_cast<const float*>(k.data()), {2, 2, 11, 8}, {0, 88, 8, 1});
  const auto r = attention(q, shared, shared);
  REQUIRE(r.out(0, 3, 4, 5) == expected.out(0, 3, 4, 5));
  Tensor4<float> twice(2, 2, 11, 8);
  std::copy_n(k.data(), 2 * 88, twice.data());
  std::copy_n(k.data(), 2 * 88, twice.data() + 2 * 88);
  REQUIRE(test::same_bits(r.out, attention(q, twice, twice).out));
}

TEST_CASE("grouped heads equal repeated heads") {
  const auto q = random_like(1, Tensor4<float>(2, 6, 70, 8));
  const auto k = random_like(2, Tensor4<float>(2, 2, 90, 8));
  Tensor4<float> repeated(2, 6, 90, 8);
  for (Index h = 0; h < 6; ++h) repeated.chip(h, 1) = k.chip(h / 3, 1);
  REQUIRE(test::same_bits(attention(q, k, k, mask::causal()).out,
                          attention(q, repeated, repeated, mask::causal()).out));
}

}  // namespace heed
