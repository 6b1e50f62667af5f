// The order of samples: shuffled for each epoch, cut into batches, known from the batch's number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/core/random.hpp"
#include "heed/core/types.hpp"

namespace heed::train {
inline namespace HEED_ABI {

// The samples of each batch, of all in turn: each comes once an epoch. A batch may span two epochs,
// so all are of one size. Fisher and Yates (1938); Durstenfeld (1964).
class Shuffled {
 public:
  // Throws heed::Error unless 1 <= batch size <= samples.
  Shuffled(Index samples, Index batch_size, std::uint64_t seed = 0)
      : samples_(samples), batch_size_(batch_size), seed_(seed) {
    if (batch_size >= 1 && batch_size <= samples) return;
    throw Error("heed::train::Shuffled: the batch size " + std::to_string(batch_size) +
                " is outside [1, " + std::to_string(samples) + "] of the samples");
  }

  Index samples() const { return samples_; }
  Index batch_size() const { return batch_size_; }

  // Numbers of the samples of batch n. O(samples) where an epoch begins, whose order is kept: calls
  // from several threads need an object each. Throws heed::Error where n is negative.
  std::vector<Index> operator()(Index n) const {
    if (n < 0) throw Error("heed::train::Shuffled: batch " + std::to_string(n));
    std::vector<Index> batch;
    batch.reserve(static_cast<std::size_t>(batch_size_));
    for (Index i = n * batch_size_; i < (n + 1) * batch_size_; ++i) {
      if (i / samples_ != epoch_) shuffle(i / samples_);
      batch.push_back(order_[static_cast<std::size_t>(i % samples_)]);
    }
    return batch;
  }

 private:
  void shuffle(Index epoch) const {
    order_.resize(static_cast<std::size_t>(samples_));
    std::iota(order_.begin(), order_.end(), Index{0});
    const auto number = static_cast<std::uint32_t>(epoch);
    for (Index i = samples_ - 1; i > 0; --i) {
      const std::uint64_t word =
          low_half(philox(seed_, {static_cast<std::uint32_t>(i), number, 0, 0xFFFFFFFDu}));
      const auto other = static_cast<std::size_t>(word % static_cast<std::uint64_t>(i + 1));
      std::swap(order_[static_cast<std::size_t>(i)], order_[other]);
    }
    epoch_ = epoch;
  }

  Index samples_, batch_size_;
  std::uint64_t seed_;
  mutable std::vector<Index> order_;  // of epoch_
  mutable Index epoch_ = -1;
};

}  // namespace HEED_ABI
}  // namespace heed::train
