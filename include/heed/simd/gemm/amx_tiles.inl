// The kernels of machines that multiply tiles of bfloat16 (AMX): included after kernels.inl, with
// mr<float> 16 and vectors<float> 2, where the includer also provides
//
//   any_at_least(words, x)               whether one of vl<float> unsigned integers is ≥ x
//   round_pairs(low, high)               2 · vl<float> numbers rounded to bfloat16, low first
//   Tiles                                its objects live while tiles are in use, and let what is
//                                        denormal be 0, as the products of tiles do
//   tile_clear<I>()                      tile I, 16 rows of 16 words, becomes 0
//   tile_load<I>(p, stride)              its rows, `stride` floats apart
//   tile_store<I>(p, stride)
//   tile_multiply<C, A, B>()             C[r][c] += Σ_n A[r][n]·B[n][c], each n a pair of bfloat16
//
// A number of packed rows, keys, weights and values is a pair of bfloat16 along the dimension that
// is summed over, as in bf16_pairs.inl; 16 of them are a step of the sums, the last one filled with
// 0.
//
// A float is the sum of three bfloat16 with no bit lost: 8 + 8 + 8 of 24. Six of the nine products
// of such parts make its product: the three left out are at most 2⁻²⁴ of it for q·k, as much as
// float rounds away, and 2⁻²² for weights·v, where weights are cut off and not rounded; on average
// far less. Sums are float, of each step in two chains of 16, and more exact than one long chain.
// Henry, Tang, Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For
// Higher-Precision Computations" (2019).
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE amx
#include "heed/simd/target/alone.inl"
#endif

inline constexpr int step_pairs = 16;
static_assert(vl<float> == step_pairs && nr<float> == 2 * step_pairs);

// Panels of keys whose weights are split together. 24 KiB of p, so that p and as much of v fill L1.
template <int Parts>
inline constexpr int panels_per_pass = Parts == 1 ? 8 : 4;

template <int Parts>
inline constexpr TileShape amx_tile_shape{
    .mr = mr<float>,
    .nr = nr<float>,
    .vl = vl<float>,
    .k_pack = 2,
    .k_multiple = step_pairs,
    .splits = Parts,
    .kv_words = 65536,  // machines with AMX have an L2 of 2 MiB
    .packed_p = 2 * panels_per_pass<Parts>* Parts* mr<float>* step_pairs};

#include "heed/simd/gemm/pack_bf16_pairs.inl"
#include "heed/simd/gemm/pack_bf16x3.inl"

// Strides of a packed AMX operand: between its rows, and from one bf16 split to the next.
struct AmxOperand {
  Index stride;
  Index part;
};

// Tiles 0 … 3 are sums, [row tile][register of columns]; 4, 5 the row tiles' numbers, 6, 7 the
// columns'.
template <int First, int Groups>
HEED_INLINE void load_m_tiles(const float* const* a, const AmxOperand& side, int part) {
  if constexpr (First == 0) tile_load<4>(a[0] + part * side.part, side.stride);
  if constexpr (First + Groups == 2) tile_load<5>(a[1] + part * side.part, side.stride);
}
template <int N>
HEED_INLINE void load_columns(const float* b, const AmxOperand& side, int part) {
  tile_load<6>(b + part * side.part, side.stride);
  if constexpr (N == 2) tile_load<7>(b + part * side.part + vl<float>, side.stride);
}
template <int First, int Groups, int N>
HEED_INLINE void multiply_loaded() {
  if constexpr (First == 0) tile_multiply<0, 4, 6>();
  if constexpr (First == 0 && N == 2) tile_multiply<1, 4, 7>();
  if constexpr (First + Groups == 2) tile_multiply<2, 5, 6>();
  if constexpr (First + Groups == 2 && N == 2) tile_multiply<3, 5, 7>();
}

// One step of the sums of row tiles First … First + Groups − 1 and N registers of columns: the
// products of all parts that count, in an order that loads few tiles.
template <int First, int Groups, int N, int Parts>
HEED_INLINE void multiply_step(const float* const* a, const AmxOperand& rows_of, const float* b,
                               const AmxOperand& columns_of) {
  const auto m_tiles = [&](int part) { load_m_tiles<First, Groups>(a, rows_of, part); };
  const auto columns = [&](int part) { load_columns<N>(b, columns_of, part); };
  m_tiles(0);
  if constexpr (Parts == 3) {
    columns(2);
    multiply_loaded<First, Groups, N>();
    columns(1);
    multiply_loaded<First, Groups, N>();
    m_tiles(1);
    multiply_loaded<First, Groups, N>();
    columns(0);
    multiply_loaded<First, Groups, N>();
    m_tiles(2);
    multiply_loaded<First, Groups, N>();
    m_tiles(0);
  } else {
    columns(0);
  }
  multiply_loaded<First, Groups, N>();
}

template <int Groups, int N, bool Load>
HEED_INLINE void move_sums(float* const* c, Index stride) {
  constexpr int right = vl<float>;
  if constexpr (Load) {
    tile_load<0>(c[0], stride);
    if constexpr (N == 2) tile_load<1>(c[0] + right, stride);
    if constexpr (Groups == 2) tile_load<2>(c[1], stride);
    if constexpr (Groups == 2 && N == 2) tile_load<3>(c[1] + right, stride);
  } else {
    tile_store<0>(c[0], stride);
    if constexpr (N == 2) tile_store<1>(c[0] + right, stride);
    if constexpr (Groups == 2) tile_store<2>(c[1], stride);
    if constexpr (Groups == 2 && N == 2) tile_store<3>(c[1] + right, stride);
  }
}

HEED_INLINE void scale_tile(float* s, float scale) {
#pragma GCC unroll 4
  for (int n = 0; n < mr<float> * vectors<float>; ++n, s += vl<float>) {
    store(s, load(s) * scale);
  }
}

// The scores of one or two tiles, the first N registers of their keys.
template <int Groups, int N, int Parts, class Shape>
HEED_INLINE void qk_amx_tiles(const PackedA<const float, Shape>& a,
                              const PackedB<const float, Shape>& b,
                              const ScoreTiles<float, Shape>& c, int p, const int* m_tile) {
  const Index pairs = pairs_of(amx_tile_shape<Parts>, a.k);
  const AmxOperand q_side{a.stride(), pairs};
  const AmxOperand k_side{nr<float>, pairs * nr<float>};
  Array<const float*, Groups> q;
  Array<float*, Groups> s;
  for (int n = 0; n < Groups; ++n) {
    q[n] = a.tile(m_tile[n]);
    s[n] = c.tile(m_tile[n], p);
  }
  const float* kt = b.panel(p);
  tile_clear<0>(), tile_clear<1>(), tile_clear<2>(), tile_clear<3>();
  for (Index d = 0; d < pairs; d += step_pairs, kt += step_pairs * nr<float>) {
    multiply_step<0, Groups, N, Parts>(q, q_side, kt, k_side);
    for (int n = 0; n < Groups; ++n) q[n] += step_pairs;
  }
  move_sums<Groups, N, false>(s, nr<float>);
  for (int n = 0; n < Groups && a.scale != 1; ++n) scale_tile(s[n], a.scale);
}

// Those of a panel of keys, two live tiles at a time: four sums hide how long a tile's product
// takes.
template <int N, int Parts, class Shape>
HEED_INLINE void qk_amx_panel(const PackedA<const float, Shape>& a,
                              const PackedB<const float, Shape>& b,
                              const ScoreTiles<float, Shape>& c, int p) {
  Array<int, 2> m_tile;
  int waiting = 0;
  for (int g = 0; g < c.m_tiles; ++g) {
    if (!c.live(g, p)) continue;
    m_tile[waiting++] = g;
    if (waiting == 2) {
      qk_amx_tiles<2, N, Parts>(a, b, c, p, m_tile);
      waiting = 0;
    }
  }
  if (waiting == 1) qk_amx_tiles<1, N, Parts>(a, b, c, p, m_tile);
}

// c = a·b, every live tile. Beyond the last column c is whatever it was.
template <int Parts>
void qk_amx(const PackedA<const float>& q, const PackedB<const float>& kt,
            const ScoreTiles<float>& scores) {
  constexpr ConstantShape<amx_tile_shape<Parts>> shape;
  HEED_ASSERT(q.k == kt.k);
  const auto a = q.in(shape);
  const auto b = kt.in(shape);
  const auto c = scores.in(shape);
  const Tiles in_use;
  for (int p = 0; p < c.panels; ++p) {
    if (c.columns - p * nr<float> <= vl<float>) {
      qk_amx_panel<1, Parts>(a, b, c, p);
    } else {
      qk_amx_panel<2, Parts>(a, b, c, p);
    }
  }
}

#include "heed/simd/gemm/amx_tiles_pv.inl"

template <int Parts>
inline constexpr GemmKernels<float> amx_gemm{
    .qk = &qk_amx<Parts>, .pv = &pv_amx<Parts>, .pv_masked = &pv_masked_amx<Parts>};

// bfloat16 are multiplied as they are.
template <class T>
inline constexpr PackedKernels<T> amx_pairs_table{
    .isa = target_isa,
    .tile_shape = amx_tile_shape<1>,
    .folds_scale = false,
    .gemm = amx_gemm<1>,
    .pack_a = &pack_a_pairs<T, amx_tile_shape<1>>,
    .pack_b_transposed = &pack_b_transposed_pairs<T, amx_tile_shape<1>>,
    .pack_b = &pack_b_pairs<T, amx_tile_shape<1>>,
    .softmax = &softmax<float>,
    .finalize_rows = &finalize_rows<float>,
    .store_rows = &store_rows<T>,
    .store_unrounded = &store_rows<float>,
    .drop = &drop<float>};

// Elements that are widened to float are multiplied in parts.
template <class T>
inline constexpr PackedKernels<T> amx_bf16x3_table{
    .isa = target_isa,
    .tile_shape = amx_tile_shape<float_splits>,
    .folds_scale = true,
    .gemm = amx_gemm<float_splits>,
    .pack_a = &pack_a_bf16x3<T>,
    .pack_b_transposed = &pack_b_transposed_bf16x3<T>,
    .pack_b = &pack_b_bf16x3<T>,
    .softmax = &softmax<float>,
    .finalize_rows = &finalize_rows<float>,
    .store_rows = &store_rows<T>,
    .store_unrounded = &store_rows<float>,
    .drop = &drop<float>};

template <class T>
constexpr const PackedKernels<T>& amx_table() {
  if constexpr (Element<T>::format == Format::bfloat16) {
    return amx_pairs_table<T>;
  } else {
    return amx_bf16x3_table<T>;
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
