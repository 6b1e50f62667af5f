// A cache in pages of one pool: sequences of many lengths waste less than a page each, and forked
// ones share their pages until one of them writes. Kwon et al., "PagedAttention" (2023).
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "heed/core/assert.hpp"
#include "heed/core/tensor.hpp"
#include "heed/kv/bound_pages.hpp"
#include "heed/kv/checks.hpp"

namespace heed::kv {

inline namespace HEED_ABI {

// A source, with the calls of kv::Cache and its results, but that it does not grow. A copy shares
// the pages, as fork does. Threads may attend over caches of one pool together. All that changes,
// forks, copies or destroys one of them changes the pool: one thread does that, alone.
template <CacheElement T>
class PagedCache {
 public:
  using Scalar = typename NumberOf<T>::Type;
  static constexpr bool counts_from_length = true;

  PagedCache(const Extents& extents, const PageOptions& options) : extents_(extents) {
    constexpr const char* call = "heed::kv::PagedCache";
    check_extents(call, extents, is_latent<T>);
    if (options.page <= 0 || options.page > max_length || options.pages < 0 ||
        options.pages > max_length) {
      refuse({call, ": ", options.pages, " pages of ", options.page, " tokens"});
    }
    if (CodeFormat<T> && options.page % 32 != 0) {
      refuse({call, ": pages of codes have multiples of 32 tokens, not ", options.page});
    }
    pool_ = std::make_shared<PagePool<T>>(extents, options.page, options.pages, options.rotates);
    sequences_.resize(at(extents.B));
  }

  PagedCache(const PagedCache& other)
      : extents_(other.extents_), pool_(other.pool_), sequences_(other.sequences_) {
    for_each_page([&](Index n) { pool_->hold(n); });
  }
  PagedCache(PagedCache&& other) noexcept
      : extents_(other.extents_),
        pool_(other.pool_),
        sequences_(std::exchange(other.sequences_, {})) {
    other.extents_.B = 0;
  }
  PagedCache& operator=(PagedCache other) noexcept {
    std::swap(extents_, other.extents_);
    pool_.swap(other.pool_);
    sequences_.swap(other.sequences_);
    return *this;
  }
  ~PagedCache() {
    for_each_page([&](Index n) { pool_->release(n); });
  }

  Extents extents() const { return extents_; }
  Index length(Index b) const {
    HEED_ASSERT(b >= 0 && b < extents_.B);
    return sequences_[at(b)].length;
  }
  Index page() const { return pool_->page(); }  // tokens of a page
  Index free_pages() const { return pool_->free_pages(); }
  std::size_t memory_bytes() const { return pool_->bytes(); }  // of keys and values of the pool

  // The next n tokens of every sequence, or of sequence b, as Cache::append has them. Throws
  // heed::Error also where the pool has too few pages. A page that others hold too is copied before
  // it is written.
  template <TensorLike K, TensorLike V>
  void append(const K& k, const V& v) requires(!is_latent<T>) {
    append_to(0, extents_.B, lift(view_of(k)), lift(view_of(v)));
  }
  template <TensorLike K, TensorLike V>
  void append(Index b, const K& k, const V& v) requires(!is_latent<T>) {
    check_entry(append_call, b, extents_.B);
    append_to(b, 1, lift(view_of(k)), lift(view_of(v)));
  }

  // The same of latent keys (Cache::append).
  template <TensorLike K>
  void append(const K& k) requires(is_latent<T>) {
    append_to(0, extents_.B, lift(view_of(k)), first_features(k, extents_.Dv));
  }
  template <TensorLike K>
  void append(Index b, const K& k) requires(is_latent<T>) {
    check_entry(append_call, b, extents_.B);
    append_to(b, 1, lift(view_of(k)), first_features(k, extents_.Dv));
  }

  // Sequence b keeps its first `length` tokens. Throws heed::Error where it has fewer.
  void truncate(Index b, Index length) {
    constexpr const char* call = "heed::kv::PagedCache::truncate";
    check_entry(call, b, extents_.B);
    Sequence& sequence = sequences_[at(b)];
    check_truncate(call, b, length, sequence.length);
    for (; std::ssize(sequence.pages) > pages_of(length); sequence.pages.pop_back()) {
      pool_->release(sequence.pages.back());
    }
    sequence.length = length;
  }

  // Sequence b loses `count` tokens from `first` on, both multiples of a page; those behind move up
  // (Cache::erase). Moves no tokens: the ring of a sliding window with kept first tokens is
  // erase(b, page(), page()) where length(b) has reached its most. Throws heed::Error for parts of
  // pages, and where it has fewer.
  void erase(Index b, Index first, Index count) {
    constexpr const char* call = "heed::kv::PagedCache::erase";
    check_entry(call, b, extents_.B);
    Sequence& sequence = sequences_[at(b)];
    check_erase(call, b, first, count, sequence.length);
    if (first % page() != 0 || count % page() != 0) {
      refuse({call, ": ", count, " tokens from ", first, " on are not whole pages of ", page()});
    }
    const auto begin = sequence.pages.begin() + first / page(), end = begin + count / page();
    std::for_each(begin, end, [&](Index n) { pool_->release(n); });
    sequence.pages.erase(begin, end);
    sequence.length -= count;
  }

  // A cache of the same pool whose sequence n has the tokens of sequence of[n]. Copies nothing but
  // block tables: time O(tokens / page).
  PagedCache fork(const std::vector<Index>& of) const {
    std::vector<Sequence> forked;
    forked.reserve(of.size());
    for (const Index b : of) {
      check_entry("heed::kv::PagedCache::fork", b, extents_.B);
      forked.push_back(sequences_[at(b)]);
    }
    return PagedCache(*this, std::move(forked));
  }

  using Head = BoundPages<T>;
  Head bind(const Shape&, Index b, Index kv_head) const {
    HEED_ASSERT(b >= 0 && b < extents_.B);
    return {{*pool_, sequences_[at(b)].pages, kv_head}};
  }

 private:
  struct Sequence {
    Index length = 0;
    std::vector<Index> pages;  // its block table
  };
  static constexpr const char* append_call = "heed::kv::PagedCache::append";

  PagedCache(const PagedCache& of, std::vector<Sequence> sequences) noexcept
      : extents_(of.extents_), pool_(of.pool_), sequences_(std::move(sequences)) {
    extents_.B = static_cast<Index>(sequences_.size());
    for_each_page([&](Index n) { pool_->hold(n); });
  }

  static std::size_t at(Index n) { return static_cast<std::size_t>(n); }
  Index pages_of(Index tokens) const { return (tokens + pool_->page() - 1) / pool_->page(); }

  template <class F>
  void for_each_page(const F& f) const {
    for (const Sequence& sequence : sequences_)
      std::for_each(sequence.pages.begin(), sequence.pages.end(), f);
  }

  // True where the next token goes to a page that tables besides the last `mine` hold too.
  bool shares_last_page(const Sequence& sequence, Index mine = 0) const {
    return sequence.length % pool_->page() != 0 && pool_->holders(sequence.pages.back()) - mine > 1;
  }

  // Pages that n more tokens of sequences [first, first + count) take.
  Index pages_to_take(Index first, Index count, Index n) const {
    Index needed = 0;
    for (Index b = first; n > 0 && b < first + count; ++b) {
      const Sequence& sequence = sequences_[at(b)];
      needed += pages_of(sequence.length + n) - std::ssize(sequence.pages);
      const auto gave_up = [&](const Sequence& earlier) {
        return sequence.length % pool_->page() != 0 && !earlier.pages.empty() &&
               earlier.length % pool_->page() != 0 && earlier.pages.back() == sequence.pages.back();
      };
      const auto begin = sequences_.begin();
      needed +=
          shares_last_page(sequence, std::count_if(begin + first, begin + b, gave_up)) ? 1 : 0;
    }
    return needed;
  }

  // Makes room for n more tokens of a sequence, which nothing can prevent any more.
  void take_pages(Sequence& sequence, Index n) {
    if (n > 0 && shares_last_page(sequence)) {
      const Index own = pool_->take(sequence.pages.back());
      pool_->copy(sequence.pages.back(), own, sequence.length % pool_->page());
      pool_->release(std::exchange(sequence.pages.back(), own));
    }
    while (std::ssize(sequence.pages) < pages_of(sequence.length + n)) {
      sequence.pages.push_back(pool_->take(sequence.pages.empty() ? -1 : sequence.pages.back()));
    }
  }

  template <class K, class V>
  void append_to(Index first, Index count, const View<const K, 4>& k, const View<const V, 4>& v) {
    check_append(append_call, extents_, count, k, v, is_latent<T>);
    check_numbers<T>(append_call, k, v);
    const Index n = k.extent[2];
    for (Index b = first; b < first + count; ++b) check_length(append_call, b, length(b) + n);
    const Index needed = pages_to_take(first, count, n);
    if (needed > pool_->free_pages()) {
      refuse({append_call, ": ", n, " tokens take ", needed, " pages, of which ",
              pool_->free_pages(), " of ", pool_->pages(), " are free"});
    }
    for (Index b = first; b < first + count; ++b) {
      std::vector<Index>& table = sequences_[at(b)].pages;
      const std::size_t room = table.capacity(), pages = at(pages_of(length(b) + n));
      if (pages > room) table.reserve(std::max(pages, 2 * room));
    }
    for (Index b = first; b < first + count; ++b) {
      take_pages(sequences_[at(b)], n);
      for (Index h = 0; h < extents_.Hkv; ++h) {
        write(sequences_[at(b)], h, k.matrix(b - first, h), v.matrix(b - first, h));
      }
      sequences_[at(b)].length += n;
    }
  }

  template <class K, class V>
  void write(const Sequence& sequence, Index h, const View<const K, 2>& k,
             const View<const V, 2>& v) {
    const auto panels = pool_->panels(h);
    const Index begin = sequence.length, end = begin + k.extent[0];
    for (Index first = begin, last = 0; first < end; first = last) {
      last = std::min(end, (first / page() + 1) * page());
      const Index at_pool = sequence.pages[at(first / page())] * page() + first % page();
      panels.store(at_pool, slice(k, first - begin, last - first),
                   slice(v, first - begin, last - first));
    }
  }

  Extents extents_;
  std::shared_ptr<PagePool<T>> pool_;
  std::vector<Sequence> sequences_;  // [B]
};

static_assert(Source<PagedCache<float>, float> && HasExtents<PagedCache<float>>);
static_assert(Source<PagedCache<K4V4>, float>);

}  // namespace HEED_ABI
}  // namespace heed::kv
