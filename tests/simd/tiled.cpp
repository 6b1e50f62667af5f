// The kernels that multiply tiles of bfloat16: those of this machine, and their body with tiles of
// plain memory.
#include "heed/core/eigen.hpp"
#include "heed/simd/kernels.hpp"
#include "simd/tables.hpp"

namespace heed::test {

using namespace simd;

// The kernels that do not depend on MR.
namespace wide_rows {

inline constexpr Isa target_isa = Isa::avx512;

template <class R>
inline constexpr int vl = 64 / sizeof(R);
template <class R>
using Vec = typename Register<R, vl<R>>::type;
template <class R>
inline constexpr int mr = 8;
template <class R>
inline constexpr int vectors = 2;

#include "heed/simd/target/gnu_operations.inl"
#include "heed/simd/target/kernels.inl"

}  // namespace wide_rows

namespace wide_tiles {

using namespace wide_rows;

inline constexpr Isa target_isa = Isa::amx;

template <class R>
inline constexpr int mr = 16;
template <class R>
inline constexpr TileShape tile_shape{mr<R>, nr<R>, vl<R>};

#include "heed/simd/attention/softmax.inl"

bool any_at_least(Words words, std::uint32_t x) {
  bool any = false;
  for (int n = 0; n < vl<float>; ++n) any |= words[n] >= x;
  return any;
}

#include "simd/gnu_pairs.inl"

// The eight tiles, lost whenever nobody uses them.
float memory[8][16][16];

void lose_tiles() {
  std::fill_n(&memory[0][0][0], 8 * 16 * 16, std::numeric_limits<float>::signaling_NaN());
}

class Tiles {
 public:
  Tiles() { lose_tiles(); }
  ~Tiles() { lose_tiles(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

template <int I>
void tile_clear() {
  std::fill_n(&memory[I][0][0], 16 * 16, 0.0F);
}
template <int I>
void tile_load(const float* p, Index stride) {
  for (int r = 0; r < 16; ++r) std::memcpy(memory[I][r], p + r * stride, sizeof memory[I][r]);
}
template <int I>
void tile_store(float* p, Index stride) {
  for (int r = 0; r < 16; ++r) std::memcpy(p + r * stride, memory[I][r], sizeof memory[I][r]);
}

// Element `which` of a pair.
float half_of(float pair, int which) {
  const auto bits = __builtin_bit_cast(std::uint32_t, pair);
  return __builtin_bit_cast(float, which == 0 ? bits << 16 : bits & 0xffff0000u);
}

template <int C, int A, int B>
void tile_multiply() {
  for (int r = 0; r < 16; ++r) {
    for (int c = 0; c < 16; ++c) {
      float chain[2] = {};
      for (int n = 0; n < 16; ++n) {
        for (int which = 0; which < 2; ++which) {
          chain[which] += half_of(memory[A][r][n], which) * half_of(memory[B][n][c], which);
        }
      }
      memory[C][r][c] += chain[0] + chain[1];
    }
  }
}

#include "heed/simd/gemm/amx_tiles.inl"

}  // namespace wide_tiles

template <class T>
Tables<T> tiled_tables() {
  Tables<T> all{{"tiles in memory", &wide_tiles::amx_table<T>(), nullptr, nullptr, nullptr}};
  if constexpr (std::is_same_v<T, BFloat16>) {  // p·v of an out that is not rounded
    all.push_back(
        {"split tiles in memory", &wide_tiles::amx_bf16x3_table<T>, nullptr, nullptr, nullptr});
  }
  if (machine_isa() == Isa::amx && tiles_are_granted()) {
    all.push_back({name_of(Isa::amx), &packed_kernels<T>(Isa::amx), nullptr, nullptr, nullptr});
  }
  return all;
}

template <class T>
Tables<T> packed_tables() {
  Tables<T> all = tiled_tables<T>();
  if constexpr (std::is_same_v<T, BFloat16>) {
    for (const Table<BFloat16>& table : paired_tables()) all.push_back(table);
  }
  return all;
}

template Tables<float> packed_tables();
template Tables<Half> packed_tables();
template Tables<BFloat16> packed_tables();

}  // namespace heed::test
