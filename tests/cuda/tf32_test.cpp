// Floats through tf32, on request: the emulated kernel meets the oracle of rounded inputs, what is
// behind a mask stays there, and without the request floats are exact.
#include "cuda/tf32.hpp"
#include "cuda/emulated.hpp"

namespace heed {
namespace {

using test::as_tf32;
using test::emulate;
using test::Emulated;
using test::ErasedScore;
using test::Inputs;
using test::Layout;

constexpr double unit = 0x1p-11;  // unit roundoff of tf32: ten explicit bits
constexpr float infinity = std::numeric_limits<float>::infinity();

Emulated<float> call(const Inputs<float>& in, const mask::any& mask = {},
                     const ErasedScore& score = {}, Options options = {}, bool backwards = false) {
  options.tf32 = true;
  return emulate(in.q.cview(), in.k.cview(), in.v.cview(), mask, score, options, backwards);
}

// Of the inputs as they are rounded, products are exact and sums are float's: what is left is the
// rounding of the weights, at most `unit` of each.
void check(const Shape& shape, Layout layout, const mask::any& mask = {},
           const ErasedScore& score = {}, const Options& options = {}) {
  CAPTURE(test::name_of(shape), static_cast<int>(layout));
  const Inputs<float> in(shape, layout, 17);
  const auto q = as_tf32(in.q.cview());
  const auto k = as_tf32(in.k.cview());
  const auto v = as_tf32(in.v.cview());
  const auto either = [&](auto&& oracle) {
    return score ? oracle(ErasedScore(score)) : oracle([](double s, int, int) { return s; });
  };
  const auto truth = either(
      [&](const auto& f) { return reference::attention<double>(q, k, v, mask, f, options); });
  const auto result = call(in, mask, score, options);
  const double keep_scale = options.dropout > 0 ? 1 / (1 - options.dropout) : 1;
  const double most = test::max_magnitude(truth.scores);
  const double sums = test::unit_roundoff<float>() * (32 + 8 * most);
  REQUIRE(test::max_difference(result.out, truth.out) <= (unit + sums) * keep_scale);  // |v| ≤ 1
  REQUIRE(test::max_difference(result.lse, truth.lse) <= sums * (1 + most));
  REQUIRE(result.counts.bank_conflicts == 0);
  REQUIRE(((shape.Lq * shape.Lk == 0) || result.counts.mma > 0));

  const auto backwards = call(in, mask, score, options, true);
  REQUIRE(test::same_bits(backwards.out, result.out));
  REQUIRE(test::same_bits(backwards.lse, result.lse));
}

mask::any mask_number(Index n) { return n % 2 == 0 ? mask::any() : mask::any(mask::causal()); }

}  // namespace

TEST_CASE("tf32: head sizes, layouts and lengths meet the oracle") {
  for (const Index D : {1, 5, 16, 40, 64, 111, 128, 200}) {
    for (const auto layout : {Layout::packed, Layout::gaps, Layout::blhd}) {
      check({1, 2, 1, 67, 70, D, D}, layout, mask_number(D + static_cast<Index>(layout)));
    }
  }
  for (const Index Lq : {0, 1, 129}) {
    for (const Index Lk : {0, 1, 32, 65}) {
      check({2, 2, 2, Lq, Lk, 24, 16}, Layout::packed, mask_number(Lq + Lk));
      check({1, 1, 1, Lq, Lk, 72, 80}, Layout::packed, mask_number(Lq + Lk + 1));
    }
  }
  for (const auto& dims : {std::pair<Index, Index>{64, 0}, {5, 300}, {264, 24}}) {
    check({1, 2, 1, 20, 70, dims.first, dims.second}, Layout::gaps, mask::causal());
  }
}

TEST_CASE("tf32: masks × scores × dropout × scales meet the oracle") {
  const Shape shape{2, 4, 2, 75, 141, 40, 72};
  const auto slopes = score::alibi_slopes(4);
  const std::vector<int> lengths{100, 7};
  const mask::any masks[] = {mask::window(5, 9), mask::local(6) | mask::global(3),
                             mask::padding(lengths) & mask::causal(), ~mask::causal()};
  const ErasedScore scores[] = {
      {}, test::erase<float>(score::soft_cap(2) >> score::alibi(slopes), shape)};
  for (std::size_t m = 0; m < std::size(masks); ++m) {
    for (const auto& score : scores) {
      CAPTURE(m);
      check(shape, Layout::packed, masks[m], score, {.dropout = m % 2 == 0 ? 0.4 : 0, .seed = 7});
    }
  }
  for (const double scale : {0.0, -0.5, 2.0}) {
    check({1, 2, 2, 20, 70, 64, 64}, Layout::packed, mask::causal(), {}, {.scale = scale});
  }
}

// The largest float is finite, but rounds to infinity.
TEST_CASE("tf32: what nobody sees changes no bit; what is seen reaches no other row") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Index D : {40, 72}) {
    const Shape shape{1, 1, 1, 140, 140, D, D};
    const Inputs<float> clean(shape, Layout::packed, 6);
    const auto expected = call(clean, mask::causal());
    for (const float poison : {nan, infinity, -infinity, std::numeric_limits<float>::max()}) {
      Inputs<float> in(shape, Layout::packed, 6);
      in.v.view()(0, 0, 100, 17) = poison;
      in.v.view()(0, 0, 101, 18) = poison;
      in.k.view()(0, 0, 139, 3) = poison;
      const auto got = call(in, mask::causal());
      CAPTURE(D, poison);
      for (Index i = 0; i < 139; ++i) {
        for (Index d = 0; d < D; ++d) {
          const float x = got.out(0, 0, i, d);
          const Index poisoned_from = d == 17 ? 100 : d == 18 ? 101 : shape.Lq;
          if (i < poisoned_from) {
            REQUIRE(x == expected.out(0, 0, i, d));
          } else {
            REQUIRE((is_nan(poison) ? is_nan(x) : x == as_tf32(poison)));
          }
        }
        REQUIRE(got.lse(0, 0, i) == expected.lse(0, 0, i));
      }
    }
  }
}

TEST_CASE("floats are exact unless tf32 is asked for") {
  const Inputs<float> in({1, 2, 1, 33, 70, 64, 64}, Layout::packed, 3);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const auto exact = emulate(q, k, v);
  CHECK(exact.counts.mma == 0);
  const auto truth = reference::attention<double>(q, k, v);
  test::require_accurate<float>(exact, reference::attention(q, k, v), truth);
  // And tf32 is no better than it says: another result, within the rounding of every factor.
  const double error = test::max_difference(call(in).out, truth.out);
  CHECK(error > 4 * test::max_difference(exact.out, truth.out));
  CHECK(error < 8 * unit);
}

}  // namespace heed
