// ldmatrix and mma against plain matrices; the 16-bit formats against Eigen's.
#include "cuda/operations.cuh"
#include "cuda/small_integers.hpp"
#include "heed/core/eigen.hpp"
#include "heed/cuda/arch/copy_sm80.cuh"
#include "heed/cuda/arch/mma_sm80.cuh"
#include "support/catch.hpp"

namespace heed {
namespace {

namespace ptx = cuda::ptx;
using cuda::Bf16;
using cuda::F16;
using simt::GlobalMemory;
using simt::Launch;
using simt::Machine;

template <class Product>
std::vector<float> product(const test::SmallIntegers& in) {
  std::vector<float> c(in.c.size());
  GlobalMemory global;
  global.add(in.a.data(), in.a.size());
  global.add(in.b.data(), in.b.size());
  global.add(c.data(), c.size());
  Machine::run({.blocks = 1, .threads = 32, .shared_bytes = Product::shared_bytes}, global,
               [&] { Product::run(in.a.data(), in.b.data(), c.data()); });
  return c;
}

}  // namespace

// b as its columns, or as its rows with .trans: keys and values.
TEMPLATE_TEST_CASE("ldmatrix feeds mma: c = 1 + a · b", "", F16, Bf16) {
  const test::SmallIntegers in;
  CHECK(product<test::OneProduct<TestType, false>>(in) == in.c);
  CHECK(product<test::OneProduct<TestType, true>>(in) == in.c);
}

TEST_CASE("ldmatrix or words feed mma of tf32: c = 1 + a · b") {
  const test::SmallIntegers in(8);
  CHECK(product<test::OneTf32Product<false>>(in) == in.c);
  CHECK(product<test::OneTf32Product<true>>(in) == in.c);
}

TEST_CASE(
    "an operand of tf32 that was not rounded is a fault, a word load's conflicts are counted") {
  const GlobalMemory global;
  const Launch launch{.blocks = 1, .threads = 32, .shared_bytes = 4096};
  const auto multiply = [](std::uint32_t bits) {
    const std::uint32_t a[4] = {bits, 0, 0, 0};
    float c[4] = {};
    ptx::mma<cuda::Tf32>(c, a, 0, 0);
  };
  Machine::run(launch, global, [&] { multiply(0x3f802000u); });
  CHECK_THROWS_AS(Machine::run(launch, global, [&] { multiply(0x3f801000u); }), simt::Fault);
  const auto conflicts = [&](ptx::Shared stride) {
    return Machine::run(launch, global,
                        [=] {
                          const ptx::Shared at = stride * static_cast<ptx::Shared>(ptx::thread());
                          ptx::store_shared(at, 1u);
                          ptx::load_words(at);
                        })
        .bank_conflicts;
  };
  CHECK(conflicts(4) == 0);
  CHECK(conflicts(8) == 1);
  CHECK(conflicts(128) == 31);
}

// PTX ISA, the figures of the fragments: a few corners written down by hand.
TEST_CASE("fragments lie where the figures say") {
  const auto is = [](simt::Place place, int row, int column) {
    return place.row == row && place.column == column;
  };
  using Half16 = simt::Fragments<2>;
  CHECK(is(Half16::a_place(0, 0), 0, 0));
  CHECK(is(Half16::a_place(5, 1), 1, 3));
  CHECK(is(Half16::a_place(0, 2), 8, 0));
  CHECK(is(Half16::a_place(31, 7), 15, 15));
  CHECK(is(Half16::b_place(4, 0), 0, 1));
  CHECK(is(Half16::b_place(3, 3), 15, 0));
  using Word = simt::Fragments<4>;
  CHECK(is(Word::a_place(5, 0), 1, 1));
  CHECK(is(Word::a_place(5, 1), 9, 1));
  CHECK(is(Word::a_place(5, 2), 1, 5));
  CHECK(is(Word::a_place(31, 3), 15, 7));
  CHECK(is(Word::b_place(6, 0), 2, 1));
  CHECK(is(Word::b_place(6, 1), 6, 1));
  CHECK(is(simt::c_place(30, 1), 7, 5));
  CHECK(is(simt::c_place(1, 2), 8, 2));
  CHECK(is(simt::matrix_place(6, 1, false), 1, 5));
  CHECK(is(simt::matrix_place(6, 1, true), 5, 1));
}

TEST_CASE("tf32 keeps ten bits of the mantissa, ties away from zero") {
  const auto rounds = [](float x, float to) {
    return std::bit_cast<float>(simt::narrow_tf32(x)) == to;
  };
  for (const float sign : {1.0f, -1.0f}) {
    CHECK(rounds(sign * 1, sign * 1));
    CHECK(rounds(sign * (1 + 0x1p-10f), sign * (1 + 0x1p-10f)));
    CHECK(rounds(sign * (1 + 0x1p-11f), sign * (1 + 0x1p-10f)));  // a tie, also to the odd one
    CHECK(rounds(sign * (1 + 0x1.8p-10f), sign * (1 + 0x1p-9f)));
    CHECK(rounds(sign * (1 + 0x0.fffp-11f), sign * 1));
    CHECK(rounds(sign * std::numeric_limits<float>::max(),
                 sign * std::numeric_limits<float>::infinity()));
    CHECK(rounds(sign * std::numeric_limits<float>::infinity(),
                 sign * std::numeric_limits<float>::infinity()));
  }
  CHECK(
      is_nan(std::bit_cast<float>(simt::narrow_tf32(std::numeric_limits<float>::signaling_NaN()))));
}

TEST_CASE("every 16-bit number widens as Eigen widens it, and narrows back") {
  for (std::uint32_t n = 0; n < 0x10000u; ++n) {
    const auto bits = static_cast<std::uint16_t>(n);
    const float half = static_cast<float>(std::bit_cast<Half>(bits));
    const float brain = static_cast<float>(std::bit_cast<BFloat16>(bits));
    if (is_nan(half)) {
      REQUIRE(is_nan(simt::widen(F16{bits})));
    } else {
      REQUIRE(simt::widen(F16{bits}) == half);
      REQUIRE(simt::narrow<F16>(half).bits == bits);
    }
    if (is_nan(brain)) {
      REQUIRE(is_nan(simt::widen(Bf16{bits})));
    } else {
      REQUIRE(simt::widen(Bf16{bits}) == brain);
      REQUIRE(simt::narrow<Bf16>(brain).bits == bits);
    }
  }
}

TEST_CASE("numbers between two 16-bit numbers round as Eigen rounds them") {
  for (std::uint32_t n = 0; n < 0x7f800000u; n += 0x3ffu) {
    for (const std::uint32_t bits : {n, n | 0x80000000u, n | 0x1000u, (n & ~0xffffu) | 0x8000u}) {
      const float x = std::bit_cast<float>(bits);
      REQUIRE(simt::narrow<F16>(x).bits == std::bit_cast<std::uint16_t>(static_cast<Half>(x)));
      REQUIRE(simt::narrow<Bf16>(x).bits == std::bit_cast<std::uint16_t>(static_cast<BFloat16>(x)));
    }
  }
}

}  // namespace heed
