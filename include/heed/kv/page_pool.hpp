// The pages of paged caches: memory of equal size, counted by the block tables that hold it. Those
// of a key head are one array of panels: nothing is padded, and pages that follow each other are
// one run, of any size.
#pragma once

#include <vector>

#include "heed/core/assert.hpp"
#include "heed/kv/memory.hpp"

namespace heed::kv {

// Pages in the pool's order are read in place as one run, of any size. Scattered pages of multiples
// of 32 tokens are read in place too; others are copied at each call. Time of decoding beside
// kv::Cache, 8192 keys of D 128, one thread of Zen 4: pages in the pool's order 0.95 to 1.3;
// scattered ones of 256, 64, 32 and 16 tokens 0.9 to 1.2, 1.5 to 1.7, 2 to 3 and 3 to 4.
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
        holders_(zeros<Index>(pages)),
        free_(zeros<Index>(pages)) {
    for (Index n = 0; n < pages; ++n) free_[static_cast<std::size_t>(n)] = pages - 1 - n;
  }

  Index page() const { return page_; }
  Index pages() const { return static_cast<Index>(holders_.size()); }
  Index free_pages() const { return static_cast<Index>(free_.size()); }
  Index holders(Index n) const { return holders_[static_cast<std::size_t>(n)]; }

  // A page that one table holds. There must be a free one.
  Index take() {
    HEED_ASSERT(!free_.empty());
    const Index n = free_.back();
    free_.pop_back();
    hold(n);
    return n;
  }
  void hold(Index n) { ++holders_[static_cast<std::size_t>(n)]; }
  // A page that no table holds any more is free.
  void release(Index n) {
    if (--holders_[static_cast<std::size_t>(n)] == 0) free_.push_back(n);
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
  Extents extents_;
  Index page_;                  // tokens of a page
  Memory<T> memory_;            // [Hkv] heads
  std::vector<Index> holders_;  // [pages]
  std::vector<Index> free_;     // with room for all pages
};

}  // namespace HEED_ABI
}  // namespace heed::kv
