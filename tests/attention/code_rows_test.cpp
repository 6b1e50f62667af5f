// Beside codes q is rotated as keys were, and out is rotated back.
#include "heed/attention/flash/code_rows.hpp"

#include <algorithm>
#include <vector>

#include "attention/one_task.hpp"
#include "heed/kv/cache.hpp"

namespace heed {
namespace {

constexpr Index Lq = 5, Lk = 40, D = 12, Dv = 40;  // values of several panels; q stays numbers
constexpr int heads = 2;

template <class Check>
void with_task(bool rotates, const Check& check) {
  const test::OneTask<float> of({1, heads, 1, Lq, Lk, D, Dv}, heads);
  kv::Cache<kv::K8V8> cache({1, 1, D, Dv}, {.rotates = rotates});
  cache.append(of.in.k.cview(), of.in.v.cview());
  check(of, cache.bind(of.shape, 0, 0), simd::code_kernels<float>(isa()));
}

}  // namespace

TEST_CASE("code rows: packed queries are rotated where keys are") {
  for (const bool rotates : {true, false}) {
    with_task(rotates, [&](const auto& of, const auto& kv, const auto& kernels) {
      const auto& q = of.scratch.q;
      std::vector<float> expected(static_cast<std::size_t>(heads * Lq * D));
      for (Index i = 0; i < heads * Lq; ++i) {
        float* row = expected.data() + i * D;
        for (Index d = 0; d < D; ++d) row[d] = test::number_of(i, d);
        std::copy_n(row, D, q.row(i));
        if (rotates) kv::rotate(kernels, row, D);
      }
      prepare_queries(of.task(), kv);
      for (Index i = 0; i < heads * Lq; ++i) {
        CAPTURE(rotates, i);
        REQUIRE(std::equal(q.row(i), q.row(i) + D, expected.data() + i * D));
      }
    });
  }
}

TEST_CASE("code rows: sums are rotated back where values were, through all their panels") {
  for (const bool rotates : {true, false}) {
    with_task(rotates, [&](const auto& of, const auto& kv, const auto& kernels) {
      const auto& acc = of.scratch.state.acc;
      std::vector<float> row(static_cast<std::size_t>(Dv));
      const auto fill = [&](Index i) {
        for (Index d = 0; d < Dv; ++d) row[static_cast<std::size_t>(d)] = test::number_of(i, d);
      };
      for (Index i = 0; i < heads * Lq; ++i) {
        fill(i);
        for (Index d = 0; d < Dv; ++d) acc.at(i, d) = row[static_cast<std::size_t>(d)];
      }
      rotate_output(of.task(), kv);
      for (Index i = 0; i < heads * Lq; ++i) {
        fill(i);
        if (rotates) kv::rotate_back(kernels, row.data(), Dv);
        CAPTURE(rotates, i);
        for (Index d = 0; d < Dv; ++d) REQUIRE(acc.at(i, d) == row[static_cast<std::size_t>(d)]);
      }
    });
  }
}

}  // namespace heed
