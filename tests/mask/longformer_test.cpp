#include "heed/mask/longformer.hpp"

#include <cstdlib>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::mask::longformer;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::scores_shape;

}  // namespace

TEST_CASE("Longformer is a dilated window and global tokens") {
  const auto shape = scores_shape(30, 40);
  for (const int dilation : {1, 3}) {
    const auto pattern = longformer(9, 2, dilation);
    const auto bound = heed::mask::bind(pattern, shape, 0, 0);
    for (int i = 0; i < 30; ++i) {
      for (int j = 0; j < 40; ++j) {
        const bool global = j < 2;  // queries stand at positions 10 … 39
        const int distance = j - i - 10;
        const bool near = distance % dilation == 0 && std::abs(distance) <= 4 * dilation;
        REQUIRE(bound.allows(i, j) == (global || near));
      }
    }
  }
  CHECK_THAT(error_of([] { longformer(-2, 1); }),
             ContainsSubstring("heed::mask::longformer: window size -2 is negative"));
  CHECK_THAT(error_of([] { longformer(2, -1); }), ContainsSubstring("-1"));
  CHECK_THAT(error_of([] { longformer(2, 1, 0); }), ContainsSubstring("dilation 0"));
}
