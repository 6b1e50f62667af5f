// Mask and score of a task, bound once to each of its heads.
#pragma once

#include <array>
#include <optional>

#include "heed/attention/flash/query_block.hpp"
#include "heed/core/assert.hpp"
#include "heed/mask/mask.hpp"
#include "heed/score/score.hpp"

namespace heed {

inline namespace HEED_ABI {

template <class M, class S>
struct HeadContext {
  using Mask = decltype(mask::bind(std::declval<const M&>(), Shape{}, Index{}, Index{}));
  using Score = decltype(score::bind(std::declval<const S&>(), Shape{}, Index{}, Index{}));

  Mask mask;
  Score score;
};

// Of the heads of a task, by query head.
template <class M, class S>
class HeadContexts {
 public:
  HeadContexts(const M& mask, const S& score, const Shape& shape, const QueryBlock& rows)
      : first_(rows.first_head) {
    HEED_ASSERT(rows.heads <= max_task_heads);
    for (int n = 0; n < rows.heads; ++n) {
      contexts_[static_cast<std::size_t>(n)].emplace(
          HeadContext<M, S>{mask::bind(mask, shape, rows.b, first_ + n),
                            score::bind(score, shape, rows.b, first_ + n)});
    }
  }

  const HeadContext<M, S>& operator[](Index head) const {
    HEED_ASSERT(contexts_[static_cast<std::size_t>(head - first_)].has_value());
    return *contexts_[static_cast<std::size_t>(head - first_)];
  }

 private:
  Index first_;
  std::array<std::optional<HeadContext<M, S>>, max_task_heads> contexts_;
};

}  // namespace HEED_ABI
}  // namespace heed
