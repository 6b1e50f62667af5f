// One chunk of sorted keys against the queries that aim at it, in one round.
#pragma once

#include <algorithm>
#include <limits>

#include "heed/approx/kernels.hpp"
#include "heed/approx/lsh/epilogue.hpp"
#include "heed/approx/lsh/head_rows.hpp"
#include "heed/core/scratch.hpp"
#include "heed/softmax/online.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// One head of one batch: everything that its rounds read, and the running softmax of its rows.
//   Kv  HeadRows of the head
template <class T, class Kv>
struct LshHead {
  using R = Accum<T>;

  View<const T, 2> q;
  Kv kv;
  bool shared;  // k is q, and keys are to have length 1
  R scale;
  mask::KeyLimit visible;
  const SortedKeys* keys;          // [rounds]
  const BucketedQueries* queries;  // [rounds]
  R* acc;                          // [Lq, columns]
  R* max;                          // [Lq]
  R* sum;                          // [Lq]
};

// Scratch of a worker: `rows` queries and two chunks of keys at a time.
template <class R>
struct LshScratch {
  static constexpr Index rows = 96;  // a multiple of every group

  R* q;                    // [rows, D]
  R* key_rows;             // [2·chunk, D]
  R* kt;                   // PackedB of the keys
  R* value_rows;           // [2·chunk, Dv]
  R* v;                    // PackedB of the values
  R* scores;               // ScoreTiles of rows and capacity
  R* acc;                  // Accumulator of the rows
  R* max;                  // [rows]
  R* sum;                  // [rows]
  int* tokens;             // [capacity], of the keys; behind the last a token that nobody sees
  int* places;             // [rounds, capacity]
  std::uint8_t* coverage;  // [m_tiles, panels], all 1
  std::uint8_t* unmasked;  // as scores
  Index capacity;          // of keys, in whole panels

  Index tiles(const simd::TileShape& shape) const {
    return shape.m_tiles(rows) * shape.panels(capacity);
  }

  static LshScratch carve(Carver& carver, const simd::TileShape& tile_shape, const Shape& shape,
                          const LshOptions& hashing) {
    LshScratch s{};
    s.capacity = tile_shape.columns_in_panels(2 * hashing.chunk);
    const Index columns = tile_shape.columns(shape.Dv);
    s.q = carver.array<R>(simd::PackedA<R>::size(tile_shape, rows, shape.D));
    s.key_rows = carver.array<R>(checked_product(s.capacity, shape.D));
    s.kt = carver.array<R>(simd::PackedB<R>::size(tile_shape, shape.D, s.capacity));
    s.value_rows = carver.array<R>(checked_product(s.capacity, shape.Dv));
    s.v = carver.array<R>(simd::PackedB<R>::size(tile_shape, s.capacity, columns));
    s.scores = carver.array<R>(simd::ScoreTiles<R>::size(tile_shape, rows, s.capacity));
    s.acc = carver.array<R>(simd::Accumulator<R>::size(tile_shape, rows, columns));
    s.max = carver.array<R>(rows);
    s.sum = carver.array<R>(rows);
    s.tokens = carver.array<int>(s.capacity);
    s.places = carver.array<int>(checked_product(hashing.rounds, s.capacity));
    s.coverage = carver.array<std::uint8_t>(s.tiles(tile_shape));
    s.unmasked = carver.array<std::uint8_t>(rows * s.capacity);
    return s;
  }
};

// Chunk `chunk` of a round's keys and the chunk before it, packed, and the queries that see them.
template <class T, class Kv>
class LshChunk {
 public:
  using R = Accum<T>;

  LshChunk(const LshHead<T, Kv>& head, const CallKernels<T>& kernels, const LshScratch<R>& scratch,
           Index chunk_size, int round)
      : head_(head),
        kernels_(kernels),
        tile_shape_(kernels.of_sums.tile_shape),
        scratch_(scratch),
        chunk_size_(chunk_size),
        round_(round) {}

  void attend(Index chunk) {
    const BucketedQueries& queries = head_.queries[round_];
    const auto at = static_cast<std::size_t>(chunk);
    if (at + 1 >= queries.starts.size()) return;
    const Index begin = queries.starts[at], end = queries.starts[at + 1];
    if (begin == end) return;
    load_keys(chunk);
    for (Index first = begin; first < end; first += LshScratch<R>::rows) {
      attend_rows(queries.order.data() + first, std::min<Index>(LshScratch<R>::rows, end - first));
    }
  }

 private:
  void load_keys(Index chunk) {
    const SortedKeys& keys = head_.keys[round_];
    const Index first = std::max<Index>(0, (chunk - 1) * chunk_size_);
    const auto all = static_cast<Index>(keys.order.size());
    count_ = static_cast<int>(std::min((chunk + 1) * chunk_size_, all) - first);
    const Index D = head_.kv.D, Dv = head_.kv.Dv;
    std::fill_n(scratch_.tokens, scratch_.capacity, std::numeric_limits<int>::max());
    for (Index c = 0; c < count_; ++c) {
      const int token = keys.order[static_cast<std::size_t>(first + c)];
      scratch_.tokens[c] = token;
      for (int round = 0; round <= round_; ++round) {
        scratch_.places[round * scratch_.capacity + c] =
            head_.keys[round].place[static_cast<std::size_t>(token)];
      }
      R* key = scratch_.key_rows + c * D;
      head_.kv.copy(token, key, scratch_.value_rows + c * Dv);
      if (head_.shared) normalise(key, D);
    }
    for (int round = 0; round <= round_; ++round) {
      std::fill(scratch_.places + round * scratch_.capacity + count_,
                scratch_.places + (round + 1) * scratch_.capacity, -1);
    }
    kernels_.of_sums.pack_b_transposed({scratch_.key_rows, {count_, D}, {D, 1}}, keys_t());
    finite_ = kernels_.of_sums.pack_b({scratch_.value_rows, {count_, Dv}, {Dv, 1}}, values());
  }

  // Gives a key length 1, however long or short it is; a key of 0 stays.
  static void normalise(R* key, Index D) {
    R top = 0, squares = 0;
    for (Index d = 0; d < D; ++d) top = std::max(top, std::abs(key[d]));
    if (top == R(0)) return;
    for (Index d = 0; d < D; ++d) key[d] /= top;
    for (Index d = 0; d < D; ++d) squares += key[d] * key[d];
    const R factor = R(1) / std::sqrt(squares);
    for (Index d = 0; d < D; ++d) key[d] *= factor;
  }

  // Some rows: their running softmax comes in, takes these keys, and goes back.
  void attend_rows(const int* tokens, Index count) {
    const Index D = head_.q.extent[1];
    const Index rows = tile_shape_.rows_in_tiles(count);
    // A scale above 1 multiplies the scores: q times it could overflow where they do not.
    const bool folds = std::abs(head_.scale) <= R(1);
    const R early = folds ? head_.scale : R(1), late = folds ? R(1) : head_.scale;
    const simd::PackedA<R> q{scratch_.q, D, tile_shape_};
    for (Index r = 0; r < count; ++r) {
      kernels_.of_tensors.pack_a(slice(head_.q, tokens[r], 1), early, q.from_row(r));
    }
    std::fill(q.row(count), q.row(rows), R(0));
    exchange_states<true>(tokens, count);
    const auto scores =
        simd::ScoreTiles<R>::of(tile_shape_, scratch_.scores, scratch_.coverage, count, count_);
    const simd::PackedKernels<R>& kernels = kernels_.of_sums;
    kernels.gemm.qk(q, keys_t(), scores);
    const Index size = scores.tiles() * scores.tile_size();
    for (Index n = 0; late != R(1) && n < size; ++n) scores.data[n] *= late;
    for (Index r = 0; r < rows; ++r) mask_row(scores, r, r < count ? tokens[r] : -1);
    if (!finite_) {
      for (Index n = 0; n < size; ++n) scratch_.unmasked[n] = is_masked(scores.data[n]) ? 0 : 1;
    }
    kernels.softmax(scores, {scratch_.max, scratch_.sum, acc()});
    if (finite_) {
      kernels.gemm.pv(scores, values(), acc());
    } else {
      kernels.gemm.pv_masked(scores, values(), scratch_.unmasked, acc());
    }
    exchange_states<false>(tokens, count);
  }

  simd::PackedB<R> keys_t() const {
    return {scratch_.kt, head_.kv.D, scratch_.capacity, tile_shape_};
  }
  simd::PackedB<R> values() const {
    return {scratch_.v, scratch_.capacity, tile_shape_.columns(head_.kv.Dv), tile_shape_};
  }
  simd::Accumulator<R> acc() const {
    return {scratch_.acc, tile_shape_.columns(head_.kv.Dv), tile_shape_};
  }

  void mask_row(const simd::ScoreTiles<R>& scores, Index r, int token) const {
    const auto mask =
        simd::for_isa<R, LshEpilogue<R>, R*, typename LshEpilogue<R>::Row>(kernels_.of_sums.isa);
    const auto visible = static_cast<int>(token < 0 ? 0 : head_.visible.keys(token));
    const typename LshEpilogue<R>::Row row{std::max(token, 0), visible, round_, head_.queries,
                                           head_.shared};
    for (Index p = 0; p < scores.panels; ++p) {
      mask({scratch_.tokens + p * tile_shape_.nr, scratch_.places + p * tile_shape_.nr,
            scratch_.capacity},
           scores.row(r, p), row);
    }
  }

  // Rows of the head in and out of the layout of packed row tiles.
  template <bool In>
  void exchange_states(const int* tokens, Index count) const {
    const simd::Accumulator<R> acc = this->acc();
    const Index columns = acc.columns;
    if (In) {
      const Index rows = tile_shape_.rows_in_tiles(count);
      std::fill_n(acc.data, acc.size(tile_shape_, rows, columns), R(0));
      std::fill_n(scratch_.max, rows, softmax::Row<R>{}.max);
      std::fill_n(scratch_.sum, rows, R(0));
    }
    const auto copy = [](R* inside, R* outside, Index numbers) {
      std::copy_n(In ? outside : inside, numbers, In ? inside : outside);
    };
    for (Index r = 0; r < count; ++r) {
      copy(scratch_.max + r, head_.max + tokens[r], 1);
      copy(scratch_.sum + r, head_.sum + tokens[r], 1);
      R* outside = head_.acc + tokens[r] * columns;
      for (Index p = 0; p < acc.panels(); ++p, outside += tile_shape_.nr) {
        copy(acc.row(r, p), outside, acc.width(p));
      }
    }
  }

  const LshHead<T, Kv>& head_;
  const CallKernels<T>& kernels_;
  const simd::TileShape& tile_shape_;
  const LshScratch<R>& scratch_;
  Index chunk_size_;
  int round_;
  int count_ = 0;
  bool finite_ = true;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
