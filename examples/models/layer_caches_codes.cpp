// A file of its own, since attention over three formats takes long to compile.
#include "models/layer_caches_of.hpp"

namespace heed::models {

std::unique_ptr<LayerCaches> make_code_caches(CacheFormat format, Index layers,
                                              const kv::Extents& of) {
  switch (format) {
    case CacheFormat::k8v8:
      return make_caches_of<kv::K8V8>(layers, of);
    case CacheFormat::k8v4:
      return make_caches_of<kv::K8V4>(layers, of);
    case CacheFormat::k4v4:
      return make_caches_of<kv::K4V4>(layers, of);
    default:
      return make_layer_caches(format, layers, of);
  }
}

}  // namespace heed::models
