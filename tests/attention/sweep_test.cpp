// The product of sizes: lengths around the tile, head sizes, groups, memory layouts, masks, against
// the oracle in double. Gaps, margins and the caller's workspace hold NaN before and after.
#include "support/sweep.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;

constexpr Index lengths[] = {0, 1, 7, 63, 64, 65, 131};
constexpr Index dims[] = {1, 3, 16, 32, 59, 64, 80, 111, 128, 256};

template <class T>
void check(const Shape& shape, Layout layout, const mask::any& mask, const Options& options) {
  CAPTURE(test::name_of(shape), static_cast<int>(layout));
  const Inputs<T> in(shape, layout, 11);
  Buffer<T> out(shape.B, shape.Hq, shape.Lq, shape.Dv, layout);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();

  const auto truth = reference::attention<double>(q, k, v, mask);
  const auto naive = reference::attention(q, k, v, mask);
  const auto result = attention(q, k, v, mask, {}, options);
  test::require_accurate<T>(result, naive, truth);

  std::vector<std::byte> workspace(workspace_bytes(q, k, v, mask, {}, options), std::byte{0xff});
  Options with_workspace = options;
  with_workspace.workspace = workspace;
  attention_into(out.view(), q, k, v, mask, {}, with_workspace);
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      for (Index i = 0; i < shape.Lq; ++i) {
        for (Index d = 0; d < shape.Dv; ++d) {
          REQUIRE(out.view()(b, h, i, d) == result.out(b, h, i, d));
        }
      }
    }
  }
  REQUIRE(out.margins_intact());
}

mask::any mask_number(Index n) { return n % 2 == 0 ? mask::any() : mask::any(mask::causal()); }

}  // namespace

TEST_CASE("every length with every head size meets the oracle") {
  test::Sweep sweep;
  for (const Index Lq : lengths) {
    for (const Index Lk : lengths) {
      for (const Index D : dims) {
        if (!sweep.takes_next()) continue;
        const Index turn = Lq + Lk + D;
        const auto layout = static_cast<Layout>(turn % 3);
        const Index Dv = dims[static_cast<std::size_t>(turn % 10)];
        for (const Index causal : {0, 1}) {
          check<float>({1, 2, 1, Lq, Lk, D, Dv}, layout, mask_number(causal), {});
        }
      }
    }
  }
}

TEST_CASE("every group and batch, in every layout, meets the oracle") {
  for (const Index Hkv : {1, 2, 3}) {
    for (const Index group : {1, 2, 4, 7}) {
      for (const auto layout : {Layout::packed, Layout::gaps, Layout::blhd}) {
        for (const Index Lq : {1, 5, 66}) {
          check<float>({2, Hkv * group, Hkv, Lq, 70, 24, 20}, layout, mask_number(Lq), {});
        }
      }
    }
  }
}

TEST_CASE("the chunked backend meets the oracle over lengths and head sizes") {
  test::Sweep sweep;
  for (const Index Lq : lengths) {
    for (const Index Lk : lengths) {
      if (!sweep.takes_next()) continue;
      const Index turn = Lq + Lk;
      check<float>({1, 2, 2, Lq, Lk, dims[static_cast<std::size_t>(turn % 10)], 33},
                   static_cast<Layout>(turn % 3), mask_number(turn), {.backend = Backend::chunked});
    }
  }
}

TEMPLATE_TEST_CASE("double and the half types meet the oracle", "", double, Half, BFloat16) {
  for (const Index Lq : {0, 1, 63, 65}) {
    for (const Index Lk : {0, 1, 64, 131}) {
      for (const Index D : {1, 16, 80, 128}) {
        const Index turn = Lq + Lk + D;
        check<TestType>({1, 2, 1, Lq, Lk, D, D + 3}, static_cast<Layout>(turn % 3),
                        mask_number(turn / 3), {});
      }
    }
  }
}

}  // namespace heed
