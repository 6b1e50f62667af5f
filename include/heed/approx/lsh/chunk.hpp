// One chunk of sorted keys against the queries that aim at it, in one round.
#pragma once

#include <algorithm>
#include <limits>

#include "heed/approx/lsh/epilogue.hpp"
#include "heed/core/scratch.hpp"
#include "heed/softmax/online.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// One head of one batch: everything that its rounds read, and the running softmax of its rows.
template <class T>
struct LshHead {
  using R = Accum<T>;

  View<const T, 2> q, k, v;
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
  R* kt;                   // [panels, D, panel]
  R* value_rows;           // [2·chunk, Dv]
  R* v;                    // [columns / panel, capacity, panel]
  R* scores;               // [m_tiles, panels, rows, panel]
  R* acc;                  // [m_tiles, columns / panel, rows, panel]
  R* max;                  // [rows]
  R* sum;                  // [rows]
  int* tokens;             // [capacity], of the keys; behind the last a token that nobody sees
  int* places;             // [rounds, capacity]
  std::uint8_t* coverage;  // [m_tiles, panels], all 1
  std::uint8_t* unmasked;  // as scores
  Index capacity;          // of keys, in whole panels

  static LshScratch carve(Carver& carver, const simd::TileShape& tile_shape, const Shape& shape,
                          const Hashing& hashing) {
    LshScratch s{};
    s.capacity = tile_shape.panels(2 * hashing.chunk) * tile_shape.nr;
    const Index columns = tile_shape.columns(shape.Dv);
    s.q = carver.array<R>(checked_product(rows, shape.D));
    s.key_rows = carver.array<R>(checked_product(s.capacity, shape.D));
    s.kt = carver.array<R>(checked_product(s.capacity, shape.D));
    s.value_rows = carver.array<R>(checked_product(s.capacity, shape.Dv));
    s.v = carver.array<R>(checked_product(s.capacity, columns));
    s.scores = carver.array<R>(checked_product(rows, s.capacity));
    s.acc = carver.array<R>(checked_product(rows, columns));
    s.max = carver.array<R>(rows);
    s.sum = carver.array<R>(rows);
    s.tokens = carver.array<int>(s.capacity);
    s.places = carver.array<int>(checked_product(hashing.rounds, s.capacity));
    s.coverage = carver.array<std::uint8_t>(rows * s.capacity / tile_shape.nr);
    s.unmasked = carver.array<std::uint8_t>(rows * s.capacity);
    return s;
  }
};

// Chunk `chunk` of a round's keys and the chunk before it, packed, and the queries that see them.
template <class T>
class LshChunk {
 public:
  using R = Accum<T>;

  LshChunk(const LshHead<T>& head, const simd::TileShape& tile_shape, const LshScratch<R>& scratch,
           Index chunk_size, int round)
      : head_(head),
        tile_shape_(tile_shape),
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
    const Index D = head_.k.extent[1], Dv = head_.v.extent[1];
    const auto& kernels = simd::kernels<T>(isa());
    std::fill_n(scratch_.tokens, scratch_.capacity, std::numeric_limits<int>::max());
    for (Index c = 0; c < count_; ++c) {
      const int token = keys.order[static_cast<std::size_t>(first + c)];
      scratch_.tokens[c] = token;
      for (int round = 0; round <= round_; ++round) {
        scratch_.places[round * scratch_.capacity + c] =
            head_.keys[round].place[static_cast<std::size_t>(token)];
      }
      R* key = scratch_.key_rows + c * D;
      kernels.pack_a(slice(head_.k, token, 1), 1, R(1), key);
      if (head_.shared) normalise(key, D);
      kernels.pack_a(slice(head_.v, token, 1), 1, R(1), scratch_.value_rows + c * Dv);
    }
    for (int round = 0; round <= round_; ++round) {
      std::fill(scratch_.places + round * scratch_.capacity + count_,
                scratch_.places + (round + 1) * scratch_.capacity, -1);
    }
    const simd::Kernels<R>& wide = simd::kernels<R>(isa());
    wide.pack_b_transposed({scratch_.key_rows, {count_, D}, {D, 1}}, count_, scratch_.kt);
    finite_ = wide.pack_b({scratch_.value_rows, {count_, Dv}, {Dv, 1}}, count_, scratch_.capacity,
                          scratch_.v);
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
    const Index rows = tile_shape_.m_tiles(count) * tile_shape_.mr;
    // A scale above 1 multiplies the scores: q times it could overflow where they do not.
    const bool folds = std::abs(head_.scale) <= R(1);
    const R early = folds ? head_.scale : R(1), late = folds ? R(1) : head_.scale;
    for (Index r = 0; r < count; ++r) {
      simd::kernels<T>(isa()).pack_a(slice(head_.q, tokens[r], 1), 1, early, scratch_.q + r * D);
    }
    std::fill(scratch_.q + count * D, scratch_.q + rows * D, R(0));
    exchange_states<true>(tokens, count);
    const simd::TileArgs<R> args = this->args(count);
    const simd::Kernels<R>& kernels = simd::kernels<R>(isa());
    kernels.qk(args);
    const Index size = rows * args.panels * tile_shape_.nr;
    for (Index n = 0; late != R(1) && n < size; ++n) scratch_.scores[n] *= late;
    for (Index r = 0; r < rows; ++r) mask_row(args, r, r < count ? tokens[r] : -1);
    if (!finite_) {
      for (Index n = 0; n < size; ++n) scratch_.unmasked[n] = is_masked(scratch_.scores[n]) ? 0 : 1;
    }
    kernels.softmax(args);
    if (finite_) {
      kernels.pv(args);
    } else {
      kernels.pv_masked(args, scratch_.unmasked);
    }
    exchange_states<false>(tokens, count);
  }

  simd::TileArgs<R> args(Index count) const {
    simd::TileArgs<R> args;
    args.queries = static_cast<int>(count);
    args.m_tiles = static_cast<int>(tile_shape_.m_tiles(count));
    args.panels = static_cast<int>(tile_shape_.panels(count_));
    args.keys = count_;
    args.D = head_.q.extent[1];
    args.columns = tile_shape_.columns(head_.v.extent[1]);
    args.capacity = scratch_.capacity;
    args.q = scratch_.q;
    args.kt = scratch_.kt;
    args.v = scratch_.v;
    args.coverage = scratch_.coverage;
    args.scores = scratch_.scores;
    args.acc = scratch_.acc;
    args.max = scratch_.max;
    args.sum = scratch_.sum;
    return args;
  }

  void mask_row(const simd::TileArgs<R>& args, Index r, int token) const {
    const auto mask = simd::for_isa<R, LshEpilogue<R>, R*, typename LshEpilogue<R>::Row>(isa());
    const auto visible = static_cast<int>(token < 0 ? 0 : head_.visible.keys(token));
    const typename LshEpilogue<R>::Row row{std::max(token, 0), visible, round_, head_.queries,
                                           head_.shared};
    for (Index p = 0; p < args.panels; ++p) {
      const Index at = (r / tile_shape_.mr * args.panels + p) * tile_shape_.mr + r % tile_shape_.mr;
      mask({scratch_.tokens + p * tile_shape_.nr, scratch_.places + p * tile_shape_.nr,
            scratch_.capacity},
           args.scores + at * tile_shape_.nr, row);
    }
  }

  // Rows of the head in and out of the layout of packed row tiles.
  template <bool In>
  void exchange_states(const int* tokens, Index count) const {
    const Index columns = tile_shape_.columns(head_.v.extent[1]);
    if (In) {
      const Index rows = tile_shape_.m_tiles(count) * tile_shape_.mr;
      std::fill_n(scratch_.acc, rows * columns, R(0));
      std::fill_n(scratch_.max, rows, softmax::Row<R>{}.max);
      std::fill_n(scratch_.sum, rows, R(0));
    }
    const auto copy = [](R* inside, R* outside, Index numbers) {
      std::copy_n(In ? outside : inside, numbers, In ? inside : outside);
    };
    for (Index r = 0; r < count; ++r) {
      copy(scratch_.max + r, head_.max + tokens[r], 1);
      copy(scratch_.sum + r, head_.sum + tokens[r], 1);
      for (Index d = 0; d < columns; d += tile_shape_.nr) {
        copy(scratch_.acc + tile_shape_.offset(r, d, columns), head_.acc + tokens[r] * columns + d,
             std::min<Index>(tile_shape_.nr, columns - d));
      }
    }
  }

  const LshHead<T>& head_;
  const simd::TileShape& tile_shape_;
  const LshScratch<R>& scratch_;
  Index chunk_size_;
  int round_;
  int count_ = 0;
  bool finite_ = true;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
