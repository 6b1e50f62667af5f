// The mask of locality-sensitive hashing: which keys of a chunk a query sees in a round.
#pragma once

#include "heed/approx/lsh/buckets.hpp"
#include "heed/simd/vector.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Masks the scores of a tile by bucket, round and position; compiled for each instruction set.
template <class R>
struct LshEpilogue {
  static constexpr R own_score = R(-1e5);  // the paper's, of a token to itself

  const int* tokens;
  const int* places;  // [rounds, capacity]
  Index capacity;

  // A row: its token, how many keys its mask shows, and where it looks in each round up to this.
  struct Row {
    int query, visible, round;
    const BucketedQueries* queries;
    bool shared;
  };

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* s, const Row& row) const {
    simd::Array<int, Panel> hidden;
    for (int c = 0; c < Panel; ++c) hidden[c] = tokens[c] < row.visible ? 0 : 1;
    for (int round = 0; round <= row.round; ++round) {
      const auto at = static_cast<std::size_t>(row.query);
      const auto low = static_cast<unsigned>(row.queries[round].low[at]);
      const auto size = static_cast<unsigned>(row.queries[round].size[at]);
      const int* place = places + round * capacity;
      const int wanted = round == row.round ? 1 : 0;  // what an earlier round found is done
      for (int c = 0; c < Panel; ++c) {
        const int inside = static_cast<unsigned>(place[c]) - low < size ? 1 : 0;
        hidden[c] |= inside ^ wanted;
      }
    }
    for (int c = 0; c < Panel; ++c) {
      const bool own = row.shared && tokens[c] == row.query;
      s[c] = mask_if(hidden[c] != 0, select(own, own_score, s[c]));
    }
  }
};

}  // namespace HEED_ABI
}  // namespace heed::approx
