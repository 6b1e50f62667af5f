#include "heed/mask/sparse_transformer.hpp"

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::Coverage;
using heed::mask::sparse_fixed;
using heed::mask::sparse_strided;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::longest;
using heed::test::Promise;
using heed::test::scores_shape;

}  // namespace

TEST_CASE("strided: the last l positions, and every l-th before them") {
  for (const Index Lq : {1, 5, 13}) {
    for (const Index Lk : {1, 6, 13}) {
      for (const int l : {1, 2, 4, 50}) {
        const auto bound = heed::mask::bind(sparse_strided(l), scores_shape(Lq, Lk), 0, 0);
        for (int i = 0; i < Lq; ++i) {
          for (int j = 0; j < Lk; ++j) {
            const Index p = i + Lk - Lq;
            CAPTURE(Lq, Lk, l, i, j);
            REQUIRE(bound.allows(i, j) == (j <= p && (p - j <= l || (p - j) % l == 0)));
          }
        }
      }
    }
  }
}

TEST_CASE("fixed: the own block, and the last c keys of each before it") {
  for (const Index Lq : {1, 5, 13}) {
    for (const Index Lk : {1, 6, 13}) {
      for (const int l : {1, 2, 4, 50}) {
        for (const int c : {0, 1, 2, l}) {
          if (c > l) continue;
          const auto mask = sparse_fixed(l, c);
          const auto bound = heed::mask::bind(mask, scores_shape(Lq, Lk), 0, 0);
          for (int i = 0; i < Lq; ++i) {
            for (int j = 0; j < Lk; ++j) {
              const Index p = i + Lk - Lq;
              CAPTURE(Lq, Lk, l, c, i, j);
              REQUIRE(bound.allows(i, j) == (j <= p && (p / l == j / l || j % l >= l - c)));
            }
          }
        }
      }
    }
  }
}

// 64 rows see l + 1 keys and those l apart before them; or their block and c keys of each before.
TEST_CASE("how many pairs the two patterns allow among 64 tokens") {
  int strided = 0;
  int fixed = 0;
  for (int i = 0; i < 64; ++i) {
    strided += (i < 8 ? i + 1 : 9) + (i < 16 ? 0 : i / 8 - 1);
    fixed += i % 8 + 1 + 2 * (i / 8);
  }
  CHECK(law_of(sparse_strided(8), scores_shape(64, 64)).allowed() == strided);
  CHECK(law_of(sparse_fixed(8, 2), scores_shape(64, 64)).allowed() == fixed);
}

// Without the causal half, whose Empty tiles would hide mistakes above the diagonal.
TEST_CASE("own blocks and summaries alone are exact, before position 0 too") {
  for (const Index Lq : {3, 9, 14}) {
    for (const Index Lk : {3, 9, 14}) {
      for (const int block : {1, 3, 4, 20}) {
        for (const int summary : {0, 1, 2, block}) {
          if (summary > block) continue;
          const heed::mask::Summaries mask{block, summary};
          CAPTURE(Lq, Lk, block, summary);
          REQUIRE(law_of(mask, scores_shape(Lq, Lk)).check_all(Promise::exact) == "");
        }
      }
    }
  }
}

TEST_CASE("sparse patterns answer about the ends of the longest sequences") {
  const auto shape = scores_shape(longest, longest);
  const auto strided = heed::mask::bind(sparse_strided(longest), shape, 0, 0);
  CHECK(strided.coverage({longest - 1, longest, 0, longest}) == Coverage::Full);
  CHECK(strided.coverage({0, 1, 1, longest}) == Coverage::Empty);
  const auto fixed = heed::mask::bind(sparse_fixed(longest, 1), shape, 0, 0);
  CHECK(fixed.coverage({longest - 1, longest, 0, longest}) == Coverage::Full);
  CHECK(heed::mask::bind(sparse_fixed(1, 1), shape, 0, 0).allows(longest - 1, longest - 1));
}

TEST_CASE("sparse patterns refuse strides below 1 and summaries that are not in a block") {
  CHECK_THAT(error_of([] { sparse_strided(0); }),
             ContainsSubstring("heed::mask::sparse_strided: stride 0 is below 1"));
  CHECK_THAT(error_of([] { sparse_strided(-3); }), ContainsSubstring("stride -3"));
  CHECK_THAT(error_of([] { sparse_fixed(0, 0); }),
             ContainsSubstring("heed::mask::sparse_fixed: a summary of 0 keys of a block of 0"));
  CHECK_THAT(error_of([] { sparse_fixed(4, 5); }), ContainsSubstring("a summary of 5 keys"));
  CHECK_THAT(error_of([] { sparse_fixed(4, -1); }), ContainsSubstring("a summary of -1 keys"));
}
