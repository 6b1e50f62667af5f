// ldmatrix and mma against plain matrices; the 16-bit formats against Eigen's.
#include "heed/core/eigen.hpp"
#include "heed/cuda/ptx.cuh"
#include "support/catch.hpp"

namespace heed {
namespace {

namespace ptx = cuda::ptx;
using cuda::Bf16;
using cuda::F16;
using simt::GlobalMemory;
using simt::Launch;
using simt::Machine;

constexpr ptx::Shared b_begin = 16 * 16 * 2;

// Small integers, so that every sum is exact.
float a_value(int row, int k) { return static_cast<float>((row * 7 + k * 3) % 11 - 5); }
float b_value(int k, int column) { return static_cast<float>((k * 5 + column * 2) % 13 - 6); }

template <class T>
void store_pair(ptx::Shared at, float low, float high) {
  ptx::store_shared(at, ptx::pack<T>(low, high));
}

}  // namespace

// a [16, 16] row by row; b as [8, 16], its columns, or as [16, 8] with .trans: keys and values.
TEMPLATE_TEST_CASE("ldmatrix feeds mma: c = a · b", "", F16, Bf16) {
  for (const bool transposed : {false, true}) {
    std::vector<float> c(16 * 8);
    GlobalMemory global;
    global.add(c.data(), c.size());
    Machine::run({.blocks = 1, .threads = 32, .shared_bytes = 1024}, global, [&] {
      const int lane = ptx::thread();
      for (int n = lane; n < 128; n += 32) {
        const int row = n / 8;
        const int k = n % 8 * 2;
        store_pair<TestType>(ptx::Shared(4 * n), a_value(row, k), a_value(row, k + 1));
      }
      for (int n = lane; n < 64; n += 32) {
        const int row = transposed ? n / 4 : n / 8;
        const int at = transposed ? n % 4 * 2 : n % 8 * 2;
        store_pair<TestType>(b_begin + ptx::Shared(4 * n),
                             transposed ? b_value(row, at) : b_value(at, row),
                             transposed ? b_value(row, at + 1) : b_value(at + 1, row));
      }
      ptx::barrier();
      std::uint32_t a[4];
      std::uint32_t b[4];
      ptx::ldmatrix(a, ptx::Shared((lane % 16) * 32 + lane / 16 * 16));
      if (transposed) {
        ptx::ldmatrix_transposed(b, b_begin + ptx::Shared(lane % 16 * 16));
      } else {
        ptx::ldmatrix(b, b_begin + ptx::Shared(lane % 8 * 32 + lane / 8 % 2 * 16));
      }
      float sum[4] = {1, 1, 1, 1};
      ptx::mma<TestType>(sum, a, b[0], b[1]);
      for (int e = 0; e < 4; ++e) {
        const simt::Place place = simt::c_place(lane, e);
        ptx::store_global(&c[std::size_t(place.row * 8 + place.column)], sum[e]);
      }
    });
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) {
        float sum = 1;
        for (int k = 0; k < 16; ++k) sum += a_value(row, k) * b_value(k, column);
        CAPTURE(transposed, row, column);
        CHECK(c[std::size_t(row * 8 + column)] == sum);
      }
    }
  }
}

// PTX ISA, the figures of the fragments: a few corners written down by hand.
TEST_CASE("fragments lie where the figures say") {
  const auto is = [](simt::Place place, int row, int column) {
    return place.row == row && place.column == column;
  };
  CHECK(is(simt::a_place(0, 0), 0, 0));
  CHECK(is(simt::a_place(5, 1), 1, 3));
  CHECK(is(simt::a_place(0, 2), 8, 0));
  CHECK(is(simt::a_place(31, 7), 15, 15));
  CHECK(is(simt::b_place(4, 0), 0, 1));
  CHECK(is(simt::b_place(3, 3), 15, 0));
  CHECK(is(simt::c_place(30, 1), 7, 5));
  CHECK(is(simt::c_place(1, 2), 8, 2));
  CHECK(is(simt::matrix_place(6, 1, false), 1, 5));
  CHECK(is(simt::matrix_place(6, 1, true), 5, 1));
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
