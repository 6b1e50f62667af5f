// The contract's hard lines on the emulator: what is behind a mask changes no bit, what is attended
// is never lost, fully masked rows, dropout's bits, the same bits whatever else is in the batch.
#include "cuda/emulated.hpp"

namespace heed {
namespace {

using test::emulate;
using test::Emulated;
using test::ErasedScore;
using test::Inputs;
using test::Layout;
using test::same_bits;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <class T>
Emulated<T> call(const Inputs<T>& in, const mask::any& mask, const ErasedScore& score = {},
                 const Options& options = {}) {
  return emulate(in.q.cview(), in.k.cview(), in.v.cview(), mask, score, options);
}

// True where rows [begin, end) of every head have the same bits, lse included.
bool same_bytes(const void* a, const void* b, std::size_t count) {
  return std::memcmp(a, b, count) == 0;
}

template <class T>
bool same_rows(const Emulated<T>& a, const Emulated<T>& b, Index begin, Index end) {
  for (Index n = 0; n < a.lse.size(); ++n) {
    const Index i = n % a.lse.dimension(2);
    if (i < begin || i >= end) continue;
    const auto Dv = static_cast<std::size_t>(a.out.dimension(3));
    const auto row = static_cast<std::size_t>(n) * Dv;
    if (!same_bytes(a.out.data() + row, b.out.data() + row, Dv * sizeof(T))) return false;
    if (!same_bytes(a.lse.data() + n, b.lse.data() + n, sizeof(Accum<T>))) return false;
  }
  return true;
}

}  // namespace

TEMPLATE_TEST_CASE("what nobody sees changes no bit", "", BFloat16, Half, float, double) {
  const Shape shape{1, 2, 1, 70, 150, 40, 72};
  const std::vector<int> lengths{97};
  Tensor2<float> bias(1, shape.Lk);
  for (Index j = 0; j < shape.Lk; ++j) {
    bias(0, j) = j == 33 ? -std::numeric_limits<float>::infinity() : 0.5f;
  }
  const auto score = test::erase<Accum<TestType>>(score::bias(bias), shape);
  const mask::any mask = mask::padding(lengths);
  const Options options{.dropout = 0.2, .seed = 3};
  const Inputs<TestType> clean(shape, Layout::gaps, 5);
  const auto expected = call(clean, mask, score, options);
  for (const double poison : {nan, infinity, -infinity}) {
    Inputs<TestType> in(shape, Layout::gaps, 5);
    for (const Index j : {33, 97, 149}) {
      for (Index d = 0; d < shape.D; d += 7)
        in.k.view()(0, 0, j, d) = static_cast<TestType>(poison);
      for (Index d = 0; d < shape.Dv; d += 3)
        in.v.view()(0, 0, j, d) = static_cast<TestType>(poison);
    }
    CAPTURE(poison);
    CHECK(same_rows(call(in, mask, score, options), expected, 0, shape.Lq));
  }
}

TEMPLATE_TEST_CASE("what some rows see reaches them and no other", "", BFloat16, Half, float,
                   double) {
  const Shape shape{1, 2, 1, 140, 140, 64, 64};
  const Inputs<TestType> clean(shape, Layout::packed, 6);
  const auto expected = call(clean, mask::causal());
  for (const double poison : {nan, infinity, -infinity}) {
    Inputs<TestType> in(shape, Layout::packed, 6);
    in.v.view()(0, 0, 100, 17) = static_cast<TestType>(poison);
    const auto got = call(in, mask::causal());
    CAPTURE(poison);
    CHECK(same_rows(got, expected, 0, 100));
    for (Index i = 100; i < 140; ++i) {
      const double x = static_cast<double>(got.out(0, 1, i, 17));
      REQUIRE((std::isnan(poison) ? std::isnan(x) : x == poison));
      REQUIRE(got.out(0, 1, i, 16) == expected.out(0, 1, i, 16));
    }
  }
  Inputs<TestType> both(shape, Layout::packed, 6);
  both.v.view()(0, 0, 100, 17) = static_cast<TestType>(infinity);
  both.v.view()(0, 0, 101, 17) = static_cast<TestType>(-infinity);
  const auto got = call(both, mask::causal());
  CHECK(static_cast<double>(got.out(0, 0, 100, 17)) == infinity);
#if !defined(__FAST_MATH__)  // which promises no NaN
  CHECK(std::isnan(static_cast<double>(got.out(0, 0, 101, 17))));
#endif
}

#if !defined(__FAST_MATH__)  // which promises no NaN
TEMPLATE_TEST_CASE("a NaN in a query or a key reaches the rows that see it", "", BFloat16, float) {
  const Shape shape{1, 1, 1, 70, 70, 16, 16};
  const Inputs<TestType> clean(shape, Layout::packed, 8);
  const auto expected = call(clean, mask::causal());
  Inputs<TestType> in(shape, Layout::packed, 8);
  in.q.view()(0, 0, 5, 3) = static_cast<TestType>(nan);
  in.k.view()(0, 0, 40, 3) = static_cast<TestType>(nan);
  const auto got = call(in, mask::causal());
  CHECK(same_rows(got, expected, 0, 5));
  CHECK(same_rows(got, expected, 6, 40));
  for (const Index i : {5, 40, 69}) {
    CHECK(std::isnan(static_cast<double>(got.out(0, 0, i, 2))));
    CHECK(std::isnan(static_cast<double>(got.lse(0, 0, i))));
  }
}
#endif

// Sums are finite one by one, whatever their own sum.
TEST_CASE("values whose sum over the columns overflows are values like others") {
  const Shape shape{1, 1, 1, 20, 20, 64, 64};
  Inputs<BFloat16> in(shape, Layout::packed, 14);
  const auto large = static_cast<BFloat16>(4e36f);
  for (Index j = 0; j < shape.Lk; ++j) {
    for (Index d = 0; d < shape.Dv; ++d) in.v.view()(0, 0, j, d) = large;
  }
  const auto got = call(in, mask::causal());
  for (Index i = 0; i < shape.Lq; ++i) {
    for (Index d = 0; d < shape.Dv; ++d) {
      REQUIRE(std::abs(static_cast<double>(got.out(0, 0, i, d)) / static_cast<double>(large) - 1) <
              0.01);
    }
  }
}

// Without tensor cores; on them such sums are infinite.
TEMPLATE_TEST_CASE("values up to the largest number have a finite mean", "", float, double) {
  const Shape shape{1, 1, 1, 20, 70, 8, 40};
  constexpr auto most = std::numeric_limits<TestType>::max();
  Inputs<TestType> in(shape, Layout::packed, 15);
  for (Index j = 0; j < shape.Lk; ++j) {
    in.v.view()(0, 0, j, 0) = most;
    in.v.view()(0, 0, j, 1) = -most / 2;
  }
  const auto expected = call(in, mask::causal());
  for (Index i = 0; i < shape.Lq; ++i) {
    REQUIRE(expected.out(0, 0, i, 0) / most == Approx(1).epsilon(1e-5));
    REQUIRE(expected.out(0, 0, i, 1) / most == Approx(-0.5).epsilon(1e-5));
  }
  in.v.view()(0, 0, 60, 0) = static_cast<TestType>(infinity);
  const auto got = call(in, mask::causal());
  REQUIRE(same_rows(got, expected, 0, 10));
  REQUIRE(got.out(0, 0, 10, 0) == static_cast<TestType>(infinity));
}

// A score's size changes nothing but the log-sum-exp; keys 0 and 1 by turns are 0.5 apart. 200 keys
// are several tiles, whose maxima rise.
TEMPLATE_TEST_CASE("scores lose no digits by their size", "", BFloat16, Half, float, double) {
  const Shape shape{1, 1, 1, 3, 200, 8, 8};
  Inputs<TestType> in(shape, Layout::packed, 16);
  for (const float size : {96.0f, -96.0f}) {
    for (Index j = 0; j < shape.Lk; ++j) {
      const float rise = j < 150 ? 0.0f : 0.5f;
      in.k.view()(0, 0, j, 0) = static_cast<TestType>(size + rise);
      for (Index d = 1; d < shape.D; ++d) in.k.view()(0, 0, j, d) = static_cast<TestType>(0.0f);
      in.v.view()(0, 0, j, 0) = static_cast<TestType>(j < 150 ? 0.0f : 1.0f);
    }
    for (Index i = 0; i < shape.Lq; ++i) in.q.view()(0, 0, i, 0) = static_cast<TestType>(1.0f);
    const auto got = call(in, mask::any(), {}, {.scale = 0.5});
    const double share = 50 * std::exp(0.25) / (150 + 50 * std::exp(0.25));
    const double u = test::unit_roundoff<Accum<TestType>>();
    const double rounding = sizeof(TestType) < 4 ? test::unit_roundoff<TestType>() : 0.0;
    for (Index i = 0; i < shape.Lq; ++i) {
      CAPTURE(size, i, got.out(0, 0, i, 0), share);
      REQUIRE(std::abs(static_cast<double>(got.out(0, 0, i, 0)) / share - 1) <= 12 * u + rounding);
    }
  }
}

TEMPLATE_TEST_CASE("a row that sees no key is 0, its lse −inf", "", BFloat16, Half, float, double) {
  const Shape shape{1, 1, 1, 100, 40, 24, 16};  // the first 60 queries come before every key
  Inputs<TestType> in(shape, Layout::packed, 9);
  in.v.view()(0, 0, 0, 0) = static_cast<TestType>(nan);
  for (const auto& mask : {mask::any(mask::causal()), mask::any(~mask::any())}) {
    const auto got = call(in, mask);
    for (const Index i : {0, 59}) {
      for (Index d = 0; d < shape.Dv; ++d) REQUIRE(static_cast<double>(got.out(0, 0, i, d)) == 0);
      REQUIRE(static_cast<double>(got.lse(0, 0, i)) == -infinity);
    }
  }
}

TEMPLATE_TEST_CASE("everything dropped is 0", "", BFloat16, float) {
  const Inputs<TestType> in({1, 1, 1, 10, 70, 16, 16}, Layout::packed, 10);
  const auto got = call(in, {}, {}, {.dropout = 1, .seed = 1});
  CHECK(test::max_magnitude(got.out) == 0);
}

// With one key a query, out is v or nothing: the very bits of dropout, for every head and batch.
TEMPLATE_TEST_CASE("dropout keeps what the CPU keeps", "", BFloat16, float) {
  const Shape shape{2, 2, 2, 70, 70, 8, 8};
  const Inputs<TestType> in(shape, Layout::packed, 12);
  const mask::any diagonal = mask::window(0);
  const Options options{.dropout = 0.5, .seed = 0x123456789abcdef0u};
  const auto got = call(in, diagonal, {}, options);
  const Dropout dropout = Dropout::of(options.dropout, options.seed);
  for (std::uint32_t b = 0; b < 2; ++b) {
    for (std::uint32_t h = 0; h < 2; ++h) {
      for (std::uint32_t i = 0; i < 70; ++i) {
        const bool dropped = static_cast<double>(got.out(b, h, i, 0)) == 0;
        REQUIRE(dropped == !dropout.keeps(b, h, i, i));
      }
    }
  }
}

TEMPLATE_TEST_CASE("a head has the same bits alone and in a batch", "", BFloat16, float) {
  const Shape shape{2, 4, 2, 70, 130, 40, 40};
  const Inputs<TestType> in(shape, Layout::packed, 13);
  const auto all = call(in, mask::causal());
  const auto one = [](const View<const TestType, 4>& x, Index b, Index h) {
    return View<const TestType, 4>{x.data + x.offset(b, h, 0, 0),
                                   {1, 1, x.extent[2], x.extent[3]},
                                   {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}};
  };
  const auto alone = emulate(one(in.q.cview(), 1, 3), one(in.k.cview(), 1, 1),
                             one(in.v.cview(), 1, 1), mask::any(mask::causal()));
  const auto rows = static_cast<std::size_t>(70 * 40);
  CHECK(same_bytes(alone.out.data(), all.out.data() + 7 * rows, rows * sizeof(TestType)));
}

}  // namespace heed
