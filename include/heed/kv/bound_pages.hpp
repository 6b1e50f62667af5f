// The pages of a sequence, bound: a PanelSource of elements, a CodeSource of codes.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/kv/page_pool.hpp"
#include "heed/kv/source.hpp"

namespace heed::kv {

inline namespace HEED_ABI {

template <class T>
struct PagesOfHead {
  const PagePool<T>& pool;
  const std::vector<Index>& pages;
  Index kv_head;

  // f(first, at_pool, count) for keys [begin, end), `first` the first of some that lie in the pool
  // as tokens [at_pool, at_pool + count): pages that follow each other.
  template <class F>
  void for_each_run_of_pages(Index begin, Index end, F&& f) const {
    const auto at = [&](Index n) { return pages[static_cast<std::size_t>(n)]; };
    const Index page = pool.page();
    for (Index first = begin, last = 0; first < end; first = last) {
      Index n = first / page;
      const Index at_pool = at(n) * page + first % page;
      do ++n;
      while (n * page < end && at(n) == at(n - 1) + 1);
      last = std::min(end, n * page);
      f(first, at_pool, last - first);
    }
  }
};

template <class T>
struct BoundPages : PagesOfHead<T> {
  static constexpr bool values_in_keys = is_latent<T>;

  template <class F>
  void for_each_panel_run(Index begin, Index end, F&& f) const {
    const auto panels = this->pool.panels(this->kv_head);
    this->for_each_run_of_pages(begin, end, [&](Index first, Index at_pool, Index count) {
      f(first, panels.keys(at_pool, count), panels.values(at_pool, count));
    });
  }
};

template <CodeFormat T>
struct BoundPages<T> : PagesOfHead<T> {
  using Format = T;

  bool rotated() const { return this->pool.panels(this->kv_head).rotated; }
  const simd::CodeKernels& kernels() const { return this->pool.panels(this->kv_head).kernels; }
  template <class F>
  void for_each_code_panel(Index begin, Index end, F&& f) const {
    const auto panels = this->pool.panels(this->kv_head);
    this->for_each_run_of_pages(begin, end, [&](Index, Index at_pool, Index count) {
      panels.for_each_panel(at_pool, count, f);
    });
  }
  void widen(Index begin, Index end, float* k, float* v) const {
    const auto panels = this->pool.panels(this->kv_head);
    this->for_each_run_of_pages(begin, end, [&](Index first, Index at_pool, Index count) {
      panels.widen(at_pool, count, k + (first - begin) * panels.D, v + (first - begin) * panels.Dv);
    });
  }
};

}  // namespace HEED_ABI
}  // namespace heed::kv
