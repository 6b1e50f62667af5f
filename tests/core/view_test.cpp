#include "heed/core/view.hpp"

#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"

namespace {

using heed::Index;
using heed::View;
using heed::test::ContainsSubstring;
using heed::test::error_of;

std::vector<int> counted(std::size_t size) {
  std::vector<int> memory(size);
  std::iota(memory.begin(), memory.end(), 0);
  return memory;
}

}  // namespace

TEST_CASE("a view of packed memory is row major") {
  auto memory = counted(120);
  const auto view = heed::view(memory.data(), {2, 3, 4, 5});
  int n = 0;
  for (int b = 0; b < 2; ++b) {
    for (int h = 0; h < 3; ++h) {
      for (int i = 0; i < 4; ++i) {
        for (int d = 0; d < 5; ++d) CHECK(view(b, h, i, d) == n++);
      }
    }
  }
  CHECK(view.offset(1) == 60);
  CHECK(view.offset(1, 2) == 100);
  view(1, 2, 3, 4) = -1;
  CHECK(memory[119] == -1);
}

TEST_CASE("extents and strides may be of any integer types, mixed or not") {
  auto memory = counted(120);
  const std::size_t length = memory.size() / 20;
  const unsigned heads = 4;
  const int step = 2;
  CHECK(heed::to_string(heed::view(memory.data(), {length, std::size_t{20}})) == "[6,20]");
  CHECK(heed::to_string(heed::view(memory.data(), {length, 5, heads})) == "[6,5,4]");
  CHECK(heed::view(memory.data(), {length, heads}, {Index{20}, step})(5, 3) == 106);
  CHECK(heed::view(memory.data() + 119, {length, std::size_t{2}}, {-20, -1})(5, 1) == 18);
  const Index extents[2] = {6, 20};
  CHECK(heed::view(memory.data(), extents)(5, 19) == 119);
}

TEST_CASE("strides may leave gaps, repeat and run backwards") {
  auto memory = counted(100);
  const auto gaps = heed::view(memory.data(), {3, 4}, {20, 2});
  CHECK(gaps(2, 3) == 46);
  const auto reversed = heed::view(memory.data() + 99, {10, 10}, {-10, -1});
  CHECK(reversed(0, 0) == 99);
  CHECK(reversed(9, 9) == 0);
  CHECK(reversed(2, 7) == 72);
  const auto repeated = heed::view(memory.data() + 5, {1000, 2}, {0, 1});
  CHECK(repeated(999, 1) == 6);
  const auto transposed = heed::view(memory.data(), {10, 10}, {1, 10});
  CHECK(transposed(3, 4) == 43);
}

TEST_CASE("a view's matrix is its last two dimensions") {
  auto memory = counted(120);
  const auto view = heed::view(memory.data(), {2, 3, 4, 5}, {60, 20, 1, 4});
  const auto matrix = view.matrix(1, 2);
  CHECK(matrix.extent[0] == 4);
  CHECK(matrix.extent[1] == 5);
  CHECK(matrix(3, 4) == view(1, 2, 3, 4));
  const View<int, 4> nothing{nullptr, {2, 3, 0, 5}, {15, 5, 5, 1}};
  CHECK(nothing.matrix(1, 2).data == nullptr);
}

TEST_CASE("attention tensors of rank 3 and 2 lift to rank 4 without moving") {
  auto memory = counted(60);
  const auto three = heed::view(memory.data(), {3, 4, 5}, {20, 1, 4});
  const auto four = heed::lift(three);
  CHECK(heed::to_string(four) == "[3,1,4,5]");
  CHECK(four(2, 0, 3, 4) == three(2, 3, 4));
  const auto two = heed::view(memory.data() + 59, {4, 5}, {-5, -1});
  CHECK(heed::to_string(heed::lift(two)) == "[1,1,4,5]");
  CHECK(heed::lift(two)(0, 0, 3, 4) == two(3, 4));
  const auto row2 = heed::view(memory.data(), {3, 4}, {7, 2});
  CHECK(heed::to_string(heed::lift_rows(row2)) == "[3,1,4]");
  CHECK(heed::lift_rows(row2)(2, 0, 3) == 20);
  const auto row1 = heed::view(memory.data(), {4}, {3});
  CHECK(heed::to_string(heed::lift_rows(row1)) == "[1,1,4]");
  CHECK(heed::lift_rows(row1)(0, 0, 3) == 9);
}

TEST_CASE("an empty view has an extent of 0 anywhere") {
  int* nothing = nullptr;
  CHECK(heed::view(nothing, {2, 0, 4, 5}).empty());
  CHECK(heed::view(nothing, {2, 3, 4, 0}).empty());
  CHECK_FALSE(heed::view(nothing, {2, 3, 4, 1}).empty());
}

TEST_CASE("products of sizes fit 64 bits or are refused") {
  CHECK(heed::checked_product(3, 7) == 21);
  CHECK(heed::checked_product(Index{1} << 31, Index{1} << 31) == Index{1} << 62);
  CHECK_THAT(error_of([] { heed::checked_product(Index{1} << 32, Index{1} << 31); }),
             ContainsSubstring("4294967296 times 2147483648"));
  CHECK(heed::checked_sum(Index{1} << 62, (Index{1} << 62) - 1) == 9223372036854775807);
  CHECK_THAT(error_of([] { heed::checked_sum(Index{1} << 62, Index{1} << 62); }),
             ContainsSubstring("4611686018427387904 plus 4611686018427387904"));
}

TEST_CASE("the number of elements and their bytes fit 64 bits or are refused") {
  constexpr Index big = 2147483647;
  float* nothing = nullptr;
  const View<float, 4> ordinary{nothing, {2, 3, 4, 5}, {}};
  CHECK(heed::checked_size(ordinary) == 120);
  const View<float, 4> nine_exabytes{nothing, {1, 1, big, Index{1} << 30}, {}};
  CHECK(heed::checked_size(nine_exabytes) == big << 30);
  const View<double, 4> eighteen_exabytes{nullptr, {1, 1, big, Index{1} << 30}, {}};
  CHECK_FALSE(error_of([&] { heed::checked_size(eighteen_exabytes); }).empty());
  const View<float, 4> wraps{nothing, {big, big, big, big}, {}};
  CHECK_FALSE(error_of([&] { heed::checked_size(wraps); }).empty());
  const View<float, 4> empty{nothing, {big, big, big, 0}, {}};
  CHECK(heed::checked_size(empty) == 0);
  CHECK_FALSE(error_of([&] { heed::view(nothing, {big, big, big, big}); }).empty());
}

TEST_CASE("a view of writable memory is a view of constant memory") {
  auto memory = counted(6);
  const auto view = heed::view(memory.data(), {2, 3}, {1, 2}).as_const();
  static_assert(std::is_same_v<decltype(view), const View<const int, 2>>);
  CHECK(view(1, 2) == 5);
}
