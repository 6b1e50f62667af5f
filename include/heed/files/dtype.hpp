// Element types as safetensors names them.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "heed/core/eigen.hpp"

namespace heed::files {

static_assert(std::endian::native == std::endian::little, "safetensors data is little endian");

inline namespace HEED_ABI {

template <class T>
inline constexpr const char* dtype_of = "";
template <>
inline constexpr const char* dtype_of<float> = "F32";
template <>
inline constexpr const char* dtype_of<double> = "F64";
template <>
inline constexpr const char* dtype_of<Eigen::half> = "F16";
template <>
inline constexpr const char* dtype_of<Eigen::bfloat16> = "BF16";
template <>
inline constexpr const char* dtype_of<std::int64_t> = "I64";
template <>
inline constexpr const char* dtype_of<std::uint64_t> = "U64";

// Bits of an element of each type that the format has.
inline std::optional<std::uint64_t> dtype_bits(std::string_view dtype) {
  using Entry = std::pair<std::string_view, std::uint64_t>;
  constexpr auto sizes = std::to_array<Entry>({
      {"F4", 4},   {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"BOOL", 8},    {"U8", 8},
      {"I8", 8},   {"F8_E5M2", 8},     {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"I16", 16}, {"F8_E5M2FNUZ", 8}, {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32}, {"U32", 32},        {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64}, {"U64", 64},
  });
  const auto* found = std::find_if(sizes.begin(), sizes.end(),
                                   [&](const auto& entry) { return entry.first == dtype; });
  if (found == sizes.end()) return std::nullopt;
  return found->second;
}

// Elements of type E as T, from bytes that need not be aligned for E.
template <class T, class E>
std::vector<T> converted(std::span<const std::byte> bytes) {
  std::vector<T> values(bytes.size() / sizeof(E));
  for (std::size_t i = 0; i < values.size(); ++i) {
    E element;
    std::memcpy(&element, bytes.data() + i * sizeof(E), sizeof(E));
    values[i] = static_cast<T>(element);
  }
  return values;
}

template <class T>
std::vector<std::byte> bytes_of(std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  return {bytes.begin(), bytes.end()};
}

}  // namespace HEED_ABI
}  // namespace heed::files
