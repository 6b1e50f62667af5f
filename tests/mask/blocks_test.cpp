#include "heed/mask/blocks.hpp"

#include <string>

#include "heed/core/eigen.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::axes;
using heed::mask::blocks;
using heed::mask::Coverage;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::Promise;
using heed::test::scores_shape;

// Every third block is 0.
template <class Tensor>
Tensor numbered(Tensor tensor) {
  for (Index n = 0; n < tensor.size(); ++n) {
    tensor.data()[n] = static_cast<typename Tensor::Scalar>(n % 3);
  }
  return tensor;
}

template <class Tensor>
std::string complaint(const Tensor& tensor, int queries, int keys, axes meaning = axes::by_rank) {
  return error_of([&] {
    heed::mask::check(blocks(tensor, queries, keys, meaning), scores_shape(2, 3, 10, 12));
  });
}

}  // namespace

TEST_CASE("a block attends as its element says, whatever the sizes") {
  for (const int queries : {1, 2, 3, 5, 100}) {
    for (const int keys : {1, 3, 4, 100}) {
      const auto shape = scores_shape(10, 11);
      const auto layout =
          numbered(heed::Tensor2<int>((10 + queries - 1) / queries, (11 + keys - 1) / keys));
      const auto mask = blocks(layout, queries, keys);
      heed::mask::check(mask, shape);
      const auto bound = heed::mask::bind(mask, shape, 0, 0);
      for (int i = 0; i < 10; ++i) {
        for (int j = 0; j < 11; ++j) {
          CAPTURE(queries, keys, i, j);
          REQUIRE(bound.allows(i, j) == (layout(i / queries, j / keys) != 0));
        }
      }
      CHECK(law_of(mask, shape).check_all(Promise::exact) == "");
    }
  }
}

TEST_CASE("blocks of each batch and head, of heads, of batches, in any memory") {
  const auto shape = scores_shape(2, 3, 4, 6);
  const auto all = numbered(heed::Tensor4<bool>(2, 3, 2, 2));
  const auto heads = numbered(heed::Tensor3<float>(3, 2, 2));
  const auto batches = numbered(Eigen::Tensor<int, 2>(2, 2));  // [B, blocks of keys], by columns
  for (int b = 0; b < 2; ++b) {
    for (int h = 0; h < 3; ++h) {
      const auto by_all = heed::mask::bind(blocks(all, 2, 3), shape, b, h);
      const auto by_head = heed::mask::bind(blocks(heads, 2, 3, axes::heads), shape, b, h);
      const auto by_batch = heed::mask::bind(blocks(batches, 2, 3, axes::keys), shape, b, h);
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 6; ++j) {
          REQUIRE(by_all.allows(i, j) == all(b, h, i / 2, j / 3));
          REQUIRE(by_head.allows(i, j) == (heads(h, i / 2, j / 3) != 0));
          REQUIRE(by_batch.allows(i, j) == (batches(b, j / 3) != 0));
        }
      }
      CHECK(law_of(blocks(batches, 2, 3, axes::keys), shape, b, h).check_all(Promise::exact) == "");
    }
  }
}

TEST_CASE("one size means square blocks") {
  const auto layout = numbered(heed::Tensor2<int>(3, 3));
  const auto shape = scores_shape(12, 12);
  const auto one = heed::mask::bind(blocks(layout, 4), shape, 0, 0);
  const auto two = heed::mask::bind(blocks(layout, 4, 4), shape, 0, 0);
  CHECK(one.queries == two.queries);
  CHECK(one.keys == two.keys);
  CHECK(one.coverage({4, 8, 0, 4}) == Coverage::Empty);
  CHECK(one.coverage({4, 12, 0, 12}) == Coverage::Partial);
  CHECK(one.coverage({0, 4, 4, 12}) == Coverage::Full);
}

TEST_CASE("blocks refuse sizes below 1 and layouts that do not cover the scores") {
  const heed::Tensor2<int> layout(5, 4);
  CHECK(complaint(layout, 2, 3).empty());
  CHECK_THAT(complaint(layout, 0, 3),
             ContainsSubstring("heed::mask::blocks: a block of 0 queries by 3 keys"));
  CHECK_THAT(complaint(layout, 2, -3), ContainsSubstring("2 queries by -3 keys"));
  CHECK_THAT(error_of([&] { blocks(layout, 0); }), ContainsSubstring("0 queries by 0 keys"));
  const std::string wrong = complaint(layout, 2, 4);
  CHECK_THAT(wrong, ContainsSubstring("heed::mask::blocks, of 2 queries by 4 keys"));
  CHECK_THAT(wrong, ContainsSubstring("[1,1,5,4]"));
  CHECK_THAT(wrong, ContainsSubstring("[2,3,5,3]"));
  CHECK_THAT(complaint(heed::Tensor3<int>(3, 5, 4), 2, 3), ContainsSubstring("axes::heads"));
  CHECK_THAT(complaint(layout, 2, 3, axes::heads), ContainsSubstring("heed::mask::blocks"));
}
