// A backward task: the numbers of its sums, and a KV block that is packed once.
#include "heed/attention/flash/backward_task.hpp"

#include <set>

#include "attention/one_backward.hpp"
#include "support/contract.hpp"

namespace heed {

TEST_CASE("backward task: each head, span and query head has sums of its own") {
  test::OneBackward<> of({2, 4, 2, 5, 3000, 8, 6});
  REQUIRE(of.plan.spans > 1);
  std::set<Index> numbers;
  for (Index head = 0; head < 4; ++head) {
    const auto task = of.task(head);
    CHECK(task.query_head(1) == 2 * (head % 2) + 1);
    for (Index span = 0; span < of.plan.spans; ++span) {
      for (Index g = 0; g < 2; ++g) numbers.insert(task.sums_of(span, g));
    }
  }
  CHECK(static_cast<Index>(numbers.size()) == wave_tasks(of.shape, of.plan));
  CHECK(*numbers.rbegin() + 1 == wave_tasks(of.shape, of.plan));
}

TEST_CASE("backward task: a block holds its keys and values in both forms, packed once") {
  test::OneBackward<> of({1, 2, 1, 5, 90, 7, 20});
  const auto task = of.task();
  const auto k = of.in.k.view();
  for (const Index begin : {0, 37}) {
    auto block = make_block(task, begin, 90);
    CHECK((block.begin == begin && block.keys == 90 - begin && !block.packed));
    pack_block(task, block);
    CHECK((block.packed && block.finite));
    for (Index j = 0; j < block.keys; ++j) {
      for (Index d = 0; d < 7; ++d) {
        REQUIRE(block.kt.at(d, j) == k(0, 0, begin + j, d));
        REQUIRE(block.k.at(j, d) == k(0, 0, begin + j, d));
      }
      for (Index d = 0; d < 20; ++d) {
        REQUIRE(block.vt.at(d, j) == of.in.v.cview()(0, 0, begin + j, d));
      }
    }
    const float first = block.k.at(0, 0);
    k(0, 0, begin, 0) += 1;
    pack_block(task, block);
    CHECK(block.k.at(0, 0) == first);
  }
#if !defined(__FAST_MATH__)  // which promises nothing of infinities
  k(0, 0, 60, 3) = test::inf;
  auto block = make_block(task, 37, 90);
  pack_block(task, block);
  CHECK_FALSE(block.finite);
#endif
}

TEST_CASE("backward task: packed rows are scaled, and the rest of their row tile is 0") {
  test::OneBackward<> of({1, 1, 1, 11, 9, 7, 7});
  const Index mr = of.kernels.tile_shape.mr, count = 5;
  std::fill_n(of.scratch.q, mr * 7, 9.0F);
  const auto packed =
      pack_rows(of.kernels, of.forward.q.matrix(0, 0), 4, count, 0.5F, of.scratch.q);
  for (Index i = 0; i < of.kernels.tile_shape.m_tiles(count) * mr; ++i) {
    for (Index d = 0; d < 7; ++d) {
      const float scale = of.kernels.folds_scale ? 0.5F : 1.0F;
      CHECK(packed.row(i)[d] == (i < count ? scale * of.in.q.cview()(0, 0, 4 + i, d) : 0));
    }
  }
}

}  // namespace heed
