// Numbers as short texts, for people.
#pragma once

#include <array>
#include <cstdio>
#include <string>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

// As printf writes it, cut after 63 characters.
inline std::string formatted(const char* format, double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

// "28.3 %". More digits after the point would claim more than attention can tell.
inline std::string percent_text(double share) {
  if (is_nan(share)) return "NaN";
  const bool readable = share > -1e6 && share < 1e6;
  return formatted(readable ? "%.1f %%" : "%.3g %%", 100 * share);
}

}  // namespace HEED_ABI
}  // namespace heed::plot
