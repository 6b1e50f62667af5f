// The plainest cache: a list of tokens a sequence. It draws operations, and computes by dense calls
// what every cache must give, bit for bit. Codes of 16 features and more, whose products may be of
// bytes, are compared with a new cache of the same tokens.
#pragma once

#include <cmath>
#include <vector>

#include "heed/kv/cache.hpp"
#include "support/contract.hpp"
#include "support/draw.hpp"

namespace heed::test {

template <class T>
bool same(const View<const T, 4>& a, const View<const T, 4>& b) {
  bool equal = true;
  for_each_row(a, [&](Index n, Index h, Index i) {
    for (Index d = 0; d < a.extent[3]; ++d) equal = equal && a(n, h, i, d) == b(n, h, i, d);
  });
  return equal;
}

// Number d of a row of a token, as a cache of T keeps it exactly: rounded to T; for codes a code
// times a power of 2, with one of the largest in each row.
template <class T>
float drawn_number(std::uint64_t seed, Index row, Index d, Index width) {
  const auto number = static_cast<float>(uniform(seed, row * width + d));
  if constexpr (kv::CodeFormat<T>) {
    const int limit = (seed == 1 ? T::key_bits : T::value_bits) == 8 ? 127 : -8;
    const int code =
        d == row % width ? limit : static_cast<int>(number * static_cast<float>(limit));
    return std::ldexp(static_cast<float>(code), static_cast<int>(row % 5) - 7);
  } else {
    return static_cast<float>(static_cast<typename kv::NumberOf<T>::Type>(number));
  }
}

// Tokens are numbers, from which their keys and values are drawn.
template <class T>
class VectorModel {
 public:
  static constexpr Index Hq = 4, Hkv = 2, D = 5, Dv = 3;  // unless told
  using Tokens = std::vector<Index>;

  explicit VectorModel(Index B, Index key_dim = D, Index value_dim = Dv)
      : sequences_(static_cast<std::size_t>(B)), key_dim_(key_dim), value_dim_(value_dim) {}

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
  Tensor4<float> keys(const std::vector<Tokens>& of) const {
    return rows(of, key_dim_, key_dim_, 1);
  }
  Tensor4<float> values(const std::vector<Tokens>& of) const {
    return kv::is_latent<T> ? rows(of, value_dim_, key_dim_, 1)
                            : rows(of, value_dim_, value_dim_, 2);
  }

  void append(Index b, const Tokens& tokens) {
    (*this)[b].insert((*this)[b].end(), tokens.begin(), tokens.end());
  }
  void truncate(Index b, Index length) { (*this)[b].resize(static_cast<std::size_t>(length)); }
  void erase(Index b, Index first, Index count) {
    const auto begin = (*this)[b].begin() + first;
    (*this)[b].erase(begin, begin + count);
  }
  void fork(const std::vector<Index>& of) {
    std::vector<Tokens> forked;
    for (const Index b : of) forked.push_back((*this)[b]);
    sequences_ = forked;
  }

  Tensor4<float> queries(Index B, Index Lq, std::uint64_t seed) const {
    Tensor4<float> q(B, Hq, Lq, key_dim_);
    for (Index n = 0; n < q.size(); ++n) q.data()[n] = static_cast<float>(3 * uniform(seed, n));
    return q;
  }

  // True where rows of sequence b in `found`, a call on q, are those of a dense call over its
  // tokens. That call has rows enough to be packed.
  template <class Found>
  bool has_rows(const Found& found, const Tensor4<float>& q, Index b, const mask::any& mask) {
    const Index Lq = q.dimension(2), padding = std::max<Index>(0, 17 - Lq);
    Tensor4<float> padded(1, Hq, padding + Lq, key_dim_);
    padded.setZero();
    for_each_row(view_of(q), [&](Index n, Index h, Index i) {
      for (Index d = 0; n == b && d < key_dim_; ++d) padded(0, h, padding + i, d) = q(b, h, i, d);
    });
    const auto dense = packed_call(padded, b, mask);
    bool same = true;
    for (Index h = 0; h < Hq; ++h) {
      for (Index i = 0; i < Lq; ++i) {
        same &= same_number(found.lse(b, h, i), dense.lse(0, h, padding + i));
        for (Index d = 0; d < value_dim_; ++d) {
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
  auto packed_call(const Tensor4<float>& q, Index b, const mask::any& mask) {
    const Tensor4<float> k = keys({(*this)[b]}), v = values({(*this)[b]});
    if constexpr (kv::CodeFormat<T>) {
      if (key_dim_ >= 16) {
        kv::Cache<T> cache({1, Hkv, key_dim_, value_dim_});
        cache.append(k, v);
        return attention(q, cache, mask);
      }
    }
    return attention(q, k, v, mask);
  }
  // The first `columns` of `width` numbers of each token.
  static Tensor4<float> rows(const std::vector<Tokens>& of, Index columns, Index width,
                             std::uint64_t seed) {
    Tensor4<float> x(static_cast<Index>(of.size()), Hkv, static_cast<Index>(of[0].size()), columns);
    for (Index b = 0; b < x.dimension(0); ++b) {
      for (Index h = 0; h < Hkv; ++h) {
        for (Index j = 0; j < x.dimension(2); ++j) {
          const Index token = of[static_cast<std::size_t>(b)][static_cast<std::size_t>(j)];
          for (Index d = 0; d < columns; ++d) {
            x(b, h, j, d) = drawn_number<T>(seed, token * Hkv + h, d, width);
          }
        }
      }
    }
    return x;
  }

  std::vector<Tokens> sequences_;
  Index key_dim_, value_dim_;
  Index next_ = 0;
};

// A random operation: tokens for all sequences or for one, some cut off or erased, sequences
// forked, and a fork with tokens behind it assigned.
struct Operation {
  enum class Kind { truncate, fork, append_to_one, erase, assign, append_to_all } kind;
  Index b, length, erased;
  std::vector<Index> of;
  std::vector<std::vector<Index>> tokens;
  Tensor4<float> k, v;  // of the tokens

  template <class Model>
  static Operation draw_from(Model& model, std::uint64_t seed) {
    const Index B = model.batch(), b = draw(seed, 1, B);
    const Index n = draw(seed, 2, draw(seed, 3, 4) == 0 ? 60 : 4), kind = draw(seed, 0, 8);
    Operation drawn{Kind::append_to_all, b, draw(seed, 4, model.length(b) + 1), 0, {}, {}, {}, {}};
    drawn.erased = draw(seed, 13, model.length(b) - drawn.length + 1);
    if (kind < 5) drawn.kind = static_cast<Kind>(kind);
    for (std::uint32_t at = 5; at < 8; ++at) drawn.of.push_back(draw(seed, at, B));
    drawn.tokens = model.draw_tokens(drawn.for_all() ? B : 1, n);
    drawn.k = model.keys(drawn.tokens);
    drawn.v = model.values(drawn.tokens);
    return drawn;
  }

  bool for_all() const { return kind == Kind::append_to_all || kind == Kind::assign; }
  bool appends() const { return kind == Kind::append_to_one || for_all(); }
  Index appended() const { return appends() ? static_cast<Index>(tokens[0].size()) : 0; }

  // The tokens, to all sequences or to one; those of a latent cache are keys alone.
  template <class Cache>
  void append_to(Cache& cache) const {
    if constexpr (requires { cache.append(k); }) {
      for_all() ? cache.append(k) : cache.append(b, k);
    } else {
      for_all() ? cache.append(k, v) : cache.append(b, k, v);
    }
  }

  // Tokens that only together are erased.
  template <class Cache>
  static Index page_of(const Cache& cache) {
    if constexpr (requires { cache.page(); }) {
      return cache.page();
    } else {
      return 1;
    }
  }

  template <class Cache>
  void run(Cache& cache) const {
    const Index page = page_of(cache);
    if (kind == Kind::erase) cache.erase(b, length / page * page, erased / page * page);
    if (kind == Kind::truncate) cache.truncate(b, length);
    if (kind == Kind::fork) cache = cache.fork(of);
    if (kind == Kind::assign) {
      Cache other = cache.fork(of);
      append_to(other);
      cache = other;
    }
    if (appends() && kind != Kind::assign) append_to(cache);
  }
  template <class T, class Cache>
  void run(VectorModel<T>& model, const Cache& cache) const {
    const Index page = page_of(cache);
    if (kind == Kind::erase) model.erase(b, length / page * page, erased / page * page);
    if (kind == Kind::truncate) model.truncate(b, length);
    if (kind == Kind::fork || kind == Kind::assign) model.fork(of);
    const Index first = for_all() ? 0 : b;
    for (std::size_t n = 0; appends() && n < tokens.size(); ++n) {
      model.append(first + static_cast<Index>(n), tokens[n]);
    }
  }

  // True where a sequence would have more than `longest` tokens.
  template <class Model>
  bool is_too_long(Model& model, Index longest) const {
    bool found = false;
    for (Index n = 0; n < model.batch(); ++n) {
      const bool grows = for_all() || n == b;
      found |= grows && model.length(n) + appended() > longest;
    }
    return found;
  }
};

// A call of one to 20 queries has the bits of dense calls: of one sequence, and all have their
// lengths.
template <class T, class Cache>
void require_same_rows(VectorModel<T>& model, const Cache& cache, std::uint64_t seed) {
  const Index few = draw(seed, 10, 2) == 0 ? 2 : 20;
  const auto q = model.queries(model.batch(), 1 + draw(seed, 9, few), seed);
  const mask::any mask =
      draw(seed, 11, 2) == 0 ? mask::any(mask::causal()) : mask::causal() & mask::window(9);
  const Index b = draw(seed, 12, model.batch());
  CAPTURE(seed, b, q.dimension(2), model.length(b));
  for (Index n = 0; n < model.batch(); ++n) REQUIRE(cache.length(n) == model.length(n));
  REQUIRE(model.has_rows(attention(q, cache, mask), q, b, mask));
}

// `steps` random operations on sequences of at most `longest` tokens. Those that throw heed::Error
// must leave the cache as it was.
//   refused(cache, operation)  is told of them
template <class T, class Cache, class F>
void compare_with_model(Cache cache, Index steps, Index longest, std::uint64_t seed, F&& refused) {
  const kv::Extents extents = cache.extents();
  VectorModel<T> model(extents.B, extents.D, extents.Dv);
  for (Index step = 0; step < steps; ++step) {
    const std::uint64_t own = seed + static_cast<std::uint64_t>(step);
    const Operation operation = Operation::draw_from(model, own);
    if (operation.is_too_long(model, longest)) continue;
    try {
      operation.run(cache);
      operation.run(model, cache);
    } catch (const Error&) {
      refused(cache, operation);
    }
    require_same_rows(model, cache, own);
  }
}
template <class T, class Cache>
void compare_with_model(Cache cache, Index steps, Index longest, std::uint64_t seed) {
  compare_with_model<T>(std::move(cache), steps, longest, seed,
                        [](const auto&, const auto&) { FAIL("an operation was refused"); });
}

}  // namespace heed::test
