// Part of kernels.inl: the tiles of a few queries, of which not all rows and keys are real.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// The real rows and the keys [begin, end) of a tile at the edge.
struct RaggedTile {
  int rows, begin, end;
};

// job.run<Rows>(row) for 4, 2 or 1 rows at a time.
template <class Job>
HEED_INLINE void run_rows(const Job& job) {
  int row = 0;
  for (; row + 4 <= job.tile.rows; row += 4) job.template run<4>(row);
  if (row + 2 <= job.tile.rows) {
    job.template run<2>(row);
    row += 2;
  }
  if (row < job.tile.rows) job.template run<1>(row);
}

// f(g, p, tile) for every live tile.
template <class R, class Shape, class F>
HEED_INLINE void for_each_ragged_tile(const ScoreTiles<R, Shape>& scores, const F& f) {
  for (int g = 0; g < scores.m_tiles; ++g) {
    const int left = scores.rows - g * mr<R>;
    for (int p = 0; p < scores.panels; ++p) {
      if (!scores.live(g, p)) continue;
      const int begin = p * nr<R>, end = begin + nr<R>;
      f(g, p,
        RaggedTile{left < mr<R> ? left : mr<R>, begin,
                   end < scores.columns ? end : scores.columns});
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
