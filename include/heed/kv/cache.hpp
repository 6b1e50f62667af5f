// The cache of a decoding loop: keys and values of a batch of sequences that grow by appending.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "heed/core/assert.hpp"
#include "heed/core/tensor.hpp"
#include "heed/kv/checks.hpp"
#include "heed/kv/memory.hpp"

namespace heed::kv {

struct CacheOptions {
  Index capacity = 0;   // tokens of each sequence that there is room for from the start
  bool grows = true;    // capacity doubles when it is reached; else append throws heed::Error
  bool rotates = true;  // rows before they become codes (K8V8 …), and q and out with them
};

inline namespace HEED_ABI {

// A source: heed::attention(q, cache, mask::causal()). Each sequence ends for itself, so that
// without dropout batch entry b has the results of a call over its own length(b) keys. Tensors in
// masks and scores count the longest length as Lk. A row has the same bits in prefill, cut anyhow,
// and in decoding.
//
//   T  of the elements that are kept; those that are appended are rounded to it. Or a format of
//      codes, K8V8, K8V4 or K4V4: then q is float, and results are those of float keys and values
//      scale · code, bit for bit where nothing is rotated and codes are widened. With products of
//      bytes (AVX-512 BF16 and VNNI, D of 16 to 1024) q is rounded to 16 bits, beside 4-bit keys
//      to 8; weights times their values' scales to 16 bits of the largest of 32 keys, beside
//      4-bit values to 8. Or Latent<T>: values are the first Dv features of keys, and a token is
//      kept once
//
// Calls that change a cache throw heed::Error or std::bad_alloc and leave it as it was. Any number
// of threads may read it while none changes it. A copy is a cache of its own.
template <CacheElement T>
class Cache {
 public:
  using Scalar = typename NumberOf<T>::Type;
  static constexpr bool counts_from_length = true;

  explicit Cache(const Extents& extents, const CacheOptions& options = {})
      : extents_(extents), grows_(options.grows), rotated_(options.rotates) {
    constexpr const char* call = "heed::kv::Cache";
    check_extents(call, extents, is_latent<T>);
    if (options.capacity < 0 || options.capacity > max_length) {
      refuse({call, ": capacity ", options.capacity, " is outside 0 … 2^31 - 1"});
    }
    lengths_ = zeros<Index>(extents.B);
    reserve(options.capacity);
  }

  Cache(const Cache&) = default;
  // A cache that was moved from has batch 0.
  Cache(Cache&& other) noexcept
      : extents_(other.extents_),
        grows_(other.grows_),
        rotated_(other.rotated_),
        lengths_(std::exchange(other.lengths_, {})),
        memory_(std::exchange(other.memory_, {})) {
    other.extents_.B = 0;
  }
  Cache& operator=(Cache other) noexcept {
    std::swap(extents_, other.extents_);
    std::swap(grows_, other.grows_);
    std::swap(rotated_, other.rotated_);
    lengths_.swap(other.lengths_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~Cache() = default;

  Extents extents() const { return extents_; }
  Index length(Index b) const {
    HEED_ASSERT(b >= 0 && b < extents_.B);
    return lengths_[at(b)];
  }
  Index capacity() const { return memory_.tokens(); }
  std::size_t memory_bytes() const { return memory_.bytes(); }  // of keys and values

  // The next n tokens of every sequence.
  //
  //   k  [B, Hkv, n, D]    of any element type and layout; [B, n, D] or [n, D] of one key head
  //   v  [B, Hkv, n, Dv]
  //
  // k and v must not be the cache's own memory. Throws heed::Error where shapes disagree, and where
  // there is no room. Time O(B·Hkv·n·(D + Dv)), and that of copying the cache where it grows.
  template <TensorLike K, TensorLike V>
  void append(const K& k, const V& v) requires(!is_latent<T>) {
    append_to(0, extents_.B, lift(view_of(k)), lift(view_of(v)));
  }

  // The next n tokens of sequence b: k and v have batch 1.
  template <TensorLike K, TensorLike V>
  void append(Index b, const K& k, const V& v) requires(!is_latent<T>) {
    check_entry("heed::kv::Cache::append", b, extents_.B);
    append_to(b, 1, lift(view_of(k)), lift(view_of(v)));
  }

  // The same of latent keys, whose first Dv features are their values.
  template <TensorLike K>
  void append(const K& k) requires(is_latent<T>) {
    append_to(0, extents_.B, lift(view_of(k)), first_features(k, extents_.Dv));
  }
  template <TensorLike K>
  void append(Index b, const K& k) requires(is_latent<T>) {
    check_entry("heed::kv::Cache::append", b, extents_.B);
    append_to(b, 1, lift(view_of(k)), first_features(k, extents_.Dv));
  }

  // Sequence b keeps its first `length` tokens. Throws heed::Error where it has fewer.
  void truncate(Index b, Index length) {
    constexpr const char* call = "heed::kv::Cache::truncate";
    check_entry(call, b, extents_.B);
    check_truncate(call, b, length, lengths_[at(b)]);
    lengths_[at(b)] = length;
  }

  // Sequence b loses `count` tokens from `first` on; those behind move up. For a window that slides
  // with kept first tokens: erase(b, kept, dropped) where the capacity is reached. Keys stay as
  // they were rotated. Throws heed::Error where it has fewer. Time O(the tokens behind).
  void erase(Index b, Index first, Index count) {
    constexpr const char* call = "heed::kv::Cache::erase";
    check_entry(call, b, extents_.B);
    Index& length = lengths_[at(b)];
    check_erase(call, b, first, count, length);
    const Index behind = length - first - count;
    for (Index h = 0; h < extents_.Hkv; ++h) {
      const auto own = head(*this, b, h);
      own.copy(own, first + count, behind, first);
    }
    length -= count;
  }

  // A cache whose sequence n is a copy of sequence of[n]: for beams that share a prefix, or a batch
  // in another order. One that grows has room for 32 tokens more than its longest sequence. Time
  // and memory O(capacity · Hkv · (D + Dv)) a sequence.
  Cache fork(const std::vector<Index>& of) const {
    Extents extents = extents_;
    extents.B = static_cast<Index>(of.size());
    for (const Index b : of) check_entry("heed::kv::Cache::fork", b, extents_.B);
    Cache copy(extents, {grows_ ? 0 : capacity(), grows_, rotated_});
    Index longest = 0;
    for (const Index b : of) longest = std::max(longest, lengths_[at(b)]);
    if (grows_) copy.reserve(std::min(max_length, longest + more_tokens));
    for (Index n = 0; n < extents.B; ++n) copy.copy_entry(n, *this, of[at(n)]);
    return copy;
  }

  using Head = BoundMemory<T>;
  Head bind(const Shape&, Index b, Index kv_head) const { return {head(*this, b, kv_head)}; }

 private:
  static std::size_t at(Index n) { return static_cast<std::size_t>(n); }

  // Tokens for sequences [first, first + count).
  template <class K, class V>
  void append_to(Index first, Index count, const View<const K, 4>& k, const View<const V, 4>& v) {
    constexpr const char* call = "heed::kv::Cache::append";
    check_append(call, extents_, count, k, v, is_latent<T>);
    check_numbers<T>(call, k, v);
    Index longest = 0;
    for (Index b = first; b < first + count; ++b) longest = std::max(longest, lengths_[at(b)]);
    make_room(longest + k.extent[2]);
    for (Index n = 0; n < count; ++n) {
      Index& length = lengths_[at(first + n)];
      for (Index h = 0; h < extents_.Hkv; ++h) {
        head(*this, first + n, h).store(length, k.matrix(n, h), v.matrix(n, h));
      }
      length += k.extent[2];
    }
  }

  void make_room(Index tokens) {
    if (tokens <= capacity()) return;
    if (!grows_ || tokens > max_length) {
      refuse({"heed::kv::Cache::append: no room for ", tokens, " tokens of a sequence (capacity ",
              grows_ ? max_length : capacity(), ")"});
    }
    reserve(std::min(max_length, std::max(tokens, 2 * capacity())));
  }

  template <class Self>
  static auto head(Self& of, Index b, Index kv_head) {
    HEED_ASSERT(b >= 0 && b < of.extents_.B);
    return of.memory_.head(b * of.extents_.Hkv + kv_head);
  }

  void reserve(Index tokens) {
    const Index heads = checked_product(extents_.B, extents_.Hkv);
    Memory<T> memory(heads, tokens, extents_, rotated_);
    for (Index n = 0; n < heads; ++n) {
      memory.head(n).copy(std::as_const(memory_).head(n), 0, capacity(), 0);
    }
    std::swap(memory_, memory);
  }

  // Sequence b becomes sequence `other_b` of another cache.
  void copy_entry(Index b, const Cache& other, Index other_b) {
    const Index tokens = other.lengths_[at(other_b)];
    for (Index h = 0; h < extents_.Hkv; ++h) {
      head(*this, b, h).copy(head(other, other_b, h), 0, tokens, 0);
    }
    lengths_[at(b)] = tokens;
  }

  static constexpr Index more_tokens = 32;  // room of a fork

  Extents extents_;
  bool grows_, rotated_;
  std::vector<Index> lengths_;  // [B]
  Memory<T> memory_;            // [B, Hkv] heads
};

// A cache of latent attention, which keeps a token once: one key head of D = 576 numbers, values
// the first Dv = 512 of them in DeepSeek-V3. Results have the bits of a Cache of the same tokens.
template <AttentionElement T>
using LatentCache = Cache<Latent<T>>;

static_assert(Source<Cache<float>, float> && HasExtents<Cache<float>>);
static_assert(Source<LatentCache<float>, float>);
static_assert(Source<Cache<K4V4>, float>);

}  // namespace HEED_ABI
}  // namespace heed::kv
