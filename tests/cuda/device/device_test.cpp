// The kernels on a real device meet the oracle by the rule that every path obeys.
#include <iostream>

#include "cuda/device/calls.hpp"
#include "cuda/tf32.hpp"
#include "support/error.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

using test::DeviceMask;
using test::Inputs;
using test::Layout;

template <class T>
View<T, 4> cast(const auto& x) {
  return {reinterpret_cast<T*>(x.data),
          {x.extent[0], x.extent[1], x.extent[2], x.extent[3]},
          {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}};
}

struct OnDevice {
  template <class T>
  static auto call(const Inputs<T>& in, const Shape& s, DeviceMask mask, const Options& options) {
    Result<Tensor4<T>, Tensor3<Accum<T>>> result{Tensor4<T>(s.B, s.Hq, s.Lq, s.Dv),
                                                 Tensor3<Accum<T>>(s.B, s.Hq, s.Lq)};
    const auto q = in.q.cview();
    const auto k = in.k.cview();
    const auto v = in.v.cview();
    const auto out = mutable_view_of(result.out);
    const auto lse = rows_view(result.lse);
    using Bits = test::HalfBits;
    if constexpr (std::is_same_v<T, float>) {
      test::attention_float(q, k, v, out, lse, mask, options);
    } else if constexpr (std::is_same_v<T, double>) {
      test::attention_double(q, k, v, out, lse, mask, options);
    } else if constexpr (std::is_same_v<T, Half>) {
      test::attention_half(cast<const Bits>(q), cast<const Bits>(k), cast<const Bits>(v),
                           cast<Bits>(out), lse, mask, options);
    } else {
      test::attention_bfloat16(cast<const Bits>(q), cast<const Bits>(k), cast<const Bits>(v),
                               cast<Bits>(out), lse, mask, options);
    }
    return result;
  }
};

mask::any host_mask(DeviceMask mask, const std::vector<int>& lengths) {
  if (mask == DeviceMask::causal) return mask::causal();
  if (mask == DeviceMask::window) return mask::window(40, 9);
  if (mask == DeviceMask::padding) return mask::padding(lengths);
  return {};
}

bool has_device() {
  static const bool has = test::devices() > 0;
  if (!has) {
    std::cout << "no CUDA device: kernels compiled for sm_80, sm_90, sm_100 and executed on the "
                 "emulator\n";
  }
  return has;
}

}  // namespace

TEMPLATE_TEST_CASE("the device meets the oracle", "", BFloat16, Half, float, double) {
  if (!has_device()) return;
  for (const Index D : {1, 16, 40, 64, 111, 128, 256, 300}) {
    for (const auto mask :
         {DeviceMask::none, DeviceMask::causal, DeviceMask::window, DeviceMask::padding}) {
      for (const double dropout : {0.0, 0.3}) {
        const Shape shape{2, 4, 2, 301, 333, D, D};
        const Inputs<TestType> in(shape, static_cast<Layout>(D % 3), 21);
        CAPTURE(test::name_of(shape), static_cast<int>(mask), dropout);
        const std::vector<int> lengths(2, 333 * 3 / 4);
        const auto same = host_mask(mask, lengths);
        const Options options{.dropout = dropout, .seed = 5};
        const auto q = in.q.cview();
        const auto k = in.k.cview();
        const auto v = in.v.cview();
        const auto truth = reference::attention<double>(q, k, v, same, {}, options);
        const auto naive = reference::attention(q, k, v, same, {}, options);
        const auto result = OnDevice::call(in, shape, mask, options);
        test::require_accurate<TestType>(result, naive, truth);
        const auto again = OnDevice::call(in, shape, mask, options);
        REQUIRE(test::same_bits(result.out, again.out));
        REQUIRE(test::same_bits(result.lse, again.lse));
      }
    }
  }
}

// Weights are rounded too, beside the inputs: tests/cuda/tf32_test.cpp.
TEST_CASE("floats as tf32 on the device meet the oracle of rounded inputs") {
  if (!has_device()) return;
  for (const Index D : {16, 64, 111, 128, 300}) {
    const Shape shape{2, 4, 2, 301, 333, D, D};
    const Inputs<float> in(shape, static_cast<Layout>(D % 3), 22);
    CAPTURE(test::name_of(shape));
    const auto truth =
        reference::attention<double>(test::as_tf32(in.q.cview()), test::as_tf32(in.k.cview()),
                                     test::as_tf32(in.v.cview()), mask::causal());
    const auto result = OnDevice::call(in, shape, DeviceMask::causal, {.tf32 = true});
    REQUIRE(test::max_difference(result.out, truth.out) <= 0x1p-11 + 1e-5);
    REQUIRE(test::max_difference(result.lse, truth.lse) <= 1e-5);
  }
}

// tests/cuda/fragments_test.cpp holds the emulator to the same numbers.
TEST_CASE("one ldmatrix and mma on the device give the emulator's bits") {
  if (!has_device()) return;
  const test::SmallIntegers in;
  for (const bool half : {false, true}) {
    for (const bool transposed : {false, true}) {
      CAPTURE(half, transposed);
      CHECK(test::one_product(in, half, transposed) == in.c);
    }
  }
  const test::SmallIntegers in8(8);
  CHECK(test::one_tf32_product(in8, false) == in8.c);
  CHECK(test::one_tf32_product(in8, true) == in8.c);
}

// With one key a row's result is v, scaled, or nothing: the very bits of dropout.
TEMPLATE_TEST_CASE("dropout on the device keeps what the CPU keeps", "", float, BFloat16) {
  if (!has_device()) return;
  const Shape shape{2, 2, 2, 70, 1, 8, 8};
  const Inputs<TestType> in(shape, Layout::packed, 4);
  const Options options{.dropout = 0.5, .seed = 0x123456789abcdef0u};
  const auto result = OnDevice::call(in, shape, DeviceMask::none, options);
  const Dropout dropout = Dropout::of(options.dropout, options.seed);
  for (std::uint32_t b = 0; b < 2; ++b) {
    for (std::uint32_t h = 0; h < 2; ++h) {
      for (std::uint32_t i = 0; i < 70; ++i) {
        const bool dropped = static_cast<double>(result.out(b, h, i, 0)) == 0;
        REQUIRE(dropped == !dropout.keeps(b, h, i, 0));
      }
    }
  }
}

TEST_CASE("what can't be done on the device is said") {
  if (!has_device()) {
    const Shape shape{1, 1, 1, 2, 2, 3, 3};
    const Inputs<float> in(shape, Layout::packed, 1);
    CHECK_FALSE(test::error_of([&] { OnDevice::call(in, shape, DeviceMask::none, {}); }).empty());
    return;
  }
  CHECK_THAT(test::error_of([] { test::call_with_host_pointer(); }),
             test::ContainsSubstring("its memory is the host's"));
  CHECK_THAT(test::error_of([] { test::allocate_too_much(); }),
             test::ContainsSubstring("bytes on the device"));
}

}  // namespace heed
