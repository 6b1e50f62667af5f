// Numbers are made and compared by their bits: these tests also hold under -ffast-math.
#include "heed/core/types.hpp"

#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"

namespace {

float from_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }
double from_bits(std::uint64_t bits) { return std::bit_cast<double>(bits); }

struct Case32 {
  std::uint32_t bits;
  bool masked, finite, nan;
};
const std::vector<Case32> floats = {
    {0x00000000u, false, true, false}, {0x80000000u, false, true, false},   // ±0
    {0x00000001u, false, true, false}, {0x807fffffu, false, true, false},   // denormal
    {0x3f800000u, false, true, false}, {0x7f7fffffu, false, true, false},   // 1, largest
    {0xff7fffffu, false, true, false}, {0x7f800000u, false, false, false},  // lowest, +inf
    {0xff800000u, true, false, false}, {0x7fc00000u, false, false, true},   // −inf, NaN
    {0x7f800001u, false, false, true}, {0xff800001u, false, false, true},   // signalling
    {0xffffffffu, false, false, true},
};

struct Case64 {
  std::uint64_t bits;
  bool masked, finite, nan;
};
const std::vector<Case64> doubles = {
    {0x0000000000000000u, false, true, false}, {0x8000000000000000u, false, true, false},
    {0x000fffffffffffffu, false, true, false}, {0x7fefffffffffffffu, false, true, false},
    {0xffefffffffffffffu, false, true, false}, {0x7ff0000000000000u, false, false, false},
    {0xfff0000000000000u, true, false, false}, {0x7ff8000000000000u, false, false, true},
    {0xfff0000000000001u, false, false, true}, {0x7ff0000000000001u, false, false, true},
    {0xffffffff00000000u, false, false, true}, {0x00000000ff800000u, false, true, false},
};

template <class Case>
void check_case(const Case& c) {
  CAPTURE(c.bits);
  const auto x = from_bits(c.bits);
  CHECK(heed::is_masked(x) == c.masked);
  CHECK(heed::is_finite(x) == c.finite);
  CHECK(heed::is_nan(x) == c.nan);
  using Bits = decltype(c.bits);
  CHECK(std::bit_cast<std::remove_const_t<Bits>>(heed::mask_if(false, x)) == c.bits);
  CHECK(heed::is_masked(heed::mask_if(true, x)));
}

}  // namespace

TEST_CASE("a float is masked, finite or NaN by its bits") {
  for (const Case32& c : floats) check_case(c);
}

TEST_CASE("a double is masked, finite or NaN by its bits") {
  for (const Case64& c : doubles) check_case(c);
}

TEST_CASE("masking is decided while compiling too") {
  static_assert(heed::is_masked(heed::mask_if(true, 1.0f)));
  static_assert(heed::is_masked(heed::mask_if(true, 1.0)));
  static_assert(!heed::is_masked(heed::mask_if(false, -1e30f)));
  static_assert(heed::AttentionElement<float> && heed::AttentionElement<double>);
  static_assert(!heed::AttentionElement<int> && !heed::AttentionElement<bool>);
  CHECK(std::bit_cast<std::uint32_t>(heed::mask_if(true, 7.0f)) == 0xff800000u);
  CHECK(std::bit_cast<std::uint64_t>(heed::mask_if(true, 7.0)) == 0xfff0000000000000u);
}
