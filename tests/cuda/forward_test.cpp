// The forward kernel on the emulator meets the oracle: sizes, layouts, groups.
#include "cuda/emulated.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::emulate;
using test::Inputs;
using test::Layout;

template <class T>
void check(const Shape& shape, Layout layout, const mask::Causal* causal) {
  CAPTURE(test::name_of(shape), static_cast<int>(layout), causal != nullptr);
  const Inputs<T> in(shape, layout, 11);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const mask::any mask = causal != nullptr ? mask::any(*causal) : mask::any();
  const auto truth = reference::attention<double>(q, k, v, mask);
  const auto naive = reference::attention(q, k, v, mask);
  const auto result = causal != nullptr ? emulate(q, k, v, *causal) : emulate(q, k, v);
  test::require_accurate<T>(result, naive, truth);
  REQUIRE(result.counts.bank_conflicts == 0);
}

}  // namespace

TEST_CASE("head sizes and layouts meet the oracle") {
  const mask::Causal causal;
  for (const Index D : {1, 16, 40, 64, 111, 128, 256}) {
    for (const auto layout : {Layout::packed, Layout::gaps, Layout::blhd}) {
      check<BFloat16>({1, 2, 1, 33, 70, D, D}, layout, nullptr);
      check<Half>({1, 2, 2, 70, 70, D, D}, layout, &causal);
    }
  }
}

}  // namespace heed
