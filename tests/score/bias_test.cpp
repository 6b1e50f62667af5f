#include "heed/score/bias.hpp"

#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "heed/core/eigen.hpp"
#include "support/catch.hpp"
#include "support/derivative.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::score::axes;
using heed::score::bias;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::scores_shape;

template <class Tensor>
Tensor numbered(Tensor tensor) {
  using T = typename Tensor::Scalar;
  for (Index n = 0; n < tensor.size(); ++n) tensor.data()[n] = static_cast<T>(n % 17 - 8);
  return tensor;
}

// True where `score` over [B, H, Lq, Lk] = [2, 3, 4, 5] adds `expected(b, h, i, j)`.
template <class Score, class Expected>
bool adds(const Score& score, const Expected& expected) {
  std::vector<float> row;
  const Shape shape = scores_shape(2, 3, 4, 5);
  heed::score::check(score, shape);
  for (int b = 0; b < 2; ++b) {
    for (int h = 0; h < 3; ++h) {
      const auto bound = heed::score::bind(score, shape, b, h);
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 5; ++j) {
          const auto e = static_cast<double>(expected(b, h, i, j));
          if (bound.value(0.5, i, j) != 0.5 + e) return false;
          if (bound.value(0.5f, i, j) != static_cast<float>(0.5 + e)) return false;
          if (heed::test::derivative_error(bound, 0.5, i, j) > 1e-9) return false;
          row.assign(static_cast<std::size_t>(5 - j), 0.5f);
          heed::score::modify(bound, row.data(), i, j, 5 - j);
          if (row.front() != bound.value(0.5f, i, j)) return false;
          if (row.back() != bound.value(0.5f, i, 4)) return false;
        }
      }
    }
  }
  return true;
}

template <class Tensor>
std::string complaint(const Tensor& tensor, axes meaning = axes::by_rank, int rank = 4) {
  return error_of([&] {
    heed::score::check(bias(tensor, meaning), scores_shape(2, rank == 3 ? 1 : 3, 4, 5, rank));
  });
}

}  // namespace

TEST_CASE("a bias of any shape that broadcasts is added") {
  const auto full = numbered(heed::Tensor4<float>(2, 3, 4, 5));
  CHECK(adds(bias(full), [&](int b, int h, int i, int j) { return full(b, h, i, j); }));
  const auto heads = numbered(heed::Tensor4<double>(1, 3, 1, 5));
  CHECK(adds(bias(heads), [&](int, int h, int, int j) { return heads(0, h, 0, j); }));
  const auto pairs = numbered(heed::Tensor2<float>(4, 5));
  CHECK(adds(bias(pairs), [&](int, int, int i, int j) { return pairs(i, j); }));
  const auto keys = numbered(heed::Tensor2<float>(2, 5));
  CHECK(adds(bias(keys, axes::keys), [&](int b, int, int, int j) { return keys(b, j); }));
  const auto batches = numbered(heed::Tensor3<float>(2, 4, 5));
  CHECK(
      adds(bias(batches, axes::batch), [&](int b, int, int i, int j) { return batches(b, i, j); }));
  const auto by_head = numbered(heed::Tensor3<float>(3, 4, 5));
  CHECK(
      adds(bias(by_head, axes::heads), [&](int, int h, int i, int j) { return by_head(h, i, j); }));
  const auto halves = numbered(heed::Tensor2<heed::Half>(4, 5));
  CHECK(adds(bias(halves), [&](int, int, int i, int j) { return float(halves(i, j)); }));
  const auto brains = numbered(heed::Tensor2<heed::BFloat16>(4, 5));
  CHECK(adds(bias(brains), [&](int, int, int i, int j) { return float(brains(i, j)); }));
  const auto numbers = numbered(Eigen::Tensor<int, 2>(4, 5));  // column major
  CHECK(adds(bias(numbers), [&](int, int, int i, int j) { return numbers(i, j); }));
}

TEST_CASE("a bias that does not fit is refused, with both shapes") {
  const std::string wrong = complaint(heed::Tensor4<float>(2, 2, 4, 5));
  CHECK_THAT(wrong, ContainsSubstring("heed::score::bias"));
  CHECK_THAT(wrong, ContainsSubstring("[2,2,4,5]"));
  CHECK_THAT(wrong, ContainsSubstring("[2,3,4,5]"));
  CHECK_THAT(complaint(heed::Tensor3<float>(2, 4, 5)), ContainsSubstring("axes::batch"));
  CHECK(complaint(heed::Tensor3<float>(2, 4, 5), axes::by_rank, 3).empty());
  CHECK_FALSE(complaint(heed::Tensor2<float>(4, 5), axes::batch).empty());
  CHECK_FALSE(complaint(heed::Tensor2<float>(3, 5), axes::keys).empty());
  CHECK_FALSE(complaint(heed::Tensor4<float>(2, 3, 4, 5), axes::heads).empty());
  const float* nothing = nullptr;
  CHECK_THAT(complaint(heed::view(nothing, {4, 5})), ContainsSubstring("no data"));
}

TEST_CASE("a bias of −inf masks whatever the score is") {
  heed::Tensor2<float> tensor(1, 1);
  tensor(0, 0) = -std::numeric_limits<float>::infinity();
  const auto bound = heed::score::bind(bias(tensor), scores_shape(1, 1), 0, 0);
  for (const std::uint32_t bits : {0x00000000u, 0x7f7fffffu, 0xff7fffffu, 0x7f800000u, 0xff800000u,
                                   0x7fc00000u}) {  // 0, ±largest, ±inf, NaN
    CAPTURE(bits);
    CHECK(heed::is_masked(bound.value(std::bit_cast<float>(bits), 0, 0)));
  }
  CHECK(heed::is_masked(bound.value(1.0, 0, 0)));
  heed::Tensor2<heed::Half> half(1, 1);
  half(0, 0) = -std::numeric_limits<heed::Half>::infinity();
  CHECK(heed::is_masked(heed::score::bind(bias(half), scores_shape(1, 1), 0, 0).value(1.0f, 0, 0)));
}
