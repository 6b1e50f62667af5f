#include "models/cached_tokens.hpp"

#include <algorithm>

namespace heed::models {

void read_tokens(const kv::Cache<float>& cache, Index first, Tensor4<float>& k, Tensor4<float>& v) {
  const kv::Extents of = cache.extents();
  const Index nr = simd::element_kernels<float>(isa()).tile_shape.nr, end = first + k.dimension(2);
  for (Index h = 0; h < of.Hkv; ++h) {
    const auto copy = [&](Index at, const kv::PanelKeys<float>& keys,
                          const View<const float, 2>& values) {
      for (Index j = 0; j < keys.count; ++j) {
        const Index column = keys.offset + j;
        const float* from = keys.panels + column / nr * of.D * nr + column % nr;
        for (Index d = 0; d < of.D; ++d) k(0, h, at - first + j, d) = from[d * nr];
        for (Index d = 0; d < of.Dv; ++d) v(0, h, at - first + j, d) = values(j, d);
      }
    };
    cache.bind({}, 0, h).for_each_panel_run(first, end, copy);
  }
}

Tensor2<float> look_at(const View<float, 4>& q, const kv::Cache<float>& cache) {
  const kv::Extents of = cache.extents();
  const Index length = cache.length(0);
  Tensor4<float> k(1, of.Hkv, length, of.D), v(1, of.Hkv, length, of.Dv);
  read_tokens(cache, 0, k, v);
  const auto weights = attention_weights(q.as_const(), k, {0});  // [1, heads, 1, length]
  Tensor2<float> rows(q.extent[1], length);
  const auto from = view_of(weights);
  for (Index h = 0; h < rows.dimension(0); ++h) {
    for (Index j = 0; j < length; ++j) rows(h, j) = from(0, h, 0, j);
  }
  return rows;
}

ForgetTokens::ForgetTokens(const kv::Cache<float>& like,
                           const position::RopeFrequencies& frequencies, Index first, Index count)
    : first_(first), count_(count), back_(1, frequencies, -count) {
  const kv::Extents of = like.extents();
  const Index behind = like.length(0) - first - count;
  k_ = Tensor4<float>(1, of.Hkv, behind, of.D);
  v_ = Tensor4<float>(1, of.Hkv, behind, of.Dv);
  places_.resize(static_cast<std::size_t>(behind));
}

void ForgetTokens::operator()(kv::Cache<float>& cache) {
  read_tokens(cache, first_ + count_, k_, v_);
  if (k_.size() > 0) {
    position::rope_into(k_, k_, back_, {-count_, places_}, position::RopePairs::interleaved);
  }
  cache.truncate(0, first_);
  cache.append(k_, v_);
}

void keep_tokens(kv::Cache<float>& cache, Index first, std::span<const Index> kept) {
  Index end = cache.length(0) - first;  // of the tokens that are looked at, from the last on
  for (auto place = kept.rbegin(); place != kept.rend(); ++place) {
    if (*place + 1 < end) cache.erase(0, first + *place + 1, end - *place - 1);
    end = *place;
  }
  if (end > 0) cache.erase(0, first, end);
}

}  // namespace heed::models
