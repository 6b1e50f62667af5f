// Keys and values of one sequence in each layer of a model, in a format that is chosen at run time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "heed/attention/options.hpp"
#include "heed/core/eigen.hpp"
#include "heed/kv/source.hpp"
#include "models/cache_format.hpp"

namespace heed::models {

class LayerCaches {
 public:
  LayerCaches() = default;
  LayerCaches(const LayerCaches&) = delete;
  LayerCaches& operator=(const LayerCaches&) = delete;
  LayerCaches(LayerCaches&&) = delete;
  LayerCaches& operator=(LayerCaches&&) = delete;
  virtual ~LayerCaches() = default;

  virtual Index layers() const = 0;
  virtual kv::Extents extents() const = 0;          // of a layer
  virtual Index length(Index layer) const = 0;      // tokens
  virtual std::size_t token_bytes() const = 0;      // of a token in all layers
  virtual std::size_t allocated_bytes() const = 0;  // of all layers, with room for more tokens
  virtual float largest() const = 0;                // magnitude that a number of k and v may have

  // Allocates what `tokens` tokens take where `append` can't, and for more to come, `most` tokens
  // at most. Throws std::bad_alloc; then nothing has changed.
  virtual void make_room(Index tokens, Index most) = 0;

  // The next n tokens of a layer, rounded to the format.
  //   k  [1, Hkv, n, D]
  //   v  [1, Hkv, n, Dv]
  virtual void append(Index layer, const View<const float, 4>& k,
                      const View<const float, 4>& v) = 0;

  // Causal attention of a layer's last tokens; of a drafted tree's, if parents are given
  // (mask::tree).
  //   q    [1, heads, n, D]
  //   out  [1, heads, n, Dv]  written
  virtual void attend(Index layer, const View<float, 4>& out, const View<const float, 4>& q,
                      std::span<const int> parents, const Options& options) const = 0;

  // The tokens of a layer from `first` on as floats, so many as k and v hold.
  //   k  [1, Hkv, n, D]    written
  //   v  [1, Hkv, n, Dv]   written; or [1, Hkv, n, 0]: keys alone
  virtual void read(Index layer, Index first, Tensor4<float>& k, Tensor4<float>& v) = 0;

  // Tokens k and v take the place of those of a layer from `first` on, which are as many at least.
  // Elements that were read are written with the bits they had; codes are computed again. Numbers
  // must be finite and within largest(); then nothing is thrown.
  virtual void replace(Index layer, Index first, const Tensor4<float>& k,
                       const Tensor4<float>& v) = 0;

  // All layers keep their first `length` tokens.
  virtual void truncate(Index length) = 0;

  // Caches of the same tokens, with the bits they have: copies, or the same pages, of which a
  // writer copies the last.
  virtual std::unique_ptr<LayerCaches> fork() = 0;

  // Copies pages that forks share, so that `replace` needs no others. Throws std::bad_alloc; then
  // nothing has changed.
  virtual void own_tokens() {}

  // Of the tokens from `first` on, all layers keep those at `kept`, counted from there, in
  // ascending order; with the bits they have, codes too.
  virtual void keep(Index first, std::span<const Index> kept) = 0;
};

// The caches of a sequence without tokens. Throws heed::Error for a format that there is not.
std::unique_ptr<LayerCaches> make_layer_caches(CacheFormat format, Index layers,
                                               const kv::Extents& of);

}  // namespace heed::models
