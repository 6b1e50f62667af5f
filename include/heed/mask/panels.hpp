// What stands beside each other: queries by one panel of keys after another, all asked at once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "heed/mask/mask.hpp"

namespace heed::mask {

// Queries [q_begin, q_end) by panels of `width` keys from k_begin on; the last may be narrower.
struct Panels {
  int q_begin, q_end;
  int k_begin, k_end;
  int width;

  int count() const { return (k_end - k_begin + width - 1) / width; }
  Tile tile() const { return {q_begin, q_end, k_begin, k_end}; }
  // Panels [first, last) of these.
  Panels part(int first, int last) const {
    return {q_begin, q_end, k_begin + first * width,
            last == count() ? k_end : k_begin + last * width, width};
  }
};

// A mask that knows all panels sooner than one after the other.
template <class M>
concept CoversPanels = BoundMask<M> &&
    requires(const M& mask, const Panels& panels, std::uint8_t* found) {
  mask.cover(panels, found);
};

inline namespace HEED_ABI {

// found[n] = Coverage of panel n, by halves: what is Empty or Full as a whole is asked once.
template <BoundMask M>
void cover(const M& mask, const Panels& panels, std::uint8_t* found) {
  if constexpr (CoversPanels<M>) {
    mask.cover(panels, found);
  } else {
    const Coverage whole = mask.coverage(panels.tile());
    const int count = panels.count();
    if (whole != Coverage::Partial || count == 1) {
      std::fill_n(found, count, static_cast<std::uint8_t>(whole));
    } else {
      cover(mask, panels.part(0, count / 2), found);
      cover(mask, panels.part(count / 2, count), found + count / 2);
    }
  }
}

// found[n] = combine(found[n], Coverage of panel n).
template <BoundMask M, class Combine>
void cover_combined(const M& mask, const Panels& panels, std::uint8_t* found,
                    const Combine& combine) {
  constexpr int run = 64;
  std::uint8_t other[run];
  const int count = panels.count();
  for (int first = 0; first < count; first += run) {
    const int last = std::min(first + run, count);
    cover(mask, panels.part(first, last), other);
    for (int n = first; n < last; ++n) found[n] = combine(found[n], other[n - first]);
  }
}

}  // namespace HEED_ABI
}  // namespace heed::mask
