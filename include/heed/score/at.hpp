// A score at a given position: query i of batch entry b stands at offsets[b] + i among the keys,
// wherever the sequences end; mask::at for scores that go by distance.
#pragma once

#include <initializer_list>
#include <limits>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/per_batch.hpp"
#include "heed/score/combine.hpp"

namespace heed::score {

template <class Offsets, Score S>
struct At {
  Offsets offsets;  // [B], or one for all
  S inside;

  HEED_DEVICE auto bind(const Shape& shape, Index b, Index h) const {
    return score::bind(inside, shape.at(offsets[b]), b, h);
  }

  template <class Arena>
  auto to_device(Arena& arena) const {
    auto there = offsets.to_device(arena);
    auto score_there = score::to_device(inside, arena);
    return At<decltype(there), decltype(score_there)>{there, score_there};
  }

  [[gnu::always_inline]] auto gradients(const Shape& shape) const {
    return score::gradients(inside, shape);
  }

  // Distances must fit an int.
  [[gnu::always_inline]] void check(const Shape& shape) const {
    constexpr Index most = std::numeric_limits<std::int32_t>::max();
    require_batch("heed::score::at", "offsets", offsets, shape.B);
    for (Index b = 0; b < shape.B; ++b) {
      if (offsets.within(b, shape.Lk - most, most - shape.Lq)) continue;
      throw Error("heed::score::at: offset " + offsets.text(b) + " is too far from " +
                  std::to_string(shape.Lq) + " queries and " + std::to_string(shape.Lk) + " keys");
    }
    score::check(inside, shape);
  }
};

inline namespace HEED_ABI {

// ALiBi, relative and other scores by distance, with query i at offsets[b] + i.
//
//   offsets  one integer, or one per batch entry (mask::padding says of which types); may be
//            negative. Referred to, a braced list is kept. With a cache of several lengths:
//            lengths[b] − Lq.
//   inside   any score
//
// Throws heed::Error where a distance would not fit an int.
template <Borrowed Offsets, ScoreLike S>
requires(!std::is_integral_v<std::remove_cvref_t<Offsets>>) auto at(Offsets&& offsets,
                                                                    const S& inside) {
  return At<PerBatchOf<Offsets&>, AsScore<S>>{per_batch("heed::score::at", offsets),
                                              as_score(inside)};
}
template <ScoreLike S>
At<ListPerBatch, AsScore<S>> at(std::initializer_list<Index> offsets, const S& inside) {
  return {per_batch(offsets), as_score(inside)};
}
template <ScoreLike S>
At<EveryBatch, AsScore<S>> at(Index offset, const S& inside) {
  return {EveryBatch{offset}, as_score(inside)};
}

}  // namespace HEED_ABI
}  // namespace heed::score
