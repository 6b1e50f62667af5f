// The formats that a sequence's keys and values may have, by their names on a command line.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace heed::models {

//   paged  floats in pages of 256 tokens, of one pool for all layers
enum class CacheFormat { float32, bfloat16, half, k8v8, k8v4, k4v4, paged };

struct NamedCacheFormat {
  std::string_view name;
  CacheFormat format;
};

// The first name of a format is the one that is printed.
inline constexpr std::array<NamedCacheFormat, 8> cache_formats{{{"float", CacheFormat::float32},
                                                                {"bfloat16", CacheFormat::bfloat16},
                                                                {"half", CacheFormat::half},
                                                                {"k8v8", CacheFormat::k8v8},
                                                                {"int8", CacheFormat::k8v8},
                                                                {"k8v4", CacheFormat::k8v4},
                                                                {"k4v4", CacheFormat::k4v4},
                                                                {"paged", CacheFormat::paged}}};

constexpr std::string_view name_of(CacheFormat format) {
  for (const NamedCacheFormat& named : cache_formats) {
    if (named.format == format) return named.name;
  }
  return "";
}

constexpr std::optional<CacheFormat> cache_format_named(std::string_view name) {
  for (const NamedCacheFormat& named : cache_formats) {
    if (named.name == name) return named.format;
  }
  return std::nullopt;
}

}  // namespace heed::models
