#include "heed/mask/document.hpp"

#include <array>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::Coverage;
using heed::mask::document;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::Promise;
using heed::test::scores_shape;

template <class... Ids>
concept Accepted = requires(Ids&&... ids) {
  document(std::forward<Ids>(ids)...);
};
using Ids = std::vector<int>;
static_assert(Accepted<Ids&> && Accepted<const Ids&> && Accepted<std::array<int, 3>&>);
static_assert(Accepted<Ids&, std::span<const int>>);
static_assert(!Accepted<Ids>, "a temporary would be gone before the mask is used");
static_assert(!Accepted<Ids, Ids&> && !Accepted<Ids&, Ids>);

template <class Mask>
std::string complaint(const Mask& mask, Index B, Index Lq, Index Lk) {
  return error_of([&] { heed::mask::check(mask, scores_shape(B, 2, Lq, Lk)); });
}

}  // namespace

TEST_CASE("a query sees the keys of its own document") {
  const Ids queries = {4, 4, -1, 7, 7, 7};
  const Ids keys = {7, 4, 4, 0, 7, -1, 7, 4};
  const auto shape = scores_shape(3, 2, 6, 8);
  const auto mask = document(queries, keys);
  heed::mask::check(mask, shape);
  for (Index b = 0; b < 3; ++b) {
    const auto bound = heed::mask::bind(mask, shape, b, 1);
    for (std::size_t i = 0; i < 6; ++i) {
      for (std::size_t j = 0; j < 8; ++j) {
        REQUIRE(bound.allows(int(i), int(j)) == (queries[i] == keys[j]));
      }
    }
    CHECK(law_of(mask, shape, b, 1).check_all(Promise::exact) == "");
  }
}

TEST_CASE("each batch may have documents of its own") {
  const Ids keys = {0, 0, 1, 5, 2, 2};  // [2, 3]
  const auto shape = scores_shape(2, 1, 3, 3);
  const auto mask = document(keys);
  heed::mask::check(mask, shape);
  CHECK(law_of(mask, shape, 0).allowed() == 4 + 1);
  CHECK(law_of(mask, shape, 1).allowed() == 1 + 4);
  CHECK(heed::mask::bind(mask, shape, 0, 0).allows(0, 1));
  CHECK_FALSE(heed::mask::bind(mask, shape, 1, 0).allows(0, 1));
}

TEST_CASE("with the keys' ids alone, queries stand at the end") {
  const Ids keys = {0, 0, 1, 1, 1, 2};
  const auto shape = scores_shape(2, 6);
  const auto bound = heed::mask::bind(document(keys), shape, 0, 0);
  for (int j = 0; j < 6; ++j) {
    CHECK(bound.allows(0, j) == (j >= 2 && j <= 4));
    CHECK(bound.allows(1, j) == (j == 5));
  }
}

TEST_CASE("tiles of sorted documents are Full or Empty wherever they can be") {
  Ids ids;
  for (int n = 0; n < 300; ++n) ids.push_back(n / 100);
  const auto bound = heed::mask::bind(document(ids), scores_shape(300, 300), 0, 0);
  CHECK(bound.coverage({100, 200, 100, 200}) == Coverage::Full);
  CHECK(bound.coverage({0, 100, 100, 300}) == Coverage::Empty);
  CHECK(bound.coverage({99, 101, 100, 101}) == Coverage::Partial);
}

TEST_CASE("documents refuse the wrong number of ids") {
  const Ids four(4), six(6), twelve(12);
  CHECK(complaint(document(six), 2, 5, 6).empty());
  CHECK(complaint(document(twelve), 2, 6, 6).empty());
  CHECK_THAT(complaint(document(four), 2, 5, 6),
             ContainsSubstring("heed::mask::document: 4 ids for 6 keys and a batch of 2"));
  CHECK_THAT(complaint(document(four, six), 2, 5, 6),
             ContainsSubstring("4 ids for 5 queries and a batch of 2"));
  CHECK_THAT(complaint(document(twelve), 3, 6, 6), ContainsSubstring("12 ids for 6 keys"));
  CHECK_THAT(complaint(document(six), 1, 7, 6), ContainsSubstring("7 queries and 6 keys"));
  CHECK(complaint(document(std::span<const int>{}), 1, 0, 0).empty());
}
