#include "models/layer_caches.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/layer_caches_of.hpp"

namespace heed::models {
namespace {

using Pages = kv::PagedCache<float>;

// Caches of so many pages, which all layers share.
std::vector<Pages> pages_of_layers(Index layers, const kv::Extents& of, Index pages) {
  const Pages none(of, {.pages = pages});
  return std::vector<Pages>(static_cast<std::size_t>(layers), none);
}

// Where a pool is full, a sequence moves to one of twice the pages, or as many as it can use.
class PagedLayerCaches final : public LayerCachesOf<float, Pages> {
 public:
  PagedLayerCaches(Index layers, const kv::Extents& of)
      : PagedLayerCaches(pages_of_layers(layers, of, layers), std::make_shared<Index>(layers)) {}
  PagedLayerCaches(std::vector<Pages> caches, std::shared_ptr<const Index> pool)
      : LayerCachesOf(std::move(caches)), pool_(std::move(pool)) {}

  std::size_t allocated_bytes() const override { return caches_.front().memory_bytes(); }

  void make_room(Index tokens, Index most) override {
    const Index last = shares() ? layers() : 0;  // pages that are copied before they are written
    if (pages_of(tokens) - pages_of(length(0)) + last <= caches_.front().free_pages()) return;
    move_to(std::max(pages_of(tokens), std::min(2 * *pool_, pages_of(most))));
  }

  // The pool has a page for each sequence and layer, so that none soon moves to one of its own.
  std::unique_ptr<LayerCaches> fork() override {
    const Index sequences = pool_.use_count() + 1;
    if (caches_.front().free_pages() < sequences * layers()) {
      move_to(std::max(2 * *pool_, pages_of(length(0)) + 2 * layers()));
    }
    return std::make_unique<PagedLayerCaches>(forks(), pool_);
  }

  void own_tokens() override {
    if (shares()) move_to(*pool_);
  }

  // Pages hold what is kept as floats do, so that it may be read and written again.
  void keep(Index first, std::span<const Index> kept) override {
    own_tokens();
    const kv::Extents of = extents();
    const auto count = std::ssize(kept);
    Tensor4<float> k, v, kept_k(1, of.Hkv, count, of.D), kept_v(1, of.Hkv, count, of.Dv);
    for (Index layer = 0; layer < layers(); ++layer) {
      read_from(layer, first, k, v);
      for (Index n = 0; n < count; ++n) {
        const Index from = kept[static_cast<std::size_t>(n)];
        kept_k.chip(n, 2) = k.chip(from, 2);
        kept_v.chip(n, 2) = v.chip(from, 2);
      }
      replace(layer, first, kept_k, kept_v);
    }
  }

 private:
  Index pages_of(Index tokens) const {
    const Index page = caches_.front().page();
    return checked_product(layers(), (tokens + page - 1) / page);
  }
  bool shares() const { return pool_.use_count() > 1; }
  // A pool of its own for this sequence.
  void move_to(Index pages) {
    auto pool = std::make_shared<const Index>(pages);
    std::vector<Pages> moved = pages_of_layers(layers(), extents(), pages);
    Tensor4<float> k, v;
    for (Index layer = 0; layer < layers(); ++layer) {
      if (read_from(layer, 0, k, v)) moved[static_cast<std::size_t>(layer)].append(k, v);
    }
    caches_.swap(moved);
    pool_.swap(pool);
  }
  // All tokens of a layer from `first` on; false where there are none.
  bool read_from(Index layer, Index first, Tensor4<float>& k, Tensor4<float>& v) {
    const kv::Extents of = extents();
    const Index count = length(layer) - first;
    k.resize(1, of.Hkv, count, of.D);
    v.resize(1, of.Hkv, count, of.Dv);
    if (count > 0) read(layer, first, k, v);
    return count > 0;
  }

  std::shared_ptr<const Index> pool_;  // its pages; each sequence of the pool holds it
};

}  // namespace

std::unique_ptr<LayerCaches> make_layer_caches(CacheFormat format, Index layers,
                                               const kv::Extents& of) {
  switch (format) {
    case CacheFormat::float32:
      return make_caches_of<float>(layers, of);
    case CacheFormat::bfloat16:
      return make_caches_of<BFloat16>(layers, of);
    case CacheFormat::half:
      return make_caches_of<Half>(layers, of);
    case CacheFormat::paged:
      return std::make_unique<PagedLayerCaches>(layers, of);
    case CacheFormat::k8v8:
      return make_caches_of<kv::K8V8>(layers, of);
    case CacheFormat::k8v4:
      return make_caches_of<kv::K8V4>(layers, of);
    case CacheFormat::k4v4:
      return make_caches_of<kv::K4V4>(layers, of);
  }
  throw Error("heed::models: there is no cache format " + std::to_string(static_cast<int>(format)));
}

}  // namespace heed::models
