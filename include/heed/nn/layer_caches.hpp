// The caches of a model's layers, which hold keys and values of the same tokens.
#pragma once

#include <concepts>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "heed/kv/checks.hpp"
#include "heed/nn/attend_cache.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// The tokens that a sequence has lost, each gap with the place where it is.
template <std::integral N>
class ErasedTokens {
 public:
  // `count` tokens from `first` on; gaps among them and at their ends become one.
  void erase(N first, N count) {
    std::vector<Gap> gaps;
    Gap joined{first, count};
    for (const Gap& gap : gaps_) {
      if (gap.first >= first && gap.first <= first + count) joined.count += gap.count;
    }
    for (const Gap& gap : gaps_) {
      if (gap.first < first) gaps.push_back(gap);
      if (gap.first > first + count) gaps.push_back({gap.first - count, gap.count});
    }
    gaps.push_back(joined);
    gaps_.swap(gaps);
  }
  // The first `length` tokens stay, and the gaps among them.
  void truncate(N length) {
    std::erase_if(gaps_, [&](const Gap& gap) { return gap.first >= length; });
  }
  N count() const {
    N sum = 0;
    for (const Gap& gap : gaps_) sum += gap.count;
    return sum;
  }

 private:
  struct Gap {
    N first, count;  // `count` tokens stood before token `first`
  };
  std::vector<Gap> gaps_;  // in any order
};

// The caches that a language model's forward appends to. Calls that change them throw heed::Error
// or std::bad_alloc and leave them as they were.
//
//   C  kv::Cache or kv::PagedCache
template <GrowingCache C>
class LayerCaches {
 public:
  // A cache for each layer. Throws heed::Error for no layer, and where they differ in their
  // extents, their sequences' lengths or the size of their pages.
  explicit LayerCaches(std::vector<C> layers) : layers_(std::move(layers)) {
    constexpr const char* call = "heed::nn::LayerCaches";
    if (layers_.empty()) throw Error(std::string(call) + ": no layer");
    erased_.resize(static_cast<std::size_t>(extents().B));
    for (const C& layer : layers_) {
      const auto shapes = [&] {
        return kv::to_string(extents()) + "; " + kv::to_string(layer.extents());
      };
      require(same_extents(layer.extents(), extents()), call, "layers differ in extents", shapes);
      for (Index b = 0; b < extents().B; ++b) {
        require(layer.length(b) == length(b), call, "layers differ in their tokens", shapes);
      }
      if constexpr (requires { layer.page(); }) {
        require(layer.page() == layers_[0].page(), call, "layers differ in their pages", shapes);
      }
    }
  }

  Index layers() const { return std::ssize(layers_); }
  const C& operator[](Index layer) const { return layers_[at(layer)]; }
  kv::Extents extents() const { return layers_[0].extents(); }     // of a layer
  Index length(Index b) const { return layers_[0].length(b); }     // tokens of sequence b
  Index erased(Index b) const { return erased_[at(b)].count(); }   // before its next token
  Index position(Index b) const { return length(b) + erased(b); }  // of its next token

  // Sequence b keeps its first `length` tokens, as after the call that appended the last of them:
  // what was erased behind that is taken back too. The present length changes nothing.
  void truncate(Index b, Index length) {
    kv::check_entry("heed::nn::LayerCaches::truncate", b, extents().B);
    const bool cuts = length < this->length(b);
    take_back(b, length);
    if (cuts) erased_[at(b)].truncate(length);
  }

  // Sequence b loses `count` tokens from `first` on (kv::Cache::erase; kv::PagedCache::erase of
  // whole pages). Its next token keeps its position in the text.
  void erase(Index b, Index first, Index count) {
    constexpr const char* call = "heed::nn::LayerCaches::erase";
    kv::check_entry(call, b, extents().B);
    kv::check_erase(call, b, first, count, length(b));
    auto erased = erased_;
    erased[at(b)].erase(first, count);
    for (C& layer : layers_) layer.erase(b, first, count);
    erased_.swap(erased);
  }

  // Caches whose sequence n has the tokens of sequence of[n], for beams: copies, or shared pages.
  LayerCaches fork(const std::vector<Index>& of) const {
    std::vector<C> forked;
    forked.reserve(layers_.size());
    for (const C& layer : layers_) forked.push_back(layer.fork(of));
    LayerCaches caches(std::move(forked));
    for (std::size_t n = 0; n < of.size(); ++n) caches.erased_[n] = erased_[at(of[n])];
    return caches;
  }

  // A layer's way to attend, with `erased` of each sequence, [B].
  AttendCache<C> attend(Index layer, std::span<const Index> erased) {
    return {layers_[at(layer)], erased};
  }

 private:
  template <GrowingCache D, class F>
  friend auto forward_behind(LayerCaches<D>& caches, F&& forward);

  static std::size_t at(Index n) { return static_cast<std::size_t>(n); }
  // Tokens behind the first `length`, before any of which nothing was erased since.
  void take_back(Index b, Index length) {
    for (C& layer : layers_) layer.truncate(b, length);
  }
  static bool same_extents(const kv::Extents& a, const kv::Extents& b) {
    return a.B == b.B && a.Hkv == b.Hkv && a.D == b.D && a.Dv == b.Dv;
  }

  std::vector<C> layers_;
  std::vector<ErasedTokens<Index>> erased_;  // [B]
};

// A model's whole call. Where it throws, the caches have the tokens that they had; a page that a
// fork shares may have been copied.
template <GrowingCache C, class F>
auto forward_behind(LayerCaches<C>& caches, F&& forward) {
  std::vector<Index> lengths;
  for (Index b = 0; b < caches.extents().B; ++b) lengths.push_back(caches.length(b));
  try {
    return std::forward<F>(forward)();
  } catch (...) {
    for (Index b = 0; b < caches.extents().B; ++b) {
      caches.take_back(b, lengths[static_cast<std::size_t>(b)]);
    }
    throw;
  }
}

// Caches of so many layers without tokens. Copies of one paged cache share its pool.
template <GrowingCache C, class... CacheOptions>
LayerCaches<C> empty_caches(std::size_t layers, const kv::Extents& extents,
                            const CacheOptions&... options) {
  return LayerCaches<C>(std::vector<C>(layers, C(extents, options...)));
}

// Throws heed::Error unless there are so many caches, of these extents.
template <GrowingCache C>
void check_caches(const char* call, const LayerCaches<C>& caches, std::size_t layers,
                  const kv::Extents& of) {
  const kv::Extents have = caches.extents();
  require(std::cmp_equal(caches.layers(), layers) && have.B == of.B && have.Hkv == of.Hkv &&
              have.D == of.D && have.Dv == of.Dv,
          call, "the caches are not the model's", [&] {
            return std::to_string(caches.layers()) + " of " + kv::to_string(have) + "; " +
                   std::to_string(layers) + " of " + kv::to_string(of);
          });
}

// The positions of the next tokens of sequences.
struct CachePositions {
  std::vector<Index> next, erased;  // [B]

  template <GrowingCache C>
  explicit CachePositions(const LayerCaches<C>& caches) {
    for (Index b = 0; b < caches.extents().B; ++b) {
      next.push_back(caches.position(b));
      erased.push_back(caches.erased(b));
    }
  }
};

}  // namespace HEED_ABI
}  // namespace heed::nn
