// The forward kernels on the emulator meet the oracle: sizes, layouts, groups, masks, scores,
// types. No race, no uninitialised or foreign memory: the emulator throws; no bank conflict:
// counted.
#include "cuda/emulated.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::emulate;
using test::ErasedScore;
using test::Inputs;
using test::Layout;

template <class T>
void check(const Shape& shape, Layout layout, const mask::any& mask = {},
           const ErasedScore& score = {}, const Options& options = {}) {
  CAPTURE(test::name_of(shape), static_cast<int>(layout));
  const Inputs<T> in(shape, layout, 11);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const auto either = [&](auto&& call) {
    return score ? call(ErasedScore(score)) : call([](double s, int, int) { return s; });
  };
  const auto truth = either(
      [&](const auto& f) { return reference::attention<double>(q, k, v, mask, f, options); });
  const auto naive =
      either([&](const auto& f) { return reference::attention(q, k, v, mask, f, options); });
  Buffer<T> out(shape.B, shape.Hq, shape.Lq, shape.Dv, layout);
  auto result = emulate(q, k, v, mask, score, options);
  test::require_accurate<T>(result, naive, truth);
  REQUIRE(result.counts.bank_conflicts == 0);

  test::emulate_into<T>(out.view(), rows_view(result.lse), q, k, v, mask, score, options, true);
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

TEST_CASE("head sizes and layouts meet the oracle, whatever order threads come in") {
  for (const Index D : {1, 16, 40, 64, 111, 128, 256}) {
    for (const auto layout : {Layout::packed, Layout::gaps, Layout::blhd}) {
      const Index turn = D + static_cast<Index>(layout);
      check<BFloat16>({1, 2, 1, 33, 70, D, D}, layout, mask_number(turn));
      check<Half>({1, 1, 1, 70, 67, D, D}, layout, mask_number(turn + 1));
      check<float>({1, 1, 1, 67, 70, D, D}, layout, mask_number(turn));
    }
    check<double>({1, 2, 1, 65, 66, D, D}, Layout::gaps, mask_number(D));
  }
}

TEST_CASE("lengths around the tiles meet the oracle") {
  for (const Index Lq : {0, 1, 63, 65, 129}) {
    for (const Index Lk : {0, 1, 64, 65, 130}) {
      check<BFloat16>({1, 1, 1, Lq, Lk, 16, 24}, Layout::packed, mask_number(Lq + Lk));
      check<float>({1, 1, 1, Lq, Lk, 8, 8}, Layout::packed, mask_number(Lq + Lk + 1));
    }
  }
}

TEST_CASE("values of another dimension than keys, and none at all") {
  for (const auto& dims : {std::pair<Index, Index>{64, 32}, {24, 130}, {128, 0}, {5, 300}}) {
    check<BFloat16>({1, 2, 1, 20, 70, dims.first, dims.second}, Layout::gaps);
    check<float>({1, 2, 1, 20, 70, dims.first, dims.second}, Layout::gaps);
  }
}

TEST_CASE("heads wider than 256 go in chunks") {
  check<BFloat16>({1, 1, 1, 70, 130, 520, 264}, Layout::packed, mask::causal());
  check<Half>({1, 1, 1, 10, 70, 300, 40}, Layout::gaps);
  check<float>({1, 1, 1, 10, 70, 300, 300}, Layout::gaps);
}

TEST_CASE("more keys than a block looks at in one go") {
  check<BFloat16>({1, 1, 1, 3, 64 * 128 + 70, 8, 8}, Layout::packed, mask::window(70));
  check<BFloat16>({1, 1, 1, 3, 64 * 128 + 70, 8, 8}, Layout::packed, ~mask::window(8000));
  check<BFloat16>({1, 1, 1, 3, 64 * 128 + 70, 300, 8}, Layout::packed,
                  mask::window(5) | mask::global(3));
}

TEST_CASE("groups and batches") {
  for (const Index Hkv : {1, 2}) {
    for (const Index group : {1, 3}) {
      check<BFloat16>({2, Hkv * group, Hkv, 20, 70, 24, 16}, Layout::blhd, mask::causal());
      check<float>({2, Hkv * group, Hkv, 20, 70, 24, 16}, Layout::blhd, mask::causal());
    }
  }
}

TEMPLATE_TEST_CASE("masks × scores × dropout meet the oracle", "", BFloat16, Half, float, double) {
  const Shape shape{2, 4, 2, 75, 141, 40, 40};
  const auto slopes = score::alibi_slopes(4);
  const std::vector<int> lengths{100, 7};
  const std::vector<float> sinks{0.5f, -3, 300, -std::numeric_limits<float>::infinity()};
  Tensor4<bool> visible(2, 1, shape.Lq, shape.Lk);
  Tensor4<float> bias(1, 4, shape.Lq, shape.Lk);
  for (Index n = 0; n < visible.size(); ++n) visible.data()[n] = test::uniform(5, n) > 0.2;
  for (Index n = 0; n < bias.size(); ++n) {
    const double x = test::uniform(6, n);
    bias.data()[n] = x > 0.9 ? -std::numeric_limits<float>::infinity() : static_cast<float>(x);
  }
  const mask::any masks[] = {mask::causal(mask::align::start),
                             mask::window(5, 9),
                             mask::local(6) | mask::global(3),
                             mask::bigbird(8, 2, 3, 1),
                             ~mask::causal(),
                             mask::padding(lengths) & mask::causal(),
                             mask::dense(visible)};
  using R = Accum<TestType>;
  const ErasedScore scores[] = {
      {},
      test::erase<R>(score::alibi(slopes), shape),
      test::erase<R>(score::bias(bias), shape),
      test::erase<R>(score::soft_cap(2) >> score::alibi(slopes) >> score::bias(bias), shape)};
  for (std::size_t m = 0; m < std::size(masks); ++m) {
    const std::size_t s = m % std::size(scores);
    CAPTURE(m, s);
    Options options{.dropout = m % 3 == 0 ? 0.4 : 0, .seed = 7};
    if (m % 2 == 0) options.sinks = sinks;
    check<TestType>(shape, Layout::packed, masks[m], scores[s], options);
  }
}

TEMPLATE_TEST_CASE("any scale, 0 and negative ones too", "", BFloat16, float) {
  for (const double scale : {0.0, -0.5, 2.0}) {
    check<TestType>({1, 2, 2, 20, 70, 64, 64}, Layout::packed, mask::causal(), {},
                    {.scale = scale});
  }
}

}  // namespace heed
