// Operations of amx_tiles.inl: eight AMX tiles of 16 rows of 64 bytes, which multiply 16 × 32 by
// 32 × 16 bfloat16 at once.
//
// The instructions are written out: g++ 12's intrinsics do not tell it that they read memory, and
// clang would want the target to be named in every caller.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE amx
#include "heed/simd/target/alone.inl"
#endif

HEED_INLINE bool any_at_least(Words words, std::uint32_t x) {
#if HEED_X86_BUILTINS
  constexpr int not_less = 5;
  using Ints = Register<std::int32_t, vl<float>>::type;
  return __builtin_ia32_ucmpd512_mask((Ints)words, (Ints)(Words{} + x), not_less, 0xffff) != 0;
#else
  return _mm512_cmp_epu32_mask((__m512i)words, _mm512_set1_epi32(static_cast<int>(x)),
                               _MM_CMPINT_NLT) != 0;
#endif
}

// Intel, "Architecture Instruction Set Extensions Programming Reference", LDTILECFG.
struct TileShapes {
  std::uint8_t palette = 1, first_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
alignas(64) inline constexpr TileShapes tile_shapes{};

class Tiles {
 public:
  HEED_INLINE Tiles() {
    constexpr unsigned denormals_are_zero = 0x8040;
    __builtin_ia32_ldmxcsr(control_ | denormals_are_zero);
    asm volatile("ldtilecfg %0" ::"m"(tile_shapes));
  }
  HEED_INLINE ~Tiles() {
    asm volatile("tilerelease" ::: "memory");
    __builtin_ia32_ldmxcsr(control_);
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

 private:
  unsigned control_ = __builtin_ia32_stmxcsr();
};

template <int I>
HEED_INLINE void tile_clear() {
  asm volatile("tilezero %%tmm%c0" ::"i"(I));
}
template <int I>
HEED_INLINE void tile_load(const float* p, Index stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(I), "r"(p), "r"(stride * 4) : "memory");
}
template <int I>
// NOLINTNEXTLINE(readability-non-const-parameter): the instruction writes there
HEED_INLINE void tile_store(float* p, Index stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(I), "r"(p), "r"(stride * 4) : "memory");
}
template <int C, int A, int B>
HEED_INLINE void tile_multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
