// The pages of paged caches: memory of equal size, counted by the block tables that hold it. Those
// of a key head are one array of panels: nothing is padded, and pages that follow each other are
// one run, of any size.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/core/assert.hpp"
#include "heed/kv/memory.hpp"

namespace heed::kv {

// Pages are read in place where they have multiples of 16 tokens (of a register, on AVX-512), in
// the pool's order or not; others are copied at each call where they are scattered (kv/source.hpp
// has the exceptions). Decoding, 8192 keys of D 128, two threads of Zen 4, part of kv::Cache's
// speed: in order 0.95 and more; scattered pages of 256 tokens 0.98, of 64 0.93, of 32 0.90, of 16
// 0.88.
struct PageOptions {
  Index page = 256;     // tokens of a page
  Index pages = 0;      // of the pool, all allocated at once
  bool rotates = true;  // CacheOptions::rotates
};

inline namespace HEED_ABI {

// Each page has `page` tokens of all key heads. Nothing here throws but the constructor.
template <class T>
class PagePool {
 public:
  PagePool(const Extents& extents, Index page, Index pages, bool rotated)
      : extents_(extents),
        page_(page),
        memory_(extents.Hkv, checked_product(pages, page), extents, rotated, page),
        together_(std::max<Index>(1, tokens_together / page)),
        holders_(zeros<Index>(pages)),
        free_(zeros<Index>(pages)),
        place_(zeros<Index>(pages)),
        taken_(zeros<Index>((pages + together_ - 1) / together_)) {
    for (Index n = 0; n < pages; ++n) free_[at(n)] = place_[at(n)] = pages - 1 - n;
  }

  Index page() const { return page_; }
  Index pages() const { return static_cast<Index>(holders_.size()); }
  Index free_pages() const { return static_cast<Index>(free_.size()); }
  Index holders(Index n) const { return holders_[at(n)]; }

  // A page that one table holds, behind its page `last` (-1: it has none). There must be a free
  // one. Sequences that grow by turns get up to 256 tokens each, in whole pages, that lie together,
  // while there is room. Time O(pages), of 256 tokens or more, where every group of them is in use.
  Index take(Index last) {
    HEED_ASSERT(!free_.empty());
    const Index n = find_free(last);
    const Index moved = free_.back();
    free_[at(place_[at(n)])] = moved;
    place_[at(moved)] = place_[at(n)];
    free_.pop_back();
    ++taken_[at(n / together_)];
    hold(n);
    return n;
  }
  void hold(Index n) { ++holders_[at(n)]; }
  // A page that no table holds any more is free.
  void release(Index n) {
    if (--holders_[at(n)] > 0) return;
    place_[at(n)] = free_pages();
    free_.push_back(n);
    --taken_[at(n / together_)];
  }

  // The first `tokens` tokens of another page.
  void copy(Index from, Index to, Index tokens) {
    for (Index h = 0; h < extents_.Hkv; ++h) {
      panels(h).copy(panels(h), from * page_, tokens, to * page_);
    }
  }

  // The tokens of a key head. Page n has [n · page, (n + 1) · page).
  auto panels(Index kv_head) const { return memory_.head(kv_head); }
  auto panels(Index kv_head) { return memory_.head(kv_head); }
  std::size_t bytes() const { return memory_.bytes(); }

 private:
  static constexpr Index tokens_together = 256;
  static std::size_t at(Index n) { return static_cast<std::size_t>(n); }

  // The page behind `last`, else the first of an untouched group of pages, else any.
  Index find_free(Index last) const {
    const Index next = last + 1, groups = static_cast<Index>(taken_.size());
    if (next % together_ != 0 && next < pages() && holders(next) == 0) return next;
    const Index start = next / together_;
    for (Index g = 0; g < groups; ++g) {
      const Index group = (start + g) % groups;
      if (taken_[at(group)] == 0) return group * together_;
    }
    return free_.back();
  }

  Extents extents_;
  Index page_;                  // tokens of a page
  Memory<T> memory_;            // [Hkv] heads
  Index together_;              // pages of a group
  std::vector<Index> holders_;  // [pages]
  std::vector<Index> free_;     // with room for all pages
  std::vector<Index> place_;    // [pages], of a free one in free_
  std::vector<Index> taken_;    // [groups], pages that some table holds
};

}  // namespace HEED_ABI
}  // namespace heed::kv
