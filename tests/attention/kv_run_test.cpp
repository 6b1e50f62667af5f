// Rows of a run are copied whatever their strides are; runs come as rows or as panels.
#include "heed/attention/flash/kv_run.hpp"

#include <vector>

#include "heed/kv/cache.hpp"
#include "heed/kv/dense.hpp"
#include "support/problem.hpp"

namespace heed {

TEST_CASE("KV run: rows with gaps, reversed and transposed ones are copied one behind the other") {
  std::vector<float> numbers(100);
  for (std::size_t n = 0; n < numbers.size(); ++n) numbers[n] = static_cast<float>(n);
  const float* data = numbers.data();
  for (const auto& x :
       {View<const float, 2>{data, {4, 3}, {3, 1}}, View<const float, 2>{data, {4, 3}, {7, 1}},
        View<const float, 2>{data, {4, 3}, {1, 9}},
        View<const float, 2>{data + 99, {4, 3}, {-9, -2}},
        View<const float, 2>{data, {1, 3}, {3, 1}}, View<const float, 2>{data, {0, 3}, {3, 1}}}) {
    std::vector<float> to(13, -1);
    copy_rows(x, to.data());
    for (Index r = 0; r < x.extent[0]; ++r) {
      for (Index c = 0; c < 3; ++c) REQUIRE(to[static_cast<std::size_t>(3 * r + c)] == x(r, c));
    }
    REQUIRE(to[static_cast<std::size_t>(3 * x.extent[0])] == -1);
  }
}

TEST_CASE("KV run: a dense source hands out rows, a cache panels") {
  const test::Inputs<float> in({1, 1, 1, 1, 100, 7, 5}, test::Layout::gaps, 3);
  const auto k = in.k.cview(), v = in.v.cview();
  int runs = 0;
  const kv::Dense<float> dense{k, v};
  for_each_source_run<float>(
      dense.bind({}, 0, 0), 30, 90, [&](Index first, const auto& keys, const auto& values) {
        CHECK((first == 30 && keys.extent[0] == 60 && &keys(0, 0) == &k(0, 0, 30, 0)));
        CHECK(&values(59, 4) == &v(0, 0, 89, 4));
        ++runs;
      });
  kv::Cache<float> cache({1, 1, 7, 5});
  cache.append(k, v);
  for_each_source_run<float>(cache.bind({}, 0, 0), 30, 90,
                             [&](Index first, const auto& keys, const auto& values) {
                               const Index nr = kv::panel_width<float>();
                               CHECK((first == 30 && keys.count == 60 && keys.offset == 30 % nr));
                               CHECK(keys.panels[6 * nr + keys.offset] == k(0, 0, 30, 6));
                               CHECK(values(59, 4) == v(0, 0, 89, 4));
                               ++runs;
                             });
  CHECK(runs == 2);
}

}  // namespace heed
