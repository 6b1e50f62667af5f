// Locality-sensitive hashing of queries and keys: buckets of near directions, keys sorted by
// bucket, and the keys that each query may look at. Kitaev et al., "Reformer: The Efficient
// Transformer" (2020), section 2.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "heed/approx/kernels.hpp"
#include "heed/approx/options.hpp"
#include "heed/core/normal.hpp"
#include "heed/core/zeros.hpp"
#include "heed/mask/key_limit.hpp"
#include "heed/simd/gemm/product.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// The keys of a head in one round, sorted by bucket and then by position; padding is left out.
struct SortedKeys {
  std::vector<int> order;   // [keys], tokens
  std::vector<int> place;   // [Lk], where a token stands in the order; −1 for padding
  std::vector<int> starts;  // [buckets + 1], where a bucket begins
};

// The queries of a head in one round: which places of its keys each may look at.
struct BucketedQueries {
  std::vector<int> low, size;  // [Lq], places [low, low + size), of one bucket and two chunks
  std::vector<int> order;      // those that see any, by chunk
  std::vector<int> starts;     // [chunks + 1], where the queries of a chunk of keys begin
};

// Directions of one round, [buckets / 2, D].
template <class R>
std::vector<R> random_rotation(Index buckets, Index D, std::uint64_t seed, Index round) {
  auto rows = zeros<R>(checked_product(buckets / 2, D));
  for (std::size_t n = 0; n < rows.size(); ++n) {
    rows[n] = static_cast<R>(
        gaussian(seed, static_cast<Index>(n), static_cast<std::uint32_t>(16 + round)));
  }
  return rows;
}

// The bucket of each row of x [L, D]: argmax of [xR, −xR]. Equation 2's h. The first direction of
// equals.
//   copy(first, count, to)  rows [first, first + count) of x go to `to` [count, D]
template <class R, class F>
std::vector<int> buckets_of(Index L, Index D, const std::vector<R>& rotation, F&& copy) {
  constexpr Index block = 256;
  const auto half = static_cast<Index>(rotation.size()) / D;
  std::vector<int> buckets(static_cast<std::size_t>(L));
  auto rows = zeros<R>(checked_product(std::min(block, L), D));
  auto turned = zeros<R>(block * half);
  for (Index first = 0; first < L; first += block) {
    const Index count = std::min(block, L - first);
    copy(first, count, rows.data());
    simd::multiply<R>(matrix_of<const R>(rows.data(), count, D),
                      matrix_of(rotation.data(), half, D), matrix_of(turned.data(), count, half));
    for (Index r = 0; r < count; ++r) {
      const R* row = turned.data() + r * half;
      Index best = 0;
      for (Index n = 1; n < half; ++n) {
        if (std::abs(row[n]) > std::abs(row[best])) best = n;
      }
      buckets[static_cast<std::size_t>(first + r)] =
          static_cast<int>(row[best] < R(0) ? half + best : best);
    }
  }
  return buckets;
}

template <class R, class T>
std::vector<int> buckets_of(const View<const T, 2>& x, const std::vector<R>& rotation,
                            const CallKernels<T>& kernels) {
  return buckets_of(x.extent[0], x.extent[1], rotation, [&](Index first, Index count, R* to) {
    kernels.copy_rows(slice(x, first, count), R(1), to);
  });
}

// The first `count` items sorted by label, equal ones in ascending order; a label of −1 leaves its
// item out.
//   starts  [labels + 1], zeros; gets where each label begins
inline std::vector<int> counting_sort(const std::vector<int>& labels, Index count,
                                      std::vector<int>& starts) {
  const auto items = static_cast<std::size_t>(count);
  for (std::size_t n = 0; n < items; ++n) {
    if (labels[n] >= 0) ++starts[static_cast<std::size_t>(labels[n] + 1)];
  }
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  std::vector<int> order(static_cast<std::size_t>(starts.back())), next = starts;
  for (std::size_t n = 0; n < items; ++n) {
    if (labels[n] < 0) continue;
    const int place = next[static_cast<std::size_t>(labels[n])]++;
    order[static_cast<std::size_t>(place)] = static_cast<int>(n);
  }
  return order;
}

// Keys [0, length) by bucket.
inline SortedKeys sort_keys(const std::vector<int>& buckets, Index length, Index bucket_count) {
  SortedKeys keys{{},
                  std::vector<int>(buckets.size(), -1),
                  std::vector<int>(static_cast<std::size_t>(bucket_count + 1))};
  keys.order = counting_sort(buckets, length, keys.starts);
  for (std::size_t place = 0; place < keys.order.size(); ++place) {
    keys.place[static_cast<std::size_t>(keys.order[place])] = static_cast<int>(place);
  }
  return keys;
}

// A query aims at the last key of its bucket that is not behind it, or the first; it sees those of
// its bucket in that key's chunk and the chunk before.
inline BucketedQueries assign_to_chunks(const std::vector<int>& buckets, const SortedKeys& keys,
                                        const mask::KeyLimit& visible, Index Lk, Index chunk) {
  const std::size_t Lq = buckets.size();
  const auto chunks =
      (keys.order.size() + static_cast<std::size_t>(chunk) - 1) / static_cast<std::size_t>(chunk);
  BucketedQueries queries{
      std::vector<int>(Lq), std::vector<int>(Lq), {}, std::vector<int>(chunks + 1)};
  std::vector<int> chunk_of(Lq, -1);
  for (std::size_t i = 0; i < Lq; ++i) {
    const auto bucket = static_cast<std::size_t>(buckets[i]);
    const int begin = keys.starts[bucket], end = keys.starts[bucket + 1];
    if (begin == end) continue;
    const auto at = static_cast<Index>(i);
    const Index position = visible.causal ? at + visible.offset : at * Lk / static_cast<Index>(Lq);
    const auto behind =
        std::upper_bound(keys.order.begin() + begin, keys.order.begin() + end, position);
    const Index aim = std::max<Index>(begin, behind - keys.order.begin() - 1);
    const Index low = std::max<Index>(begin, (aim / chunk - 1) * chunk);
    const Index high = std::min<Index>(end, (aim / chunk + 1) * chunk);
    queries.low[i] = static_cast<int>(low);
    queries.size[i] = static_cast<int>(high - low);
    chunk_of[i] = static_cast<int>(aim / chunk);
  }
  queries.order = counting_sort(chunk_of, static_cast<Index>(Lq), queries.starts);
  return queries;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
