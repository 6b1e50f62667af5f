#include "heed/mask/tree.hpp"

#include <vector>

#include "heed/mask/at.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::tree;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::scores_shape;

//   text ─┬─ 0 ─┬─ 1 ── 4
//         │     └─ 2
//         └─ 3
const std::vector<int> parents = {-1, 0, 0, -1, 1};

bool is_ancestor_or_self(int ancestor, int token) {
  for (; token >= 0; token = parents[static_cast<std::size_t>(token)]) {
    if (token == ancestor) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("tree: a drafted token sees the text, its ancestors and itself") {
  for (const Index Lq : {1, 3, 5, 8}) {
    const auto bound = heed::mask::bind(tree(parents), scores_shape(Lq, 9), 0, 0);
    for (int i = 0; i < Lq; ++i) {
      for (int j = 0; j < 9; ++j) {
        const int token = i + 5 - static_cast<int>(Lq);
        CAPTURE(Lq, i, j);
        if (token < 0) {
          REQUIRE(bound.allows(i, j) == (j <= token + 4));
        } else {
          REQUIRE(bound.allows(i, j) == (j < 4 || is_ancestor_or_self(j - 4, token)));
        }
      }
    }
  }
}

TEST_CASE("tree: a chain is causal, and no draft is") {
  const std::vector<int> chain = {-1, 0, 1, 2}, none;
  for (const auto* of : {&chain, &none}) {
    CHECK(law_of(tree(*of), scores_shape(6, 9)).allowed() == 4 + 5 + 6 + 7 + 8 + 9);
  }
}

TEST_CASE("tree: batch entries have drafts of their own") {
  const std::vector<int> two = {-1, 0, -1, -1};
  heed::Shape shape = scores_shape(2, 5);
  shape.B = 2;
  CHECK(heed::mask::bind(tree(two, 2), shape, 0, 0).allows(1, 3));
  CHECK_FALSE(heed::mask::bind(tree(two, 2), shape, 1, 0).allows(1, 3));
}

TEST_CASE("tree: parents behind their children, and more drafted tokens than keys, are refused") {
  const auto refused = [](const std::vector<int>& of, Index count, const heed::Shape& shape) {
    return error_of([&] { tree(of, count).check(shape); });
  };
  const heed::Shape shape = scores_shape(2, 5);
  CHECK_THAT(refused({-1, 1}, 2, shape), ContainsSubstring("drafted token 1 has parent 1"));
  CHECK_THAT(refused({-2}, 1, shape), ContainsSubstring("parent -2"));
  CHECK_THAT(refused({-1, 0, 1, 2, 3, 4}, 6, shape), ContainsSubstring("6 drafted tokens among 5"));
  CHECK_THAT(refused({-1, 0, 1}, 2, shape), ContainsSubstring("3 parents of 2 drafted tokens"));
}
