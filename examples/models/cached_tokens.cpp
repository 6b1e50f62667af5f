#include "models/cached_tokens.hpp"

namespace heed::models {

Tensor2<float> look_at(const View<float, 4>& q, LayerCaches& caches, Index layer) {
  const kv::Extents of = caches.extents();
  const Index length = caches.length(layer);
  Tensor4<float> k(1, of.Hkv, length, of.D), v(1, of.Hkv, length, of.Dv);
  caches.read(layer, 0, k, v);
  const auto weights = attention_weights(q.as_const(), k, {0});  // [1, heads, 1, length]
  Tensor2<float> rows(q.extent[1], length);
  const auto from = view_of(weights);
  for (Index h = 0; h < rows.dimension(0); ++h) {
    for (Index j = 0; j < length; ++j) rows(h, j) = from(0, h, 0, j);
  }
  return rows;
}

ForgetTokens::ForgetTokens(const LayerCaches& caches, const position::RopeFrequencies& frequencies,
                           Index first, Index count)
    : first_(first), count_(count), back_(1, frequencies, -count) {
  const kv::Extents of = caches.extents();
  const Index behind = caches.length(0) - first - count;
  k_ = Tensor4<float>(1, of.Hkv, behind, of.D);
  v_ = Tensor4<float>(1, of.Hkv, behind, of.Dv);
  places_.resize(static_cast<std::size_t>(behind));
}

void ForgetTokens::operator()(LayerCaches& caches, Index layer) {
  if (k_.size() > 0) {
    caches.read(layer, first_ + count_, k_, v_);
    position::rope_into(k_, k_, back_, {-count_, places_}, position::RopePairs::interleaved);
  }
  caches.replace(layer, first_, k_, v_);
}

}  // namespace heed::models
