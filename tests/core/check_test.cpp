#include "heed/core/check.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::View;
using heed::test::ContainsSubstring;
using heed::test::error_of;

std::vector<float>& memory() {
  static std::vector<float> floats(4096);
  return floats;
}

View<const float, 4> tensor(Index B, Index H, Index L, Index D) {
  return heed::view(static_cast<const float*>(memory().data()), {B, H, L, D});
}

std::string complaint(const View<const float, 4>& q, const View<const float, 4>& k,
                      const View<const float, 4>& v) {
  return error_of([&] { heed::check_operands("heed::call", q, k, v); });
}

}  // namespace

TEST_CASE("the shape of a call comes from q, k and v") {
  const Shape shape = heed::check_operands("heed::call", tensor(2, 6, 5, 8), tensor(2, 3, 7, 8),
                                           tensor(2, 3, 7, 4));
  CHECK(shape.B == 2);
  CHECK(shape.Hq == 6);
  CHECK(shape.Hkv == 3);
  CHECK(shape.Lq == 5);
  CHECK(shape.Lk == 7);
  CHECK(shape.D == 8);
  CHECK(shape.Dv == 4);
  CHECK(shape.rank == 4);
  CHECK(shape.group() == 2);
  CHECK(shape.end_offset() == 2);
  const auto rank2 = heed::view(static_cast<const float*>(memory().data()), {5, 8});
  CHECK(heed::check_operands("heed::call", rank2, rank2, rank2).rank == 2);
}

TEST_CASE("shapes that disagree are refused: the call, the numbers, every shape") {
  const std::string text = complaint(tensor(2, 8, 4, 8), tensor(2, 2, 4, 16), tensor(2, 2, 4, 16));
  CHECK(text ==
        "heed::call: k has dim 16 but q has dim 8 (q [2,8,4,8], k [2,2,4,16], v [2,2,4,16])");
  const auto q = tensor(2, 6, 5, 8);
  const auto k = tensor(2, 3, 7, 8);
  const auto v = tensor(2, 3, 7, 4);
  CHECK(complaint(q, k, v).empty());
  CHECK_THAT(complaint(q, tensor(3, 3, 7, 8), v),
             ContainsSubstring("k has batch 3 but q has batch 2"));
  CHECK_THAT(complaint(q, k, tensor(1, 3, 7, 4)),
             ContainsSubstring("v has batch 1 but q has batch 2"));
  CHECK_THAT(complaint(q, k, tensor(2, 6, 7, 4)),
             ContainsSubstring("v has heads 6 but k has heads 3"));
  CHECK_THAT(complaint(q, k, tensor(2, 3, 5, 4)),
             ContainsSubstring("v has length 5 but k has length 7"));
  CHECK_THAT(complaint(q, tensor(2, 4, 7, 8), tensor(2, 4, 7, 4)),
             ContainsSubstring("not a multiple"));
  CHECK_THAT(complaint(q, tensor(2, 0, 7, 8), tensor(2, 0, 7, 4)),
             ContainsSubstring("not a multiple"));
  CHECK_THAT(complaint(tensor(2, 6, 5, 0), tensor(2, 3, 7, 0), v), ContainsSubstring("is 0"));
}

TEST_CASE("calls of nothing are calls") {
  CHECK(complaint(tensor(0, 6, 5, 8), tensor(0, 3, 7, 8), tensor(0, 3, 7, 4)).empty());
  CHECK(complaint(tensor(2, 0, 5, 8), tensor(2, 0, 7, 8), tensor(2, 0, 7, 4)).empty());
  CHECK(complaint(tensor(2, 6, 0, 8), tensor(2, 3, 7, 8), tensor(2, 3, 7, 4)).empty());
  CHECK(complaint(tensor(2, 6, 5, 8), tensor(2, 3, 0, 8), tensor(2, 3, 0, 4)).empty());
  CHECK(complaint(tensor(2, 6, 5, 8), tensor(2, 3, 7, 8), tensor(2, 3, 7, 0)).empty());
  const View<const float, 4> nothing{nullptr, {0, 6, 5, 8}, {240, 40, 8, 1}};
  CHECK(complaint(nothing, tensor(0, 3, 7, 8), tensor(0, 3, 7, 4)).empty());
}

TEST_CASE("lengths outside 0 … 2^31 − 1, null data and strides out of memory are refused") {
  auto q = tensor(2, 6, 5, 8);
  const auto k = tensor(2, 3, 7, 8);
  const auto v = tensor(2, 3, 7, 4);
  q.extent[2] = -1;
  CHECK_THAT(complaint(q, k, v), ContainsSubstring("q has an extent outside 0 … 2^31 - 1"));
  q.extent[2] = Index{1} << 31;
  CHECK_THAT(complaint(q, k, v), ContainsSubstring("[2,6,2147483648,8]"));
  q = tensor(2, 6, 5, 8);
  q.data = nullptr;
  CHECK_THAT(complaint(q, k, v), ContainsSubstring("q has no data (q [2,6,5,8])"));
  for (const Index stride : {Index{1} << 61, -(Index{1} << 61), Index{1} << 60}) {
    q = tensor(2, 6, 5, 8);
    q.stride[0] = q.stride[1] = stride;
    CAPTURE(stride);
    CHECK_THAT(complaint(q, k, v), ContainsSubstring("does not fit 64 bits"));
  }
  q = tensor(1, 1, 5, 8);
  q.stride[0] = q.stride[1] = Index{1} << 62;  // of no index
  CHECK(complaint(q, tensor(1, 1, 7, 8), tensor(1, 1, 7, 4)).empty());
}

TEST_CASE("an output of another shape, or on top of an input, is refused") {
  const auto q = tensor(1, 2, 5, 8);
  const Shape shape = heed::check_operands("heed::call", q, q, q);
  const auto check = [&](const View<float, 4>& out) {
    return error_of([&] { heed::check_output("heed::call", out, shape, q, q, q); });
  };
  float* const free = memory().data() + 1000;
  CHECK(check(heed::view(free, {1, 2, 5, 8})).empty());
  CHECK(check(heed::view(memory().data() + 80, {1, 2, 5, 8})).empty());
  CHECK_THAT(check(heed::view(memory().data() + 79, {1, 2, 5, 8})),
             ContainsSubstring("overlaps q"));
  CHECK_THAT(check(heed::view(free, {1, 2, 5, 7})), ContainsSubstring("out [1,2,5,7]"));
  CHECK_FALSE(check(heed::view(free, {1, 2, 8, 5})).empty());
  CHECK_THAT(check(heed::view(free, {1, 2, 5, 8}, {0, 0, 8, 1})), ContainsSubstring("stride of 0"));
  CHECK_THAT(check(heed::view(static_cast<float*>(nullptr), {1, 2, 5, 8})),
             ContainsSubstring("out has no data"));
}

TEST_CASE("a scale must be finite") {
  CHECK(error_of([] { heed::check_scale("heed::call", -2.5); }).empty());
  CHECK_FALSE(error_of([] { heed::check_scale("heed::call", HUGE_VAL); }).empty());
  CHECK_FALSE(error_of([] { heed::check_scale("heed::call", std::nan("")); }).empty());
}
