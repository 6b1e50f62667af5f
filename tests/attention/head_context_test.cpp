// A task binds mask and score once for each of its heads, however many tiles it has.
#include "heed/attention/flash/head_context.hpp"

#include <array>
#include <memory>

#include "support/problem.hpp"

namespace heed {
namespace {

// Causal, and counts how often it is bound.
struct Counted {
  int* count;

  auto bind(const Shape& shape, Index b, Index h) const {
    ++*count;
    return mask::causal().bind(shape, b, h);
  }
};

int binds(const Shape& shape) {
  const test::Inputs<float> in(shape, test::Layout::packed, 1);
  int count = 0;
  attention(in.q.cview(), in.k.cview(), in.v.cview(), Counted{&count}, {}, {.threads = 1});
  return count;
}

}  // namespace

TEST_CASE("head context: bound once a head and task") {
  CHECK(binds({1, 2, 1, 300, 700, 16, 16}) == 2);   // a task a head
  CHECK(binds({2, 4, 2, 20, 700, 16, 16}) == 8);    // a task has the heads of a group
  CHECK(binds({1, 1, 1, 2000, 300, 16, 16}) == 2);  // two q blocks
}

TEST_CASE("head context: a mask of 64 KiB that no head changes is not copied to each") {
  struct Table {
    std::array<std::uint8_t, 65536> seen;
    bool allows(int i, int j) const { return seen[static_cast<std::size_t>(i * 256 + j)] != 0; }
    mask::Coverage coverage(mask::Tile) const { return mask::Coverage::Partial; }
  };
  const auto table = std::make_unique<Table>();
  table->seen[3] = 1;
  const test::Inputs<float> in({1, 1, 1, 5, 9, 8, 8}, test::Layout::packed, 1);
  static_assert(sizeof(HeadContexts<Table, score::None>) < 8192);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  CHECK(attention(q, k, v, *table).out(0, 0, 0, 2) == v(0, 0, 3, 2));
}

TEST_CASE("head context: the heads of a task, by query head") {
  const std::vector<mask::any> heads = {mask::any(), mask::causal(), mask::window(1), mask::any()};
  const Shape shape{2, 4, 2, 8, 8, 4, 4};
  const HeadContexts contexts(mask::per_head(heads), score::None{}, shape, {1, 1, 2, 0, 8});
  CHECK(contexts[1].mask.allows(3, 3));
  CHECK_FALSE(contexts[1].mask.allows(3, 4));
  CHECK(contexts[1].mask.allows(3, 0));
  CHECK_FALSE(contexts[2].mask.allows(3, 0));
}

}  // namespace heed
