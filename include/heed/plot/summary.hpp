// Summary: many numbers in a few: how many, their finite range, how many are NaN or infinite.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "heed/core/abi.hpp"
#include "heed/core/copy.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/plot/format.hpp"

namespace heed::plot {

struct Summary {
  Index count = 0;
  Index nan = 0, plus_infinity = 0, minus_infinity = 0;
  double low = std::numeric_limits<double>::max();  // of the finite ones; above high: none
  double high = std::numeric_limits<double>::lowest();

  void add(double value) {
    ++count;
    if (is_finite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    } else if (is_nan(value)) {
      ++nan;
    } else {
      ++(value > 0 ? plus_infinity : minus_infinity);
    }
  }

  void add(const Summary& other) {
    count += other.count;
    nan += other.nan;
    plus_infinity += other.plus_infinity;
    minus_infinity += other.minus_infinity;
    low = std::min(low, other.low);
    high = std::max(high, other.high);
  }

  bool has_finite() const { return low <= high; }
  Index infinities() const { return plus_infinity + minus_infinity; }
  bool all_finite() const { return nan == 0 && infinities() == 0; }

  // The largest finite absolute value, 0 where there is none.
  double reach() const { return has_finite() ? std::max(std::abs(low), std::abs(high)) : 0; }
};

inline namespace HEED_ABI {

// Every element of a tensor of rank 2 to 4.
template <class T, int Rank>
Summary summarize(const View<const T, Rank>& tensor) {
  const auto x = lift(tensor);
  Summary summary;
  for_each_row(x, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < x.extent[3]; ++d) summary.add(static_cast<double>(x(b, h, i, d)));
  });
  return summary;
}

// "0.3536": four digits, as people compare them.
inline std::string short_number(double value) { return formatted("%.4g", value); }

// "[-1.5, 2]", "none finite" or "empty".
inline std::string range_text(const Summary& summary) {
  if (summary.count == 0) return "empty";
  if (!summary.has_finite()) return "none finite";
  std::string text = "[";  // "[" + … is a false -Wrestrict of GCC 12 at -O3
  return text.append(short_number(summary.low)) + ", " + short_number(summary.high) + "]";
}

}  // namespace HEED_ABI
}  // namespace heed::plot
