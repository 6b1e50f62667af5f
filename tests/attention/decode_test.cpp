// Few queries against a long cache: keys are read where they lie and cut into spans whose results
// are merged.
#include "support/contract.hpp"
#include "support/draw.hpp"
#include "support/sweep.hpp"

namespace heed {
namespace {

using test::Inputs;
using test::Layout;

template <class T>
auto attend(const Inputs<T>& in, const mask::any& mask, const Options& options = {}) {
  return attention(in.q.cview(), in.k.cview(), in.v.cview(), mask, {}, options);
}

template <class T>
void check(const Shape& shape, Layout layout, const mask::any& mask, Options options = {}) {
  CAPTURE(test::name_of(shape), static_cast<int>(layout), options.dropout);
  const Inputs<T> in(shape, layout, 5, 2);
  options.seed = 9;
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const auto truth = reference::attention<double>(q, k, v, mask, {}, options);
  const auto naive = reference::attention(q, k, v, mask, {}, options);
  test::require_accurate<T>(attend(in, mask, options), naive, truth);
}

// Masks that leave some spans, or all of them, without a key.
mask::any mask_number(Index n) {
  if (n % 5 == 1) return mask::causal();
  if (n % 5 == 2) return mask::causal() & mask::window(100);
  if (n % 5 == 3) return [](int, int j) { return j < 30 || j % 97 == 5; };
  if (n % 5 == 4) return [](int i, int j) { return i % 2 == 0 && (j == 4 || j >= 4100); };
  return {};
}

}  // namespace

TEST_CASE("a long cache meets the oracle, cut into any number of spans") {
  test::Sweep sweep;
  Index turn = 0;
  for (const Index Lk : {2047, 2048, 2049, 4096, 4111, 6150}) {
    for (const Index group : {1, 2, 4, 8}) {
      for (Index mask = 0; mask < 5; ++mask) {
        const Index Lq = 1 + turn % (8 / group);
        const Index D = turn % 2 == 0 ? 64 : 19, Dv = turn % 3 == 0 ? 33 : 40;
        const auto layout = static_cast<Layout>(turn++ % 3);
        if (!sweep.takes_next()) continue;
        check<float>({1, 2 * group, 2, Lq, Lk, D, Dv}, layout, mask_number(mask));
      }
    }
  }
}

TEMPLATE_TEST_CASE("a long cache of another type meets the oracle", "", double, Half, BFloat16) {
  for (Index mask = 0; mask < 5; ++mask) {
    check<TestType>({2, 4, 2, 1 + mask % 4, 4500, 40, 24}, Layout::blhd, mask_number(mask));
  }
}

TEST_CASE("dropout over a long cache drops what the reference drops") {
  for (Index mask = 0; mask < 5; ++mask) {
    check<float>({2, 4, 2, 3, 4500, 16, 16}, Layout::packed, mask_number(mask), {.dropout = 0.4});
  }
}

TEMPLATE_TEST_CASE("sinks join the softmax of a long cache once", "", float, BFloat16) {
  const Shape shape{2, 4, 2, 3, 4500, 16, 16};
  const std::vector<float> sinks = test::draw_sinks(shape, 3);
  for (Index mask = 0; mask < 5; ++mask) {
    check<TestType>(shape, Layout::packed, mask_number(mask), {.dropout = 0.2, .sinks = sinks});
  }
}

TEST_CASE("a row that sees no key of any KV split is fully masked") {
  const Inputs<float> in({1, 2, 1, 2, 5000, 16, 16, 4}, Layout::packed, 3);
  const auto result = attend(in, [](int i, int) { return i == 1; });
  for (Index h = 0; h < 2; ++h) {
    CHECK(result.lse(0, h, 0) == -test::inf);
    CHECK(result.lse(0, h, 1) > 0);
    for (Index d = 0; d < 16; ++d) CHECK(result.out(0, h, 0, d) == 0);
  }
}

TEMPLATE_TEST_CASE("NaN or inf behind a mask of a long cache changes no bit", "", float, BFloat16) {
  const Inputs<TestType> clean({1, 4, 1, 2, 5000, 16, 24, 4}, Layout::packed, 3);
  const mask::any mask = [](int i, int j) { return j % 1000 != 7 && (i == 0 || j < 4200); };
  for (const float poison : {test::nan, test::inf, -test::inf}) {
    Inputs<TestType> dirty = clean;
    for (const Index j : {7, 1007, 4007}) {
      dirty.k.view()(0, 0, j, 2) = static_cast<TestType>(poison);
      dirty.v.view()(0, 0, j, 1) = static_cast<TestType>(poison);
    }
    const auto expected = attend(clean, mask);
    const auto hidden = attend(dirty, mask);
    REQUIRE(test::same_bits(expected.out, hidden.out));
    REQUIRE(test::same_bits(expected.lse, hidden.lse));
  }
#if !defined(__FAST_MATH__)
  Inputs<TestType> dirty = clean;
  dirty.v.view()(0, 0, 4500, 1) = static_cast<TestType>(test::nan);
  const auto result = attend(dirty, mask);
  CHECK(is_nan(static_cast<float>(result.out(0, 0, 0, 1))));
  CHECK_FALSE(is_nan(static_cast<float>(result.out(0, 0, 1, 1))));
  CHECK_FALSE(is_nan(static_cast<float>(result.out(0, 0, 0, 0))));
#endif
}

TEST_CASE("the bits of a long cache depend on neither threads nor batch") {
  const Inputs<float> in({3, 8, 2, 2, 6150, 32, 32, 4}, Layout::packed, 6);
  const mask::any mask = mask::causal();
  const auto one = attend(in, mask, {.threads = 1});
  for (const int threads : {2, 3, 8}) {
    const auto many = attend(in, mask, {.threads = threads});
    REQUIRE(test::same_bits(one.out, many.out));
    REQUIRE(test::same_bits(one.lse, many.lse));
  }
  for (Index b = 0; b < 3; ++b) {
    const auto alone = [b](View<const float, 4> x) {
      x.data += b * x.stride[0];
      x.extent[0] = 1;
      return x;
    };
    const auto result =
        attention(alone(in.q.cview()), alone(in.k.cview()), alone(in.v.cview()), mask);
    const Tensor3<float> expected = one.out.chip(b, 0);
    REQUIRE(test::same_bits(result.out, expected));
  }
}

TEST_CASE("a long cache in the caller's workspace, which holds NaN before") {
  const Inputs<float> in({1, 4, 1, 2, 5000, 16, 20, 4}, Layout::gaps, 7);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const mask::any mask = mask::causal();
  std::vector<std::byte> workspace(workspace_bytes(q, k, v, mask), std::byte{0xff});
  Tensor4<float> out(1, 4, 2, 20);
  attention_into(out, q, k, v, mask, {}, {.workspace = workspace});
  CHECK(test::same_bits(out, attend(in, mask).out));
}

}  // namespace heed
