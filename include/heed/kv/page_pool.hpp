// The pages of paged caches: memory of equal size, counted by the block tables that hold it.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "heed/core/assert.hpp"
#include "heed/core/zeros.hpp"
#include "heed/kv/panels.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::kv {

// Multiples of 32 tokens are read in place, others are copied at each call. Time of decoding beside
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
        keys_(Panels<T>::size(page, extents.D, nr_)),
        values_(checked_product(page, extents.Dv)),
        k_(zeros<T>(checked_product(checked_product(pages, extents.Hkv), keys_))),
        v_(zeros<T>(checked_product(checked_product(pages, extents.Hkv), values_))),
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
      const Panels<T> source = panels(from, h), target = panels(to, h);
      std::copy_n(source.k, Panels<T>::size(tokens, extents_.D, nr_), target.k);
      std::copy_n(source.v, tokens * extents_.Dv, target.v);
    }
  }

  // True where page b goes on behind page a: the tokens of both are one run.
  bool adjacent(Index a, Index b) const { return b == a + 1 && page_ % nr_ == 0; }

  Panels<const T> panels(Index n, Index kv_head) const { return panels_of(*this, n, kv_head); }
  Panels<T> panels(Index n, Index kv_head) { return panels_of(*this, n, kv_head); }

 private:
  template <class Self>
  static auto panels_of(Self& of, Index n, Index kv_head) {
    const Index at = kv_head * of.pages() + n;
    return Panels<std::remove_pointer_t<decltype(of.k_.data())>>{
        of.k_.data() + at * of.keys_, of.v_.data() + at * of.values_, of.extents_.D, of.extents_.Dv,
        of.nr_};
  }

  Extents extents_;
  Index nr_ = simd::element_kernels<T>(isa()).tile_shape.nr;
  Index page_, keys_, values_;  // tokens; numbers of a page and key head
  std::vector<T> k_;            // [Hkv, pages, panels, D, NR]
  std::vector<T> v_;            // [Hkv, pages, page, Dv]
  std::vector<Index> holders_;  // [pages]
  std::vector<Index> free_;     // with room for all pages
};

}  // namespace HEED_ABI
}  // namespace heed::kv
