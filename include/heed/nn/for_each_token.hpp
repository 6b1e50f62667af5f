// A loop over tokens on several threads, where there are enough of them.
#pragma once

#include <algorithm>

#include "heed/core/parallel.hpp"
#include "heed/nn/options.hpp"
#include "heed/nn/tokens.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// f(n) for each token n of x. Tasks have 16384 numbers: fewer are not worth another thread.
template <class T, class F>
void for_each_token(const View<T, 3>& x, const Options& options, const F& f) {
  constexpr Index least = 16384;
  const Index tokens = token_count(x),
              block = std::max<Index>(1, least / std::max<Index>(1, x.extent[2]));
  const Index tasks = (tokens + block - 1) / block;
  const int workers = worker_count(tasks, options.threads, options.executor);
  parallel_for(tasks, workers, options.executor, [&](Index task, int) {
    for (Index n = task * block; n < std::min(tokens, (task + 1) * block); ++n) f(n);
  });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
