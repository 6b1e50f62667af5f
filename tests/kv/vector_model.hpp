// The plainest cache: a list of tokens a sequence. It draws operations, and computes by dense calls
// what every cache must give, bit for bit.
#pragma once

#include <vector>

#include "support/contract.hpp"
#include "support/draw.hpp"

namespace heed::test {

// Tokens are numbers, from which their keys and values are drawn, rounded to T.
template <class T>
class VectorModel {
 public:
  static constexpr Index Hq = 4, Hkv = 2, D = 5, Dv = 3;
  using Tokens = std::vector<Index>;

  explicit VectorModel(Index B) : sequences_(static_cast<std::size_t>(B)) {}

  Index batch() const { return static_cast<Index>(sequences_.size()); }
  Tokens& operator[](Index b) { return sequences_[static_cast<std::size_t>(b)]; }
  Index length(Index b) { return static_cast<Index>((*this)[b].size()); }

  // n tokens of each of `entries` sequences, which have not been before.
  std::vector<Tokens> draw_tokens(Index entries, Index n) {
    std::vector<Tokens> tokens(static_cast<std::size_t>(entries));
    for (Tokens& of : tokens) {
      for (Index j = 0; j < n; ++j) of.push_back(next_++);
    }
    return tokens;
  }
  static Tensor4<float> keys(const std::vector<Tokens>& of) { return rows(of, D, 1); }
  static Tensor4<float> values(const std::vector<Tokens>& of) { return rows(of, Dv, 2); }

  void append(Index b, const Tokens& tokens) {
    (*this)[b].insert((*this)[b].end(), tokens.begin(), tokens.end());
  }
  void truncate(Index b, Index length) { (*this)[b].resize(static_cast<std::size_t>(length)); }
  void fork(const std::vector<Index>& of) {
    std::vector<Tokens> forked;
    for (const Index b : of) forked.push_back((*this)[b]);
    sequences_ = forked;
  }

  static Tensor4<float> queries(Index B, Index Lq, std::uint64_t seed) {
    Tensor4<float> q(B, Hq, Lq, D);
    for (Index n = 0; n < q.size(); ++n) q.data()[n] = static_cast<float>(3 * uniform(seed, n));
    return q;
  }

  // True where rows of sequence b in `found`, a call on q, are those of a dense call over its
  // tokens. That call has rows enough to be packed.
  template <class Found>
  bool has_rows(const Found& found, const Tensor4<float>& q, Index b, const mask::any& mask) {
    const Index Lq = q.dimension(2), padding = std::max<Index>(0, 17 - Lq);
    Tensor4<float> padded(1, Hq, padding + Lq, D);
    padded.setZero();
    for_each_row(view_of(q), [&](Index n, Index h, Index i) {
      for (Index d = 0; n == b && d < D; ++d) padded(0, h, padding + i, d) = q(b, h, i, d);
    });
    const auto dense = attention(padded, keys({(*this)[b]}), values({(*this)[b]}), mask);
    bool same = true;
    for (Index h = 0; h < Hq; ++h) {
      for (Index i = 0; i < Lq; ++i) {
        same &= same_number(found.lse(b, h, i), dense.lse(0, h, padding + i));
        for (Index d = 0; d < Dv; ++d) {
          same &= same_number(found.out(b, h, i, d), dense.out(0, h, padding + i, d));
        }
      }
    }
    return same;
  }

 private:
  static bool same_number(float a, float b) {
    return __builtin_bit_cast(std::uint32_t, a) == __builtin_bit_cast(std::uint32_t, b);
  }
  static Tensor4<float> rows(const std::vector<Tokens>& of, Index width, std::uint64_t seed) {
    Tensor4<float> x(static_cast<Index>(of.size()), Hkv, static_cast<Index>(of[0].size()), width);
    for (Index b = 0; b < x.dimension(0); ++b) {
      for (Index h = 0; h < Hkv; ++h) {
        for (Index j = 0; j < x.dimension(2); ++j) {
          const Index token = of[static_cast<std::size_t>(b)][static_cast<std::size_t>(j)];
          for (Index d = 0; d < width; ++d) {
            const auto number = uniform(seed, (token * Hkv + h) * width + d);
            x(b, h, j, d) = static_cast<float>(static_cast<T>(static_cast<float>(number)));
          }
        }
      }
    }
    return x;
  }

  std::vector<Tokens> sequences_;
  Index next_ = 0;
};

// One random operation on both: tokens for all sequences or for one, some cut off, sequences
// forked.
template <class T, class Cache>
void operate(VectorModel<T>& model, Cache& cache, std::uint64_t seed, Index longest) {
  const Index B = model.batch(), b = draw(seed, 1, B),
              n = draw(seed, 2, draw(seed, 3, 4) == 0 ? 60 : 4);
  switch (draw(seed, 0, 8)) {
    case 0: {
      const Index length = draw(seed, 4, model.length(b) + 1);
      cache.truncate(b, length);
      return model.truncate(b, length);
    }
    case 1: {
      std::vector<Index> of;
      for (Index k = 0; k < 3; ++k) of.push_back(draw(seed, static_cast<std::uint32_t>(5 + k), B));
      cache = cache.fork(of);
      return model.fork(of);
    }
    case 2:
    case 3: {
      const auto tokens = model.draw_tokens(1, n);
      if (model.length(b) + n > longest) return;
      cache.append(b, model.keys(tokens), model.values(tokens));
      return model.append(b, tokens[0]);
    }
    default: {
      const auto tokens = model.draw_tokens(B, n);
      for (Index k = 0; k < B; ++k) {
        if (model.length(k) + n > longest) return;
      }
      cache.append(model.keys(tokens), model.values(tokens));
      for (Index k = 0; k < B; ++k) model.append(k, tokens[static_cast<std::size_t>(k)]);
    }
  }
}

// `steps` random operations; after each a call of one to 20 queries, of which a sequence is looked
// at.
template <class T, class Cache>
void compare_with_model(Cache cache, Index steps, Index longest, std::uint64_t seed) {
  VectorModel<T> model(cache.extents().B);
  const mask::any masks[] = {mask::causal(), mask::causal() & mask::window(9)};
  for (Index step = 0; step < steps; ++step) {
    const std::uint64_t own = seed + static_cast<std::uint64_t>(step);
    operate(model, cache, own, longest);
    const Tensor4<float> q =
        model.queries(model.batch(), 1 + draw(own, 9, draw(own, 10, 2) == 0 ? 2 : 20), own);
    const mask::any& mask = masks[draw(own, 11, 2)];
    const auto found = attention(q, cache, mask);
    const Index b = draw(own, 12, model.batch());
    CAPTURE(step, b, q.dimension(2), model.length(b));
    for (Index k = 0; k < model.batch(); ++k) REQUIRE(cache.length(k) == model.length(k));
    REQUIRE(model.has_rows(found, q, b, mask));
  }
}

}  // namespace heed::test
