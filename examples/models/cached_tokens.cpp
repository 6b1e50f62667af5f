#include "models/cached_tokens.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace heed::models {
namespace {

// The tokens behind a part that is forgotten, of one layer at a time. Allocates all that the calls
// need; they allocate nothing.
class TokensBehind {
 public:
  TokensBehind(LayerCaches& caches, const position::RopeFrequencies& frequencies, Index first,
               Index count)
      : caches_(caches), first_(first), count_(count), back_(1, frequencies, -count) {
    caches.own_tokens();
    const kv::Extents of = caches.extents();
    const Index behind = caches.length(0) - first - count;
    k_ = Tensor4<float>(1, of.Hkv, behind, of.D);
    v_ = Tensor4<float>(1, of.Hkv, behind, of.Dv);
    places_.resize(static_cast<std::size_t>(behind));
  }

  void check(Index layer) {
    turn(layer);
    if (fit(k_) && fit(v_)) return;
    throw Error("heed::models: layer " + std::to_string(layer) +
                " has keys or values beyond what its cache can hold when they move");
  }
  void move(Index layer) {
    turn(layer);
    caches_.replace(layer, first_, k_, v_);
  }

 private:
  void turn(Index layer) {
    if (k_.size() == 0) return;
    caches_.read(layer, first_ + count_, k_, v_);
    position::rope_into(k_, k_, back_, {-count_, places_}, position::RopePairs::interleaved);
  }
  bool fit(const Tensor4<float>& x) const {
    const float largest = caches_.largest();
    return std::all_of(x.data(), x.data() + x.size(),
                       [&](float number) { return std::abs(number) <= largest; });
  }

  LayerCaches& caches_;
  Index first_, count_;
  Tensor4<float> k_, v_;
  position::RopeTable<float> back_;
  std::vector<Index> places_;
};

}  // namespace

Tensor2<float> look_at(const View<float, 4>& q, LayerCaches& caches, Index layer) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const kv::Extents of = caches.extents();
  const Index length = caches.length(layer), heads = q.extent[1];
  Tensor4<float> k(1, of.Hkv, length, of.D), no_v(1, of.Hkv, length, 0);
  caches.read(layer, 0, k, no_v);
  Tensor2<float> rows(heads, length);
  for (Index h = 0; h < heads; ++h) {
    const float* of_head = k.data() + h / (heads / of.Hkv) * length * of.D;
    const Eigen::Map<const Matrix> keys(of_head, length, of.D);
    const Eigen::Map<const Eigen::VectorXf> query(&q(0, h, 0, 0), of.D);
    Eigen::Map<Eigen::VectorXf> weights(rows.data() + h * length, length);
    // A product of matrices would start Eigen's threads beside the pool's.
    weights.noalias() = keys * (query / std::sqrt(static_cast<float>(of.D)));
    weights = (weights.array() - weights.maxCoeff()).exp();
    weights /= weights.sum();
  }
  return rows;
}

// Layers are read twice, so that memory for the tokens of one is enough.
void forget_tokens(LayerCaches& caches, const position::RopeFrequencies& frequencies, Index first,
                   Index count) {
  TokensBehind behind(caches, frequencies, first, count);
  for (Index layer = 0; layer < caches.layers(); ++layer) behind.check(layer);
  for (Index layer = 0; layer < caches.layers(); ++layer) behind.move(layer);
}

}  // namespace heed::models
