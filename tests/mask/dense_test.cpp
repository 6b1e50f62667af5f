#include "heed/mask/dense.hpp"

#include <limits>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/mask/combine.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::mask::axes;
using heed::mask::dense;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::scores_shape;

// The value of element n of a test tensor; every third is 0.
template <class T>
T element(Index n) {
  return n % 3 == 0 ? T(0) : static_cast<T>(n % 2 == 0 ? 1 : 2);
}

template <class Tensor>
Tensor numbered(Tensor tensor) {
  using T = typename Tensor::Scalar;
  for (Index n = 0; n < tensor.size(); ++n) tensor.data()[n] = element<T>(n);
  return tensor;
}

template <class T>
bool attends_where_nonzero() {
  const auto tensor = numbered(heed::Tensor2<T>(5, 7));
  const auto bound = heed::mask::bind(dense(tensor), scores_shape(5, 7), 0, 0);
  for (int i = 0; i < 5; ++i) {
    for (int j = 0; j < 7; ++j) {
      if (bound.allows(i, j) != ((i * 7 + j) % 3 != 0)) return false;
    }
  }
  return true;
}

// True where `mask` over [B, H, Lq, Lk] = [2, 3, 4, 5] is `expected(b, h, i, j)`.
template <class Mask, class Expected>
bool means(const Mask& mask, const Expected& expected, int rank = 4) {
  const Shape shape = scores_shape(2, rank == 3 ? 1 : 3, 4, 5, rank);
  heed::mask::check(mask, shape);
  for (int b = 0; b < shape.B; ++b) {
    for (int h = 0; h < shape.Hq; ++h) {
      const auto bound = heed::mask::bind(mask, shape, b, h);
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 5; ++j) {
          if (bound.allows(i, j) != (expected(b, h, i, j) != 0)) return false;
        }
      }
      if (!law_of(mask, shape, b, h).check_all(heed::test::Promise::exact).empty()) return false;
    }
  }
  return true;
}

template <class Tensor>
std::string complaint(const Tensor& tensor, axes meaning = axes::by_rank, int rank = 4) {
  return error_of([&] {
    heed::mask::check(dense(tensor, meaning), scores_shape(2, rank == 3 ? 1 : 3, 4, 5, rank));
  });
}

}  // namespace

TEST_CASE("a nonzero element of any type attends") {
  CHECK(attends_where_nonzero<bool>());
  CHECK(attends_where_nonzero<int>());
  CHECK(attends_where_nonzero<std::int8_t>());
  CHECK(attends_where_nonzero<std::uint64_t>());
  CHECK(attends_where_nonzero<float>());
  CHECK(attends_where_nonzero<double>());
  CHECK(attends_where_nonzero<heed::Half>());
  CHECK(attends_where_nonzero<heed::BFloat16>());
}

TEST_CASE("negative zero does not attend, the smallest number does") {
  heed::Tensor2<float> tensor(1, 3);
  tensor(0, 0) = -0.0f;
  tensor(0, 1) = std::numeric_limits<float>::denorm_min();
  tensor(0, 2) = -1.0f;
  const auto bound = heed::mask::bind(dense(tensor), scores_shape(1, 3), 0, 0);
  CHECK_FALSE(bound.allows(0, 0));
#if !defined(__FAST_MATH__)  // which may take the smallest numbers for zeros
  CHECK(bound.allows(0, 1));
#endif
  CHECK(bound.allows(0, 2));
}

TEST_CASE("dense masks of rank 4 broadcast along extents of 1") {
  const auto full = numbered(heed::Tensor4<int>(2, 3, 4, 5));
  CHECK(means(dense(full), [&](int b, int h, int i, int j) { return full(b, h, i, j); }));
  const auto batches = numbered(heed::Tensor4<int>(2, 1, 1, 5));
  CHECK(means(dense(batches), [&](int b, int, int, int j) { return batches(b, 0, 0, j); }));
  const auto heads = numbered(heed::Tensor4<int>(1, 3, 4, 1));
  CHECK(means(dense(heads), [&](int, int h, int i, int) { return heads(0, h, i, 0); }));
  const auto one = numbered(heed::Tensor4<int>(1, 1, 1, 1));
  CHECK(means(dense(one), [&](int, int, int, int) { return 0; }));
}

TEST_CASE("dense masks of rank 2 are pairs, or keys where that is said") {
  const auto pairs = numbered(heed::Tensor2<int>(4, 5));
  CHECK(means(dense(pairs), [&](int, int, int i, int j) { return pairs(i, j); }));
  CHECK(means(
      dense(pairs), [&](int, int, int i, int j) { return pairs(i, j); }, 3));
  const auto row = numbered(heed::Tensor2<int>(1, 5));
  CHECK(means(dense(row), [&](int, int, int, int j) { return row(0, j); }));
  const auto keys = numbered(heed::Tensor2<int>(2, 5));
  CHECK(means(dense(keys, axes::keys), [&](int b, int, int, int j) { return keys(b, j); }));
}

TEST_CASE("dense masks of rank 3 are batches or heads") {
  const auto batches = numbered(heed::Tensor3<int>(2, 4, 5));
  const auto by_batch = [&](int b, int, int i, int j) { return batches(b, i, j); };
  CHECK(means(dense(batches), by_batch, 3));
  CHECK(means(dense(batches, axes::batch), by_batch, 3));
  CHECK(means(dense(batches, axes::batch), by_batch));
  const auto heads = numbered(heed::Tensor3<int>(3, 4, 5));
  CHECK(means(dense(heads, axes::heads), [&](int, int h, int i, int j) { return heads(h, i, j); }));
}

TEST_CASE("dense masks may lie in memory in any way") {
  const auto tensor = numbered(Eigen::Tensor<int, 2>(4, 5));  // column major
  CHECK(means(dense(tensor), [&](int, int, int i, int j) { return tensor(i, j); }));
  std::vector<int> memory(200);
  for (std::size_t n = 0; n < memory.size(); ++n) memory[n] = element<int>(static_cast<Index>(n));
  const auto gaps = heed::view(memory.data() + 100, {4, 5}, {17, -3});
  CHECK(means(dense(gaps), [&](int, int, int i, int j) { return gaps(i, j); }));
  const auto repeated = heed::view(memory.data(), {4, 5}, {0, 1});
  CHECK(means(dense(repeated), [&](int, int, int, int j) { return memory[std::size_t(j)]; }));
  const Eigen::MatrixXi matrix = Eigen::MatrixXi::Identity(9, 9);
  CHECK(means(dense(matrix.block(2, 1, 4, 5)),
              [&](int, int, int i, int j) { return i + 2 == j + 1 ? 1 : 0; }));
}

TEST_CASE("dense masks of empty calls have no data and need none") {
  for (const auto& shape : {scores_shape(2, 3, 4, 0), scores_shape(2, 3, 0, 5),
                            scores_shape(0, 3, 4, 5), scores_shape(2, 0, 4, 5)}) {
    const heed::Tensor4<bool> tensor(shape.B, shape.Hq, shape.Lq, shape.Lk);
    const auto mask = dense(tensor);
    heed::mask::check(mask, shape);
    for (Index b = 0; b < shape.B; ++b) {
      for (Index h = 0; h < shape.Hq; ++h) {
        const auto bound = heed::mask::bind(mask, shape, b, h);
        CHECK(bound.nonzero.data == nullptr);
      }
    }
  }
}

TEST_CASE("a dense mask that does not fit is refused, with both shapes") {
  const std::string wrong = complaint(heed::Tensor4<bool>(2, 3, 5, 4));
  CHECK_THAT(wrong, ContainsSubstring("heed::mask::dense"));
  CHECK_THAT(wrong, ContainsSubstring("[2,3,5,4]"));
  CHECK_THAT(wrong, ContainsSubstring("[2,3,4,5]"));
  CHECK(complaint(heed::Tensor4<bool>(2, 3, 4, 5)).empty());
  CHECK_FALSE(complaint(heed::Tensor4<bool>(3, 3, 4, 5)).empty());
  CHECK_FALSE(complaint(heed::Tensor4<bool>(2, 2, 4, 5)).empty());
  CHECK_FALSE(complaint(heed::Tensor4<bool>(2, 3, 4, 0)).empty());
  CHECK_FALSE(complaint(heed::Tensor2<bool>(5, 4)).empty());
  CHECK_FALSE(complaint(heed::Tensor2<bool>(3, 5), axes::keys).empty());
  CHECK_FALSE(complaint(heed::Tensor3<bool>(3, 4, 5), axes::batch).empty());
  CHECK_FALSE(complaint(heed::Tensor3<bool>(2, 4, 5), axes::heads).empty());
}

TEST_CASE("a dense mask of rank 3 over rank-4 inputs is refused unless its axes are said") {
  CHECK_THAT(complaint(heed::Tensor3<bool>(2, 4, 5)), ContainsSubstring("axes::batch"));
  CHECK_THAT(complaint(heed::Tensor3<bool>(1, 4, 5)), ContainsSubstring("axes::heads"));
  CHECK(complaint(heed::Tensor3<bool>(2, 4, 5), axes::by_rank, 3).empty());
}

TEST_CASE("axes that a dense mask's rank does not have are refused") {
  const heed::Tensor4<bool> four(2, 3, 4, 5);
  for (const axes meaning : {axes::batch, axes::heads, axes::keys}) {
    CHECK_THAT(error_of([&] { dense(four, meaning); }), ContainsSubstring("[2,3,4,5]"));
  }
  const heed::Tensor3<bool> three(2, 4, 5);
  CHECK_THAT(error_of([&] { dense(three, axes::keys); }), ContainsSubstring("[2,4,5]"));
  const heed::Tensor2<bool> two(4, 5);
  CHECK_THAT(error_of([&] { dense(two, axes::batch); }), ContainsSubstring("[4,5]"));
  CHECK_THAT(error_of([&] { dense(two, axes::heads); }), ContainsSubstring("[4,5]"));
}

TEST_CASE("a dense mask without data is refused") {
  const bool* nothing = nullptr;
  CHECK_THAT(complaint(heed::view(nothing, {4, 5})), ContainsSubstring("no data"));
}

TEST_CASE("keys that a dense mask lacks are masked where that is said, and refused elsewhere") {
  const auto few = numbered(heed::Tensor2<int>(4, 3));
  const auto none = heed::Tensor2<int>(4, 0);
  const auto one = numbered(heed::Tensor2<int>(4, 1));
  const auto batches = numbered(heed::Tensor2<int>(2, 3));
  using heed::mask::missing;
  CHECK(means(dense(few, axes::by_rank, missing::masked),
              [&](int, int, int i, int j) { return j < 3 ? few(i, j) : 0; }));
  CHECK(means(dense(none, axes::by_rank, missing::masked), [](int, int, int, int) { return 0; }));
  CHECK(means(dense(batches, axes::keys, missing::masked),
              [&](int b, int, int, int j) { return j < 3 ? batches(b, j) : 0; }));
  CHECK(means(dense(one, axes::by_rank, missing::masked),
              [&](int, int, int i, int) { return one(i, 0); }));
  CHECK_THAT(complaint(few), ContainsSubstring("[1,1,4,3]"));
  CHECK_THAT(complaint(few), ContainsSubstring("say missing::masked"));
  CHECK_THAT(error_of([&] {
               heed::mask::check(dense(few, axes::by_rank, missing::masked), scores_shape(4, 2));
             }),
             ContainsSubstring("does not broadcast"));
}

TEST_CASE("a dense mask by columns fills tiles by columns, alone and composed") {
  const auto tensor = numbered(Eigen::Tensor<int, 2>(40, 50));
  const auto expected = [&](int i, int j) { return tensor(i, j) != 0; };
  const auto shape = scores_shape(40, 50);
  const auto bound = heed::mask::bind(dense(tensor), shape, 0, 0);
  CHECK(heed::mask::whole_tiles(bound));
  CHECK(heed::mask::whole_tiles(~bound & heed::mask::None{}));
  const auto law = law_of(dense(tensor), shape);
  const auto both = dense(tensor) & expected;
  const auto composed = law_of(both, shape);
  for (const heed::mask::Tile tile :
       {heed::mask::Tile{0, 8, 0, 32}, {7, 40, 3, 50}, {9, 10, 1, 9}}) {
    CHECK(law.check_fill(tile) == "");
    CHECK(composed.check_fill(tile) == "");
  }
  CHECK(composed.allowed() == law.allowed());
}
