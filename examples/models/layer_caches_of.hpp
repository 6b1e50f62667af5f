// LayerCaches of one of heed's caches.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "heed/heed.hpp"
#include "models/layer_caches.hpp"

namespace heed::models {

// Tokens of a key head from `first` on as floats, so many as k and v hold.
template <class T, class Head>
void read_head(const Head& head, const kv::RowSizes& sizes, Index h, Index first, Tensor4<float>& k,
               Tensor4<float>& v) {
  const View<float, 2> to_k = mutable_view_of(k).matrix(0, h);
  const View<float, 2> to_v = mutable_view_of(v).matrix(0, h);
  const auto copy_rows = [&](Index at, const auto& keys, const auto& values) {
    copy(lift(keys), lift(slice(to_k, at - first, keys.extent[0])));
    copy(lift(values), lift(slice(to_v, at - first, keys.extent[0])));
  };
  kv::for_each_row_run<T>(head, sizes, first, first + k.dimension(2), copy_rows);
}

// Bytes of a token of one key head.
template <class T>
constexpr Index bytes_of_token(const kv::Extents& of) {
  if constexpr (kv::CodeFormat<T>) {
    return (of.D * T::key_bits + of.Dv * T::value_bits) / 8 + 2 * Index{sizeof(float)};
  } else {
    return (of.D + of.Dv) * Index{sizeof(T)};
  }
}

// Keeps tokens `kept` of those from `first` on. Codes are moved, not computed again.
template <class Cache>
void keep_tokens(Cache& cache, Index first, std::span<const Index> kept) {
  Index end = cache.length(0) - first;  // of the tokens that are looked at, from the last on
  for (auto place = kept.rbegin(); place != kept.rend(); ++place) {
    if (*place + 1 < end) cache.erase(0, first + *place + 1, end - *place - 1);
    end = *place;
  }
  if (end > 0) cache.erase(0, first, end);
}

// T  elements or codes
template <class T, class Cache = kv::Cache<T>>
class LayerCachesOf : public LayerCaches {
  using Number = typename Cache::Scalar;

 public:
  // A cache of batch 1 for each layer.
  explicit LayerCachesOf(std::vector<Cache> caches) : caches_(std::move(caches)) {
    const kv::Extents of = extents();
    sizes_ = {of.D, of.Dv, kv::panel_width<Number>()};
    if (!kv::CodeFormat<T>) return;
    room_.resize(static_cast<std::size_t>(kv::row_room(sizes_)));
    sizes_.room = room_.data();
  }

  Index layers() const override { return std::ssize(caches_); }
  kv::Extents extents() const override { return caches_.front().extents(); }
  Index length(Index layer) const override { return cache(layer).length(0); }
  std::size_t token_bytes() const override {
    const kv::Extents of = extents();
    return static_cast<std::size_t>(layers() * of.Hkv * bytes_of_token<T>(of));
  }
  std::size_t allocated_bytes() const override {
    std::size_t bytes = 0;
    for (const auto& cache : caches_) bytes += cache.memory_bytes();
    return bytes;
  }
  float largest() const override {
    if constexpr (kv::CodeFormat<T>) {
      return 1e35F;  // kv::check_numbers
    } else {
      return static_cast<float>(Eigen::NumTraits<T>::highest());
    }
  }
  void make_room(Index, Index) override {}
  std::unique_ptr<LayerCaches> fork() override { return std::make_unique<LayerCachesOf>(forks()); }

  void append(Index layer, const View<const float, 4>& k, const View<const float, 4>& v) override {
    cache(layer).append(k, v);
  }
  void attend(Index layer, const View<float, 4>& out, const View<const float, 4>& q,
              std::span<const int> parents, const Options& options) const override {
    attention_into(out, q, cache(layer), mask::tree(parents), score::None{}, options);
  }
  void read(Index layer, Index first, Tensor4<float>& k, Tensor4<float>& v) override {
    for (Index h = 0; h < k.dimension(1); ++h) {
      read_head<Number>(std::as_const(cache(layer)).bind({}, 0, h), sizes_, h, first, k, v);
    }
  }
  void replace(Index layer, Index first, const Tensor4<float>& k,
               const Tensor4<float>& v) override {
    cache(layer).truncate(0, first);
    cache(layer).append(k, v);
  }
  void truncate(Index length) override {
    for (auto& cache : caches_) cache.truncate(0, length);
  }
  void keep(Index first, std::span<const Index> kept) override {
    for (auto& cache : caches_) keep_tokens(cache, first, kept);
  }

 protected:
  Cache& cache(Index n) { return caches_[static_cast<std::size_t>(n)]; }
  const Cache& cache(Index n) const { return caches_[static_cast<std::size_t>(n)]; }
  std::vector<Cache> forks() const {
    std::vector<Cache> forks;
    for (const Cache& cache : caches_) forks.push_back(cache.fork({0}));
    return forks;
  }

  std::vector<Cache> caches_;  // [layers]

 private:
  kv::RowSizes sizes_;
  std::vector<float> room_;  // of codes that are read
};

template <class T>
std::unique_ptr<LayerCaches> make_caches_of(Index layers, const kv::Extents& of) {
  std::vector<kv::Cache<T>> caches;
  for (Index n = 0; n < layers; ++n) caches.emplace_back(of);
  return std::make_unique<LayerCachesOf<T>>(std::move(caches));
}

// Of codes in a file of their own, since attention over three formats takes long to compile.
extern template std::unique_ptr<LayerCaches> make_caches_of<kv::K8V8>(Index, const kv::Extents&);
extern template std::unique_ptr<LayerCaches> make_caches_of<kv::K8V4>(Index, const kv::Extents&);
extern template std::unique_ptr<LayerCaches> make_caches_of<kv::K4V4>(Index, const kv::Extents&);

}  // namespace heed::models
