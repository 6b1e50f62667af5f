// Part of kernels.inl: the products of nn's layers, a panel of packed operands at a time.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// Features that a panel is swept through at a time, so that it stays in L1 while rows
// pass by. Measured (AVX2, 512 rows of 384 and of 1536): 16, 24 and 32 KiB are equally fast.
template <class R>
inline constexpr Index depth_block = (24 << 10) / (nr<R> * Index{sizeof(R)});

// Words of K elements.
template <class Step>
constexpr Index packed_words(Index k) {
  return (k + Step::k_pack - 1) / Step::k_pack;
}

// sums[r][c] (+)= Σ_d x[r][d]·w[d][c], `Rows` rows at a time for as long as there are so many, then
// fewer: at most two rows are computed in vain, behind the last.
template <int Rows, class R, class Step>
HEED_INLINE void multiply_rows(const R* x, Index count, Index depth, const R* w, R* sums, bool more,
                               const Step& step) {
  constexpr Index least = Rows > 1 ? Rows - Rows / 3 : 1;
  for (; count >= least; count -= Rows, x += Rows * depth, sums += Rows * nr<R>) {
    micro_kernel<Rows, vectors<R>>(RowsOfA<R>{x, depth}, depth, w, Index{nr<R>}, sums, Index{nr<R>},
                                   more, step);
  }
  if constexpr (Rows > 1) {
    if (count > 0) multiply_rows<Rows / 2>(x, count, depth, w, sums, more, step);
  }
}

// sums = x Wᵀ for one panel of W. In ascending order of the features: blocks of them only keep the
// panel in L1, and change no bit.
//   x     room for a row tile more than `count` rows
//   w     its first panel
//   sums  [count, panel], the same room
template <class R, class Step = Single<R>>
void multiply(const BlockedA<const R>& x, Index count, const PackedB<const R>& w, R* sums) {
  const Index depth = packed_words<Step>(x.k);
  const R* panel = w.data;
  HEED_ASSERT(w.k == x.k && w.width(0) == nr<R>);
  for (Index begin = 0; begin < depth; begin += depth_block<R>) {
    const Index length = depth - begin < depth_block<R> ? depth - begin : depth_block<R>;
    multiply_rows<mr<R>>(x.block(begin), count, length, panel + begin * nr<R>, sums, begin > 0,
                         Step{});
  }
  for (Index n = 0; depth == 0 && n < count * nr<R>; ++n) sums[n] = 0;
}

// c[n][r] += Σ_k a(r, k)·b[k][n] for one panel of b, rounded once a term and once for the sum of
// all: a is what pack_columns leaves.
//   c     [columns, count], columns neighbours, rows `stride` apart
//   sums  [count up to a whole row tile, panel], scratch
template <class R, class Step = Single<R>>
void multiply_columns(const BlockedA<const R>& a, Index count, const PackedB<const R>& b, R* sums,
                      R* c, Index stride, Index columns) {
  const Index depth = packed_words<Step>(a.k);
  const R* panel = b.data;
  HEED_ASSERT(b.k == a.k && b.width(0) == nr<R>);
  for (Index begin = 0; begin < depth; begin += depth_block<R>) {
    const Index length = depth - begin < depth_block<R> ? depth - begin : depth_block<R>;
    for (Index r = 0; r < count; r += mr<R>) {
      micro_kernel<mr<R>, vectors<R>>(ColumnsOfA<R>{a.block(begin) + r * length}, length,
                                      panel + begin * nr<R>, Index{nr<R>}, sums + r * nr<R>,
                                      Index{nr<R>}, begin > 0, Step{});
    }
  }
  for (Index r = 0; r < count; ++r, sums += nr<R>, c += stride) {
    if (columns == nr<R>) {
#pragma GCC unroll 16
      for (int n = 0; n < vectors<R>; ++n) {
        store(c + n * vl<R>, load(c + n * vl<R>) + load(sums + n * vl<R>));
      }
    } else {
      for (Index n = 0; n < columns; ++n) c[n] += sums[n];
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
