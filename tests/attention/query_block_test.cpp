// Rows of a task, numbered through its heads.
#include "heed/attention/flash/query_block.hpp"

#include "support/catch.hpp"

namespace heed {

TEST_CASE("query block: segments are the rows asked for, in order, each of one head") {
  for (const int heads : {1, 3}) {
    for (const int queries : {1, 5, 8}) {
      const QueryBlock rows{1, 6, heads, 20, queries};
      REQUIRE(rows.count() == heads * queries);
      for (int first = 0; first < rows.count(); ++first) {
        for (int last = first; last <= rows.count() + 3;
             ++last) {  // a row tile's end may be beyond
          int next = first;
          for_each_head_segment(rows, first, last, [&](Index head, int row, int begin, int end) {
            CAPTURE(heads, queries, first, last, row);
            REQUIRE(row == next);
            REQUIRE(begin < end);
            for (int i = begin; i < end; ++i, ++next) {
              REQUIRE(head == 6 + next / queries);
              REQUIRE(i == 20 + next % queries);
            }
          });
          REQUIRE(next == std::min(last, rows.count()));
        }
      }
    }
  }
}

}  // namespace heed
