#include "models/layer_caches.hpp"

#include <algorithm>
#include <string>

#include "models/layer_caches_of.hpp"

namespace heed::models {
namespace {

using Pages = kv::PagedCache<float>;

// Caches of so many pages, which all layers share.
std::vector<Pages> pages_of_layers(Index layers, const kv::Extents& of, Index pages) {
  const Pages none(of, {.pages = pages});
  return std::vector<Pages>(static_cast<std::size_t>(layers), none);
}

// A pool that is full is copied to one of twice the pages, or as many as a sequence can use.
class PagedLayerCaches final : public LayerCachesOf<float, Pages> {
 public:
  PagedLayerCaches(Index layers, const kv::Extents& of)
      : LayerCachesOf(pages_of_layers(layers, of, layers)), pages_(layers) {}

  std::size_t allocated_bytes() const override { return caches_.front().memory_bytes(); }

  void make_room(Index tokens, Index most) override {
    const Index needed = pages_of(tokens);
    if (needed <= pages_) return;
    const Index pages = std::max(needed, std::min(2 * pages_, pages_of(most)));
    std::vector<Pages> larger = pages_of_layers(layers(), extents(), pages);
    Tensor4<float> k, v;
    for (Index layer = 0; layer < layers(); ++layer) {
      if (read_from(layer, 0, k, v)) larger[static_cast<std::size_t>(layer)].append(k, v);
    }
    caches_.swap(larger);
    pages_ = pages;
  }

  // Pages hold what is kept as floats do, so that it may be read and written again.
  void keep(Index first, std::span<const Index> kept) override {
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
  // All tokens of a layer from `first` on; false where there are none.
  bool read_from(Index layer, Index first, Tensor4<float>& k, Tensor4<float>& v) {
    const kv::Extents of = extents();
    const Index count = length(layer) - first;
    k.resize(1, of.Hkv, count, of.D);
    v.resize(1, of.Hkv, count, of.Dv);
    if (count > 0) read(layer, first, k, v);
    return count > 0;
  }

  Index pages_;  // of the pool
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
