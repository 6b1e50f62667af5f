#include "heed/mask/padding.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/mask/to_device.hpp"
#include "support/catch.hpp"
#include "support/copies.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::mask::Coverage;
using heed::mask::padding;
using heed::mask::Prefix;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::scores_shape;

template <class Lengths>
concept Paddable = requires(Lengths&& lengths) {
  padding(std::forward<Lengths>(lengths));
};
static_assert(Paddable<std::vector<int>&>);
static_assert(!Paddable<std::vector<int>>, "a temporary would be gone before the mask is used");

std::string complaint(const std::vector<int>& lengths) {
  return error_of([&] { heed::mask::check(padding(lengths), scores_shape(2, 4, 3, 10)); });
}

}  // namespace

TEST_CASE("keys from a sequence's length on are seen by nobody") {
  const std::array<int, 3> lengths = {0, 4, 10};
  const auto shape = scores_shape(3, 2, 5, 10);
  const auto mask = padding(lengths);
  heed::mask::check(mask, shape);
  for (int b = 0; b < 3; ++b) {
    for (int h = 0; h < 2; ++h) {
      const auto bound = heed::mask::bind(mask, shape, b, h);
      for (int j = 0; j < 10; ++j) {
        CAPTURE(b, h, j);
        CHECK(bound.allows(h, j) == (j < lengths[static_cast<std::size_t>(b)]));
      }
    }
  }
}

TEST_CASE("a prefix covers tiles up to its end") {
  const Prefix prefix{64};
  CHECK(prefix.coverage({0, 9, 0, 64}) == Coverage::Full);
  CHECK(prefix.coverage({0, 9, 0, 65}) == Coverage::Partial);
  CHECK(prefix.coverage({0, 9, 63, 65}) == Coverage::Partial);
  CHECK(prefix.coverage({0, 9, 64, 128}) == Coverage::Empty);
  CHECK(prefix.coverage({0, 9, 2147483583, 2147483647}) == Coverage::Empty);
}

TEST_CASE("padding refuses the wrong number of lengths, and lengths outside the keys") {
  CHECK(complaint({0, 10}).empty());
  CHECK_THAT(complaint({1, 2, 3}), ContainsSubstring("3 lengths for a batch of 2"));
  CHECK_THAT(complaint({}), ContainsSubstring("0 lengths for a batch of 2"));
  CHECK_THAT(complaint({1, 11}), ContainsSubstring("length 11 is outside 0 … 10 keys"));
  CHECK_THAT(complaint({-1, 1}), ContainsSubstring("length -1 is outside 0 … 10 keys"));
}

TEST_CASE("lengths are of any integer type, in anything contiguous or of Eigen's") {
  const auto shape = scores_shape(2, 1, 3, 10);
  const auto sees = [&](const auto& mask) {
    heed::mask::check(mask, shape);
    return heed::mask::bind(mask, shape, 0, 0).keys == 5 &&
           heed::mask::bind(mask, shape, 1, 0).keys == 10;
  };
  const std::vector<std::int64_t> longs = {5, 10};
  const std::vector<std::size_t> sizes = {5, 10};
  const std::array<unsigned char, 2> bytes = {5, 10};
  const Eigen::VectorXi vector{{5, 10}};
  const Eigen::Matrix<std::int64_t, 1, Eigen::Dynamic> row{{5, 10}};
  Eigen::Tensor<int, 1> tensor(2);
  tensor.setValues({5, 10});
  Eigen::MatrixXi columns(3, 2);
  columns << 1, 2, 5, 10, 3, 4;
  const auto middle = columns.row(1);
  CHECK(sees(padding(longs)));
  CHECK(sees(padding(sizes)));
  CHECK(sees(padding(bytes)));
  CHECK(sees(padding(vector)));
  CHECK(sees(padding(row)));
  CHECK(sees(padding(tensor)));
  CHECK(sees(padding(middle)));
  CHECK(sees(padding(std::span<const std::size_t>(sizes))));
  CHECK(sees(padding({5, 10})));
  heed::test::Copies arena;
  CHECK(sees(heed::mask::to_device(padding(sizes), arena)));
  CHECK(sees(heed::mask::to_device(padding({5, 10}), arena)));
  CHECK_THAT(error_of([&] { padding(columns); }),
             ContainsSubstring("a row or a column, not [3,2]"));
}

TEST_CASE("lengths that no int holds are refused, with their number") {
  const auto shape = scores_shape(2, 1, 3, 10);
  const std::vector<std::int64_t> wide = {5, (std::int64_t{1} << 32) + 5};
  const std::vector<std::size_t> huge = {5, std::size_t(-1)};
  CHECK_THAT(error_of([&] { heed::mask::check(padding(wide), shape); }),
             ContainsSubstring("length 4294967301 is outside 0 … 10 keys"));
  CHECK_THAT(error_of([&] { heed::mask::check(padding(huge), shape); }),
             ContainsSubstring("length 18446744073709551615 is outside 0 … 10 keys"));
}
