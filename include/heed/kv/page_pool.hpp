// The pages of paged caches: memory of equal size, counted by the block tables that hold it.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/core/assert.hpp"
#include "heed/core/zeros.hpp"
#include "heed/kv/panels.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::kv {

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

  Panels<const T> panels(Index n, Index kv_head) const {
    const Index head = kv_head * pages() + n;
    return {k_.data() + head * keys_, v_.data() + head * values_, extents_.D, extents_.Dv, nr_};
  }
  Panels<T> panels(Index n, Index kv_head) {
    const Index head = kv_head * pages() + n;
    return {k_.data() + head * keys_, v_.data() + head * values_, extents_.D, extents_.Dv, nr_};
  }

 private:
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
