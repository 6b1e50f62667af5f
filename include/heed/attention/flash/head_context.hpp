// Mask and score of a task, bound once to each of its heads.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "heed/attention/flash/query_block.hpp"
#include "heed/core/assert.hpp"
#include "heed/mask/mask.hpp"
#include "heed/score/score.hpp"

namespace heed {

inline namespace HEED_ABI {

// A mask or score for one head; itself, by reference to the call's, where it depends on none.
template <class X>
decltype(auto) bound_or_same(const X& x, const Shape& shape, Index b, Index h) {
  if constexpr (requires { x.bind(shape, b, h); }) {
    return x.bind(shape, b, h);
  } else {
    return (x);
  }
}

template <class M, class S>
struct HeadContext {
  using Mask = decltype(mask::bind(std::declval<const M&>(), Shape{}, Index{}, Index{}));
  using Score = decltype(score::bind(std::declval<const S&>(), Shape{}, Index{}, Index{}));

  decltype(bound_or_same(std::declval<const M&>(), Shape{}, Index{}, Index{})) mask;
  decltype(bound_or_same(std::declval<const S&>(), Shape{}, Index{}, Index{})) score;
};

// Of the heads of a task, by query head. Room for more heads than it has is not touched.
template <class M, class S>
class HeadContexts {
  using Context = HeadContext<M, S>;

 public:
  HeadContexts(const M& mask, const S& score, const Shape& shape, const QueryBlock& rows)
      : HeadContexts(rows.first_head) {
    HEED_ASSERT(rows.heads <= max_task_heads);
    for (int n = 0; n < rows.heads; ++n) {
      add({bound_or_same(mask, shape, rows.b, first_ + n),
           bound_or_same(score, shape, rows.b, first_ + n)});
    }
  }
  HeadContexts(const HeadContexts&) = delete;
  HeadContexts& operator=(const HeadContexts&) = delete;
  ~HeadContexts() { std::destroy_n(&contexts_[0], count_); }

  const Context& operator[](Index head) const {
    HEED_ASSERT(head >= first_ && head - first_ < count_);
    return contexts_[head - first_];
  }

 private:
  explicit HeadContexts(Index first) : first_(first) {}
  void add(Context&& context) {
    std::construct_at(&contexts_[count_], std::move(context));
    ++count_;
  }

  Index first_;
  int count_ = 0;
  union {
    Context contexts_[max_task_heads];  // NOLINT(readability-identifier-naming)
  };
};

}  // namespace HEED_ABI
}  // namespace heed
