// The pages of paged caches: memory of equal size, counted by the block tables that hold it. Those
// of a key head are one array of panels: nothing is padded, and pages that follow each other are
// one run, of any size.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "heed/core/assert.hpp"
#include "heed/core/zeros.hpp"
#include "heed/kv/panels.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::kv {

// Pages in the pool's order are read in place as one run, of any size. Scattered ones are where
// they have multiples of 32 tokens; others are copied at each call. Time of decoding beside
// kv::Cache, 8192 keys of D 128, one thread of Zen 4: pages in the pool's order 0.95 to 1.3;
// scattered ones of 256, 64, 32 and 16 tokens 0.9, 1.5, 2.4 and 4.6.
struct PageOptions {
  Index page = 256;  // tokens of a page
  Index pages = 0;   // of the pool, all allocated at once
};

inline namespace HEED_ABI {

// Each page has `page` tokens of all key heads. Nothing here throws but the constructor.
template <class T>
class PagePool {
 public:
  PagePool(const Extents& extents, Index page, Index pages)
      : extents_(extents),
        page_(page),
        keys_(Panels<T>::size(checked_product(pages, page), extents.D, nr_)),
        values_(checked_product(checked_product(pages, page), extents.Dv)),
        k_(zeros<T>(checked_product(extents.Hkv, keys_))),
        v_(zeros<T>(checked_product(extents.Hkv, values_))),
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
      const Panels<T> own = panels(h);
      copy_keys<T>(own.keys(from * page_, tokens), own.D, nr_, to * page_, own.k);
      std::copy_n(own.v + from * page_ * own.Dv, tokens * own.Dv, own.v + to * page_ * own.Dv);
    }
  }

  // The tokens of a key head. Page n has [n · page, (n + 1) · page).
  Panels<const T> panels(Index kv_head) const { return panels_of(*this, kv_head); }
  Panels<T> panels(Index kv_head) { return panels_of(*this, kv_head); }

 private:
  template <class Self>
  static auto panels_of(Self& of, Index kv_head) {
    return Panels<std::remove_pointer_t<decltype(of.k_.data())>>{
        of.k_.data() + kv_head * of.keys_, of.v_.data() + kv_head * of.values_, of.extents_.D,
        of.extents_.Dv, of.nr_};
  }

  Extents extents_;
  Index nr_ = simd::element_kernels<T>(isa()).tile_shape.nr;
  Index page_, keys_, values_;  // tokens of a page; numbers of a key head
  std::vector<T> k_;            // [Hkv, panels, D, NR]
  std::vector<T> v_;            // [Hkv, pages, page, Dv]
  std::vector<Index> holders_;  // [pages]
  std::vector<Index> free_;     // with room for all pages
};

}  // namespace HEED_ABI
}  // namespace heed::kv
