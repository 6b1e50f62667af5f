// T5's relative positions: near distances have a bucket each, far ones share buckets that grow
// logarithmically, and a head learns one number a bucket.
// Raffel et al., "Exploring the Limits of Transfer Learning" (T5, 2020), section 2.1.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "heed/core/check.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/error.hpp"
#include "heed/core/zeros.hpp"

namespace heed::score {

struct T5Options {
  int buckets = 32;
  int max_distance = 128;     // from here on all distances share the last bucket
  bool bidirectional = true;  // half of the buckets for later keys; else these share bucket 0
};

inline namespace HEED_ABI {

// a^p · b^q in base 2³², lowest digit first.
inline std::vector<std::uint32_t> product_of_powers(int a, int p, int b, int q) {
  std::vector<std::uint32_t> digits{1};
  for (int n = 0; n < p + q; ++n) {
    std::uint64_t carry = 0;
    for (std::uint32_t& digit : digits) {
      carry += std::uint64_t{digit} * static_cast<std::uint32_t>(n < p ? a : b);
      digit = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) digits.push_back(static_cast<std::uint32_t>(carry));
  }
  return digits;
}

// ⌊count · log(distance / near) / log(far / near)⌋ for near <= distance < far, without rounding
// error: where the quotient is close to a whole number m, it reaches m if and only if
// distance^count >= near^(count − m) · far^m.
inline int log_bucket(int distance, int near, int far, int count) {
  const double estimate = count * std::log(static_cast<double>(distance) / near) /
                          std::log(static_cast<double>(far) / near);
  const int whole = static_cast<int>(std::lround(estimate));
  if (std::abs(estimate - whole) > 1e-6) return static_cast<int>(estimate);
  const auto power = product_of_powers(distance, count, 1, 0);
  const auto bound = product_of_powers(near, count - whole, far, whole);
  const bool reached = power.size() != bound.size()
                           ? power.size() > bound.size()
                           : !std::lexicographical_compare(power.rbegin(), power.rend(),
                                                           bound.rbegin(), bound.rend());
  return reached ? whole : whole - 1;
}

// Throws heed::Error for options that make no buckets.
inline void check_t5(const T5Options& options) {
  const int sides = options.bidirectional ? 2 : 1;
  if (options.buckets < 2 * sides || options.buckets % sides != 0) {
    throw Error("heed::score::t5: " + std::to_string(options.buckets) + " buckets, but " +
                (options.bidirectional ? "both sides want an even number from 4 on"
                                       : "at least 2 are wanted"));
  }
  const int near = options.buckets / sides / 2;
  if (options.max_distance <= near) {
    throw Error("heed::score::t5: max_distance " + std::to_string(options.max_distance) +
                " is not above the " + std::to_string(near) + " distances that have a bucket each");
  }
}

// The bucket of distance j − i. With n = |j − i| and N buckets a side: n below N / 2, else
// N/2 + ⌊(N − N/2) · log(2n/N) / log(2·max_distance/N)⌋, at most N − 1; later keys come in the
// upper half of the buckets. Exact where floating point would have to round a whole quotient.
inline int t5_bucket(int distance, const T5Options& options = {}) {
  check_t5(options);
  const int side = options.buckets / (options.bidirectional ? 2 : 1);
  const int first = options.bidirectional && distance > 0 ? side : 0;
  if (!options.bidirectional && distance > 0) return 0;
  const int near = side / 2;
  if (distance <= -options.max_distance || distance >= options.max_distance) {
    return first + side - 1;
  }
  const int n = std::abs(distance);
  if (n < near) return first + n;
  return first + near + log_bucket(n, near, options.max_distance, side - near);
}

// The table of score::relative for T5's buckets.
//
//   buckets  [H, options.buckets]               any strides
//   returns  [H, 2 · options.max_distance + 1]  a row a head, row-major
//
// Throws heed::Error for options that make no buckets, and where the table has another number.
template <TensorLike X>
Tensor2<ScalarOf<X>> t5_table(const X& buckets, const T5Options& options = {}) {
  static_assert(rank_of<X> == 2, "heed::score::t5_table: the table is [H, buckets]");
  constexpr const char* call = "heed::score::t5_table";
  const auto from = view_of(buckets);
  check_t5(options);
  require_sane(from, call, "buckets");
  require_equal(from.extent[1], options.buckets, "the table has buckets", "the options have", call,
                [&] { return "table " + to_string(from); });
  const Index most = options.max_distance;
  Tensor2<ScalarOf<X>> table(from.extent[0], 2 * most + 1);
  for (Index distance = -most; distance <= most; ++distance) {
    const int bucket = t5_bucket(static_cast<int>(distance), options);
    for (Index h = 0; h < from.extent[0]; ++h) table(h, distance + most) = from(h, bucket);
  }
  return table;
}

// The gradient of t5_table: of the buckets from that of the table they made, as
// score::with_gradient(score::relative(table), d_table) gives it. Sums are double, rounded once.
//
//   d_table  [H, 2 · options.max_distance + 1]
//   returns  [H, options.buckets]               row-major
//
// Throws heed::Error for options that make no buckets, and where the table has another width.
template <TensorLike X>
Tensor2<ScalarOf<X>> t5_table_backward(const X& d_table, const T5Options& options = {}) {
  static_assert(rank_of<X> == 2, "heed::score::t5_table_backward: the table is [H, distances]");
  constexpr const char* call = "heed::score::t5_table_backward";
  using T = ScalarOf<X>;
  const auto from = view_of(d_table);
  check_t5(options);
  require_sane(from, call, "d_table");
  const Index most = options.max_distance;
  require_equal(from.extent[1], 2 * most + 1, "the table has distances", "the options make", call,
                [&] { return "d_table " + to_string(from); });
  Tensor2<T> d_buckets(from.extent[0], Index{options.buckets});
  std::vector<int> bucket_of;
  for (Index n = -most; n <= most; ++n) {
    bucket_of.push_back(t5_bucket(static_cast<int>(n), options));
  }
  for (Index h = 0; h < from.extent[0]; ++h) {
    auto sums = zeros<double>(options.buckets);
    for (std::size_t n = 0; n < bucket_of.size(); ++n) {
      sums[static_cast<std::size_t>(bucket_of[n])] +=
          static_cast<double>(from(h, static_cast<Index>(n)));
    }
    for (std::size_t n = 0; n < sums.size(); ++n) {
      d_buckets(h, static_cast<Index>(n)) = static_cast<T>(sums[n]);
    }
  }
  return d_buckets;
}

}  // namespace HEED_ABI
}  // namespace heed::score
