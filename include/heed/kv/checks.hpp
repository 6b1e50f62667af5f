// The wrong calls of caches, each a heed::Error that shows the shapes.
#pragma once

#include <algorithm>
#include <string>

#include "heed/core/check.hpp"
#include "heed/core/copy.hpp"
#include "heed/kv/format.hpp"
#include "heed/kv/source.hpp"

namespace heed::kv {
inline namespace HEED_ABI {

//   latent  values are the first Dv features of their keys
inline void check_extents(const char* call, const Extents& of, bool latent) {
  const auto shapes = [&] { return joined({"the cache's ", to_string(of)}); };
  require(std::min({of.B, of.Hkv, of.Dv}) >= 0 && of.D > 0, call,
          "D must be positive, and the other sizes not negative", shapes);
  require(std::max({of.B, of.Hkv, of.D, of.Dv}) <= max_length, call, "a size is above 2^31 - 1",
          shapes);
  require(!latent || of.Dv <= of.D, call, "Dv of a latent cache must be D at most", shapes);
}

inline void check_entry(const char* call, Index b, Index B) {
  if (b >= 0 && b < B) return;
  refuse({call, ": sequence ", b, " of a cache of ", B});
}

// Tokens for `count` sequences: k [count, Hkv, n, D], v [count, Hkv, n, Dv].
//   latent  v is a part of k, which no error names
template <class K, class V>
void check_append(const char* call, const Extents& of, Index count, const View<const K, 4>& k,
                  const View<const V, 4>& v, bool latent) {
  require_sane(k, call, "k");
  if (!latent) require_sane(v, call, "v");
  const auto shapes = [&] {
    const std::string of_v = latent ? "" : joined({", v ", extents_of(v)});
    return joined({"k ", extents_of(k), of_v, ", the cache's ", to_string(of)});
  };
  const char* batch = count == of.B ? "the cache has" : "one sequence has";
  require_equal(k.extent[0], count, "k has batch", batch, call, shapes);
  require_equal(v.extent[0], count, "v has batch", batch, call, shapes);
  require_equal(k.extent[1], of.Hkv, "k has heads", "the cache has", call, shapes);
  require_equal(v.extent[1], of.Hkv, "v has heads", "the cache has", call, shapes);
  require_equal(v.extent[2], k.extent[2], "v has length", "k has length", call, shapes);
  require_equal(k.extent[3], of.D, "k has dim", "the cache has", call, shapes);
  require_equal(v.extent[3], of.Dv, "v has dim", "the cache has", call, shapes);
}

// The first Dv features of keys k [B, Hkv, n, D], their values in latent attention.
template <class K>
auto first_features(const K& k, Index Dv) {
  auto v = lift(view_of(k));
  v.extent[3] = Dv;
  return v;
}

// Numbers that codes of T can stand for: elements may be anything. Throws heed::Error.
template <class T, class K, class V>
void check_numbers(const char* call, const View<const K, 4>& k, const View<const V, 4>& v) {
  if constexpr (CodeFormat<T>) {
    constexpr float most = 1e35F;  // rows are rotated in float
    const auto fits = [](const auto& x) {
      bool all = true;
      for_each_row(x, [&](Index b, Index h, Index j) {
        for (Index d = 0; d < x.extent[3]; ++d) {
          const auto number = static_cast<float>(x(b, h, j, d));
          all &= is_finite(number) && number <= most && number >= -most;
        }
      });
      return all;
    };
    if (fits(k) && fits(v)) return;
    refuse({call, ": codes stand for finite numbers of at most 1e35, and k or v has others"});
  }
}

inline void check_length(const char* call, Index b, Index length) {
  if (length <= max_length) return;
  refuse({call, ": sequence ", b, " would have ", length, " tokens, more than 2^31 - 1"});
}

inline void check_truncate(const char* call, Index b, Index length, Index tokens) {
  if (length >= 0 && length <= tokens) return;
  refuse({call, ": ", length, " tokens of sequence ", b, ", which has ", tokens});
}

inline void check_erase(const char* call, Index b, Index first, Index count, Index tokens) {
  if (first >= 0 && count >= 0 && first <= tokens && count <= tokens - first) return;
  refuse(
      {call, ": ", count, " tokens from ", first, " on of sequence ", b, ", which has ", tokens});
}

}  // namespace HEED_ABI
}  // namespace heed::kv
