// The kernels of machines that multiply tiles of bfloat16 (AMX): included after kernels.inl, with
// rows<float> 16 and vectors<float> 2, where the includer also provides
//
//   any_at_least(words, x)               whether one of width<float> unsigned integers is ≥ x
//   round_pairs(low, high)               2 · width<float> numbers rounded to bfloat16, low first
//   Tiles                                its objects live while tiles are in use, and let what is
//                                        denormal be 0, as the products of tiles do
//   tile_clear<I>()                      tile I, 16 rows of 16 words, becomes 0
//   tile_load<I>(p, stride)              its rows, `stride` floats apart
//   tile_store<I>(p, stride)
//   tile_multiply<C, A, B>()             C[r][c] += Σ_n A[r][n]·B[n][c], each n a pair of bfloat16
//
// A number of packed rows, keys, weights and values is a pair of bfloat16 along the dimension that
// is summed over, as in pairs.inl; 16 of them are a step of the sums, the last one filled with 0.
//
// A float is the sum of three bfloat16 with no bit lost: 8 + 8 + 8 of 24. Six of the nine products
// of such parts make its product: the three left out are at most 2⁻²⁴ of it for q·k, as much as
// float rounds away, and 2⁻²² for weights·v, where weights are cut off and not rounded; on average
// far less. Sums are float, of each step in two chains of 16, and more exact than one long chain.
// Henry, Tang, Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For
// Higher-Precision Computations" (2019).

inline constexpr int step_pairs = 16;
static_assert(width<float> == step_pairs && panel<float> == 2 * step_pairs);

#include "heed/simd/pair_packing.inl"
#include "heed/simd/part_packing.inl"

// What the products of a strip walk over: rows of both sides, and from one part to the next.
struct TileSide {
  Index stride;
  Index part;
};

// Tiles 0 … 3 are sums, [group][register of columns]; 4, 5 the groups' numbers, 6, 7 the columns'.
template <int First, int Groups>
HEED_INLINE void load_groups(const float* const* a, const TileSide& side, int part) {
  if constexpr (First == 0) tile_load<4>(a[0] + part * side.part, side.stride);
  if constexpr (First + Groups == 2) tile_load<5>(a[1] + part * side.part, side.stride);
}
template <int N>
HEED_INLINE void load_columns(const float* b, const TileSide& side, int part) {
  tile_load<6>(b + part * side.part, side.stride);
  if constexpr (N == 2) tile_load<7>(b + part * side.part + width<float>, side.stride);
}
template <int First, int Groups, int N>
HEED_INLINE void multiply_loaded() {
  if constexpr (First == 0) tile_multiply<0, 4, 6>();
  if constexpr (First == 0 && N == 2) tile_multiply<1, 4, 7>();
  if constexpr (First + Groups == 2) tile_multiply<2, 5, 6>();
  if constexpr (First + Groups == 2 && N == 2) tile_multiply<3, 5, 7>();
}

// One step of the sums of groups First … First + Groups − 1 and N registers of columns: the
// products of all parts that count, in an order that loads few tiles.
template <int First, int Groups, int N, int Parts>
HEED_INLINE void multiply_step(const float* const* a, const TileSide& rows_of, const float* b,
                               const TileSide& columns_of) {
  const auto groups = [&](int part) { load_groups<First, Groups>(a, rows_of, part); };
  const auto columns = [&](int part) { load_columns<N>(b, columns_of, part); };
  groups(0);
  if constexpr (Parts == 3) {
    columns(2);
    multiply_loaded<First, Groups, N>();
    columns(1);
    multiply_loaded<First, Groups, N>();
    groups(1);
    multiply_loaded<First, Groups, N>();
    columns(0);
    multiply_loaded<First, Groups, N>();
    groups(2);
    multiply_loaded<First, Groups, N>();
    groups(0);
  } else {
    columns(0);
  }
  multiply_loaded<First, Groups, N>();
}

template <int Groups, int N, bool Load>
HEED_INLINE void move_sums(float* const* c, Index stride) {
  constexpr int right = width<float>;
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

HEED_INLINE void scale_cell(float* s, float scale) {
#pragma GCC unroll 4
  for (int n = 0; n < rows<float> * vectors<float>; ++n, s += width<float>) {
    store(s, load(s) * scale);
  }
}

// The scores of one or two cells, the first N registers of their keys.
template <int Groups, int N, int Parts>
HEED_INLINE void dots_tiles_of(const Strip<float>& strip, int p, const int* group) {
  const Index pairs = whole_pairs<step_pairs>(strip.D);
  const TileSide q_side{Parts * pairs, pairs};
  const TileSide k_side{panel<float>, pairs * panel<float>};
  Array<const float*, Groups> q;
  Array<float*, Groups> s;
  for (int n = 0; n < Groups; ++n) {
    q[n] = strip.q + group[n] * rows<float> * q_side.stride;
    s[n] = strip.scores + (Index{group[n]} * strip.panels + p) * rows<float> * panel<float>;
  }
  const float* kt = strip.kt + p * Parts * k_side.part;
  tile_clear<0>(), tile_clear<1>(), tile_clear<2>(), tile_clear<3>();
  for (Index d = 0; d < pairs; d += step_pairs, kt += step_pairs * panel<float>) {
    multiply_step<0, Groups, N, Parts>(q, q_side, kt, k_side);
    for (int n = 0; n < Groups; ++n) q[n] += step_pairs;
  }
  move_sums<Groups, N, false>(s, panel<float>);
  for (int n = 0; n < Groups && strip.scale != 1; ++n) scale_cell(s[n], strip.scale);
}

// Those of a panel of keys, two live cells at a time: four sums hide how long a tile's product
// takes.
template <int N, int Parts>
HEED_INLINE void dots_tile_panel(const Strip<float>& strip, int p) {
  Array<int, 2> group;
  int waiting = 0;
  for (int g = 0; g < strip.groups; ++g) {
    if (strip.live[Index{g} * strip.panels + p] == 0) continue;
    group[waiting++] = g;
    if (waiting == 2) {
      dots_tiles_of<2, N, Parts>(strip, p, group);
      waiting = 0;
    }
  }
  if (waiting == 1) dots_tiles_of<1, N, Parts>(strip, p, group);
}

// scores = q kᵀ, every live cell. Beyond the last key scores are whatever they were.
template <int Parts>
void dots_tiles(const Strip<float>& strip) {
  const Tiles in_use;
  for (int p = 0; p < strip.panels; ++p) {
    if (strip.keys - p * panel<float> <= width<float>) {
      dots_tile_panel<1, Parts>(strip, p);
    } else {
      dots_tile_panel<2, Parts>(strip, p);
    }
  }
}

#include "heed/simd/tile_values.inl"

// A table but for what packs.
template <class T, int Parts>
constexpr Kernels<T> tile_kernels() {
  Kernels<T> kernels{};
  kernels.geometry = {rows<float>, panel<float>, width<float>, 2, step_pairs, Parts};
  kernels.dots = &dots_tiles<Parts>;
  kernels.softmax = &softmax<float>;
  kernels.accumulate = &accumulate_tiles<Parts>;
  kernels.accumulate_seen = &accumulate_seen_tiles<Parts>;
  kernels.close_rows = &close_rows<float>;
  kernels.store_rows = &store_rows<T>;
  return kernels;
}

// bfloat16 are multiplied as they are, what is widened to float in parts.
template <class T>
constexpr Kernels<T> make_tiled_table() {
  if constexpr (Element<T>::format == Format::bfloat16) {
    auto kernels = tile_kernels<T, 1>();
    kernels.load_rows = &load_row_pairs<T, step_pairs>;
    kernels.pack_keys = &pack_key_pairs<T, step_pairs>;
    kernels.pack_values = &pack_value_pairs<T, step_pairs>;
    return kernels;
  } else {
    auto kernels = tile_kernels<T, float_parts>();
    kernels.load_rows = &load_row_parts<T>;
    kernels.pack_keys = &pack_key_parts<T>;
    kernels.pack_values = &pack_value_parts<T>;
    return kernels;
  }
}

template <class T>
inline constexpr Kernels<T> tiled_table = make_tiled_table<T>();
