// The products and conversions of include/heed/cuda/arch/mma_sm80.cuh on the emulator.
#pragma once

#include "cuda/simt/formats.hpp"
#include "cuda/simt/fragments.hpp"
#include "heed/cuda/arch/simt.cuh"

namespace heed::cuda::ptx {

// The products are exact; the sum is taken in double and rounded once.
template <class T>
void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  using Fragments = simt::Fragments<sizeof(T)>;
  struct Lane {
    float* c;
    T a[Fragments::a_count], b[Fragments::b_count];
  } lane{c, {}, {}};
  static_assert(sizeof lane.a == 16 && sizeof lane.b == 8);
  std::memcpy(lane.a, a, 16);
  std::memcpy(lane.b, &b0, 4);
  std::memcpy(reinterpret_cast<char*>(lane.b) + 4, &b1, 4);
  machine().warp_wide("mma", lane, [](const auto& lanes) {
    float left[16][Fragments::depth];
    float right[8][Fragments::depth];  // transposed
    for (int n = 0; n < warp_lanes; ++n) {
      const auto* from = lanes[static_cast<std::size_t>(n)];
      for (int e = 0; e < Fragments::a_count; ++e) {
        const simt::Place place = Fragments::a_place(n, e);
        left[place.row][place.column] = simt::widen(from->a[e]);
      }
      for (int e = 0; e < Fragments::b_count; ++e) {
        const simt::Place place = Fragments::b_place(n, e);
        right[place.column][place.row] = simt::widen(from->b[e]);
      }
    }
    for (int n = 0; n < warp_lanes; ++n) {
      for (int e = 0; e < 4; ++e) {
        const simt::Place place = simt::c_place(n, e);
        float& c_element = lanes[static_cast<std::size_t>(n)]->c[e];
        double sum = static_cast<double>(c_element);
        for (int k = 0; k < Fragments::depth; ++k) {
          sum += static_cast<double>(left[place.row][k] * right[place.column][k]);
        }
        c_element = static_cast<float>(sum);
      }
    }
    ++machine().counts().mma;
  });
}

inline std::uint32_t round_tf32(float x) { return simt::narrow_tf32(x); }
inline float to_float(Tf32 x) {
  return std::bit_cast<float>(simt::narrow_tf32(std::bit_cast<float>(x.bits)));
}

template <class T>
std::uint32_t pack(float low, float high) {
  return simt::narrow<T>(low).bits | std::uint32_t{simt::narrow<T>(high).bits} << 16;
}
inline float to_float(Bf16 x) { return simt::widen(x); }
inline float to_float(F16 x) { return simt::widen(x); }

}  // namespace heed::cuda::ptx
