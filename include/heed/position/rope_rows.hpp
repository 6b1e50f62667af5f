// The cosines and sines that turn a token: tabulated once for many calls, or computed as a call
// goes through its tokens.
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/position/rope_frequencies.hpp"

namespace heed::position {

// Where the tokens of a call stand: token i of batch b at offset + i, or at offset + its id.
struct RopeTokens {
  Index offset = 0;                 // any, negative too
  std::span<const Index> ids = {};  // none, [L] for every batch, or [B · L], batch after batch
};

template <class R>
struct RopeRow {
  const R* cos;  // [pairs], times the magnitude
  const R* sin;
};

inline namespace HEED_ABI {

// Throws heed::Error unless there are as many ids as tokens.
template <class = void>
void check_ids(const RopeTokens& tokens, Index B, Index L) {
  const auto count = static_cast<Index>(tokens.ids.size());
  if (count == 0 || count == L || count == B * L) return;
  throw Error("heed::position::rope: " + std::to_string(count) + " ids for a length of " +
              std::to_string(L) + " and a batch of " + std::to_string(B));
}

template <class = void>
bool ids_by_batch(const RopeTokens& tokens, Index L) {
  return !tokens.ids.empty() && static_cast<Index>(tokens.ids.size()) != L;
}

// Position of token i of batch b, relative to the offset.
template <class = void>
Index place_of(const RopeTokens& tokens, Index L, Index b, Index i) {
  if (tokens.ids.empty()) return i;
  return tokens.ids[static_cast<std::size_t>((ids_by_batch(tokens, L) ? b * L : 0) + i)];
}

// Angles are in double, so that position 10^6 is as exact as position 1.
template <class R>
void turn_at(double position, const RopeFrequencies& frequencies, R* cos, R* sin) {
  for (std::size_t n = 0; n < frequencies.step.size(); ++n) {
    const double angle = position * frequencies.step[n];
    cos[n] = static_cast<R>(frequencies.magnitude * std::cos(angle));
    sin[n] = static_cast<R>(frequencies.magnitude * std::sin(angle));
  }
}

}  // namespace HEED_ABI

// Cosines and sines of positions first … first + count − 1: float for tensors of float and of half
// types, double for double. Holds 2 · count · pairs numbers.
template <class R>
class RopeTable {
 public:
  // Throws heed::Error for a negative count and where there are no pairs.
  template <class Flags = UnitFlags>
  RopeTable(Index count, const RopeFrequencies& frequencies, Index first = 0)
      : first_(first), count_(count), pairs_(static_cast<Index>(frequencies.step.size())) {
    if (count < 0 || pairs_ == 0) {
      throw Error("heed::position::RopeTable: a table of " + std::to_string(count) +
                  " positions by " + std::to_string(pairs_) + " pairs");
    }
    checked_sum(first, count);
    const auto size = static_cast<std::size_t>(checked_product(count, pairs_));
    cos_.resize(size);
    sin_.resize(size);
    for (Index row = 0; row < count; ++row) {
      turn_at(static_cast<double>(first + row), frequencies, cos_.data() + row * pairs_,
              sin_.data() + row * pairs_);
    }
  }

  Index first() const { return first_; }
  Index count() const { return count_; }
  Index dim() const { return 2 * pairs_; }
  RopeRow<R> at(Index position) const {
    const Index row = (position - first_) * pairs_;
    return {cos_.data() + row, sin_.data() + row};
  }

 private:
  Index first_, count_, pairs_;
  std::vector<R> cos_, sin_;  // [count, pairs]
};

inline namespace HEED_ABI {

// Throws heed::Error where a token stands outside the positions [first, first + count) of a table.
template <class = void>
void check_positions(Index first, Index count, const RopeTokens& tokens, Index B, Index L) {
  for (Index b = 0; b < (ids_by_batch(tokens, L) ? B : 1); ++b) {
    for (Index i = 0; i < L; ++i) {
      const Index position = checked_sum(tokens.offset, place_of(tokens, L, b, i));
      if (position >= first && position < first + count) continue;
      throw Error("heed::position::rope: position " + std::to_string(position) + " of token " +
                  std::to_string(i) + " is not among the table's " + std::to_string(count) +
                  " from " + std::to_string(first) + " on");
    }
  }
}

}  // namespace HEED_ABI

// Rows of a table, for the tokens of a call: all tokens of a head at a time, as memory likes it.
template <class R>
struct TabulatedRows {
  const RopeTable<R>& table;
  const RopeTokens& tokens;
  Index L;

  Index most() const { return L; }
  void prepare(Index, Index, Index) {}
  RopeRow<R> of(Index b, Index i) const {
    return table.at(tokens.offset + place_of(tokens, L, b, i));
  }
};

// The rows of a table for turning back: the sines negated, some tokens at a time.
template <class R>
class InverseRows {
 public:
  [[gnu::always_inline]] InverseRows(const RopeTable<R>& table, const RopeTokens& tokens, Index L)
      : rows_{table, tokens, L},
        pairs_(table.dim() / 2),
        sin_(static_cast<std::size_t>(most() * pairs_)) {}

  Index most() const { return 32; }
  [[gnu::always_inline]] void prepare(Index b, Index first, Index count) {
    first_ = first;
    for (Index n = 0; n < count; ++n) {
      const R* sin = rows_.of(b, first + n).sin;
      for (Index pair = 0; pair < pairs_; ++pair) {
        sin_[static_cast<std::size_t>(n * pairs_ + pair)] = -sin[pair];
      }
    }
  }
  RopeRow<R> of(Index b, Index i) const {
    return {rows_.of(b, i).cos, sin_.data() + (i - first_) * pairs_};
  }

 private:
  TabulatedRows<R> rows_;
  Index pairs_, first_ = 0;
  std::vector<R> sin_;  // [most(), pairs]
};

// Rows of some tokens at a time, which all heads read. Classes that derive from it fill them.
template <class R>
class BufferedRows {
 public:
  Index most() const { return 32; }
  RopeRow<R> of(Index, Index i) const {
    const Index row = (i - first_) * pairs_;
    return {cos_.data() + row, sin_.data() + row};
  }

 protected:
  [[gnu::always_inline]] explicit BufferedRows(Index pairs)
      : pairs_(pairs),
        cos_(static_cast<std::size_t>(checked_product(most(), pairs))),
        sin_(cos_.size()) {}

  Index pairs_, first_ = 0;
  std::vector<R> cos_, sin_;  // [most(), pairs]
};

// Rows computed from frequencies.
template <class R>
class ComputedRows : public BufferedRows<R> {
  using Rows = BufferedRows<R>;
  using Rows::cos_, Rows::first_, Rows::pairs_, Rows::sin_;

 public:
  [[gnu::always_inline]] ComputedRows(const RopeFrequencies& frequencies, const RopeTokens& tokens,
                                      Index L)
      : Rows(static_cast<Index>(frequencies.step.size())),
        frequencies_(frequencies),
        tokens_(tokens),
        L_(L) {}

  // Tokens [first, first + count) of batch b come next; the same ones come for b = 0, 1, ….
  [[gnu::always_inline]] void prepare(Index b, Index first, Index count) {
    first_ = first;
    if (b > 0 && !ids_by_batch(tokens_, L_)) return;
    for (Index n = 0; n < count; ++n) {
      const auto place = static_cast<double>(place_of(tokens_, L_, b, first + n));
      turn_at(static_cast<double>(tokens_.offset) + place, frequencies_, cos_.data() + n * pairs_,
              sin_.data() + n * pairs_);
    }
  }

 private:
  const RopeFrequencies& frequencies_;
  const RopeTokens& tokens_;
  Index L_;
};

}  // namespace heed::position
