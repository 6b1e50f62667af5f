// Tokens of a cache of one sequence as dense tensors, and what changes its middle.
#pragma once

#include <span>

#include "heed/heed.hpp"

namespace heed::models {

// The tokens from `first` on, so many as k and v hold.
//
//   k  [1, Hkv, n, D]    written
//   v  [1, Hkv, n, Dv]   written
void read_tokens(const kv::Cache<float>& cache, Index first, Tensor4<float>& k, Tensor4<float>& v);

// The weights of one query over all keys.
//
//   q        [1, heads, 1, D]
//   returns  [heads, length]
Tensor2<float> look_at(const View<float, 4>& q, const kv::Cache<float>& cache);

// Forgets tokens [first, first + count): those behind move up, and their keys are turned back by
// `count` positions, so that every distance within the cache is what it would be without the gap.
// Xiao et al., "Efficient Streaming Language Models with Attention Sinks" (2024), section 3.2.
class ForgetTokens {
 public:
  // Allocates all that the calls need; they allocate nothing.
  ForgetTokens(const kv::Cache<float>& like, const position::RopeFrequencies& frequencies,
               Index first, Index count);

  // `cache` has the extents and the length of the constructor's.
  void operator()(kv::Cache<float>& cache);

 private:
  Index first_, count_;
  Tensor4<float> k_, v_;  // the tokens behind
  position::RopeTable<float> back_;
  std::vector<Index> places_;
};

// Keeps tokens `kept` of those from `first` on, counted from there, in ascending order.
void keep_tokens(kv::Cache<float>& cache, Index first, std::span<const Index> kept);

}  // namespace heed::models
