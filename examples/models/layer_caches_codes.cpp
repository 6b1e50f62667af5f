#include "models/layer_caches_of.hpp"

namespace heed::models {

template std::unique_ptr<LayerCaches> make_caches_of<kv::K8V8>(Index, const kv::Extents&);
template std::unique_ptr<LayerCaches> make_caches_of<kv::K8V4>(Index, const kv::Extents&);
template std::unique_ptr<LayerCaches> make_caches_of<kv::K4V4>(Index, const kv::Extents&);

}  // namespace heed::models
