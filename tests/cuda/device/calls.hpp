// Calls on a real device for a test that g++ compiles: nvcc sees calls.cu, Catch and Eigen do not.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/small_integers.hpp"
#include "heed/attention/options.hpp"
#include "heed/core/view.hpp"

namespace heed::test {

enum class DeviceMask { none, causal, window, padding };

// Each copies q, k and v over, calls heed::cuda::attention on a stream of its own and copies out
// and lse back. Padding leaves every batch three quarters of the keys. Two-byte elements come as
// bits.
void attention_float(const View<const float, 4>& q, const View<const float, 4>& k,
                     const View<const float, 4>& v, const View<float, 4>& out,
                     const View<float, 3>& lse, DeviceMask mask, const Options& options);
void attention_double(const View<const double, 4>& q, const View<const double, 4>& k,
                      const View<const double, 4>& v, const View<double, 4>& out,
                      const View<double, 3>& lse, DeviceMask mask, const Options& options);

using HalfBits = std::uint16_t;
void attention_half(const View<const HalfBits, 4>& q, const View<const HalfBits, 4>& k,
                    const View<const HalfBits, 4>& v, const View<HalfBits, 4>& out,
                    const View<float, 3>& lse, DeviceMask mask, const Options& options);
void attention_bfloat16(const View<const HalfBits, 4>& q, const View<const HalfBits, 4>& k,
                        const View<const HalfBits, 4>& v, const View<HalfBits, 4>& out,
                        const View<float, 3>& lse, DeviceMask mask, const Options& options);

int devices();

// OneProduct of small integers: c [16, 8] of a [16, 16] and b [16, 8], in half or bfloat16.
std::vector<float> one_product(const SmallIntegers& in, bool half, bool transposed);
// OneTf32Product, of the first eight columns and rows.
std::vector<float> one_tf32_product(const SmallIntegers& in, bool transposed);

// Both throw heed::Error.
void call_with_host_pointer();
void allocate_too_much();

}  // namespace heed::test
