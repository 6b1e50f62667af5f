// Rotary position on several axes at once: each pair of features turns at one of a token's
// positions, such as its time, row or column in a video.
// Wang et al., "Qwen2-VL" (2024), section 2.1, multimodal rotary position embedding.
#pragma once

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "heed/position/rope.hpp"

namespace heed::position {

// Where the tokens of a call stand on each axis, and which axis each pair turns by.
struct SectionPlaces {
  std::vector<std::vector<Index>> ids;  // [axes][L] or [axes][B · L]
  std::vector<int> axis_of;             // [pairs]: sections(…), interleaved_sections(…), or any
};

// Rows computed for some tokens at a time, each pair at the position of its axis.
template <class R>
class SectionRows : public BufferedRows<R> {
  using Rows = BufferedRows<R>;
  using Rows::cos_, Rows::first_, Rows::pairs_, Rows::sin_;

 public:
  [[gnu::always_inline]] SectionRows(const RopeFrequencies& frequencies,
                                     const SectionPlaces& places, Index offset, Index L)
      : Rows(static_cast<Index>(frequencies.step.size())),
        frequencies_(frequencies),
        places_(places),
        offset_(offset),
        L_(L) {}

  // Tokens [first, first + count) of batch b come next; the same ones come for b = 0, 1, ….
  [[gnu::always_inline]] void prepare(Index b, Index first, Index count) {
    first_ = first;
    const bool by_batch = ids_by_batch({0, places_.ids.front()}, L_);
    if (b > 0 && !by_batch) return;
    for (Index t = 0; t < count; ++t) {
      const auto token = static_cast<std::size_t>((by_batch ? b * L_ : 0) + first + t);
      for (Index n = 0; n < pairs_; ++n) {
        const auto pair = static_cast<std::size_t>(n);
        const auto to = static_cast<std::size_t>(t * pairs_ + n);
        const auto& ids = places_.ids[static_cast<std::size_t>(places_.axis_of[pair])];
        const double angle = (static_cast<double>(offset_) + static_cast<double>(ids[token])) *
                             frequencies_.step[pair];
        cos_[to] = static_cast<R>(frequencies_.magnitude * std::cos(angle));
        sin_[to] = static_cast<R>(frequencies_.magnitude * std::sin(angle));
      }
    }
  }

 private:
  const RopeFrequencies& frequencies_;
  const SectionPlaces& places_;
  Index offset_, L_;
};

inline namespace HEED_ABI {

inline Index checked_sections(const std::vector<Index>& pairs_of_axis) {
  Index pairs = 0;
  for (const Index count : pairs_of_axis) {
    if (count < 0 || count > max_length) {
      throw Error("heed::position::sections: a section of " + std::to_string(count) + " pairs");
    }
    pairs = checked_sum(pairs, count);
  }
  return pairs;
}

// The axis of each pair where an axis has pairs beside each other. Qwen2-VL, whose head has 128
// features, has sections({16, 24, 24}) of time, row and column.
// Throws heed::Error for a negative number of pairs.
inline std::vector<int> sections(const std::vector<Index>& pairs_of_axis) {
  checked_sections(pairs_of_axis);
  std::vector<int> axis_of;
  for (std::size_t axis = 0; axis < pairs_of_axis.size(); ++axis) {
    axis_of.insert(axis_of.end(), static_cast<std::size_t>(pairs_of_axis[axis]),
                   static_cast<int>(axis));
  }
  return axis_of;
}

// The axis of each pair where pairs take turns: axis a > 0 has its c pairs at a, a + axes, …,
// a + (c − 1) · axes, and axis 0 has all others. Qwen3-VL: interleaved_sections({24, 20, 20}).
// Throws heed::Error for a negative number of pairs, and where an axis has more than turns.
inline std::vector<int> interleaved_sections(const std::vector<Index>& pairs_of_axis) {
  const Index pairs = checked_sections(pairs_of_axis);
  const auto axes = static_cast<Index>(pairs_of_axis.size());
  std::vector<int> axis_of(static_cast<std::size_t>(pairs));
  for (Index axis = 1; axis < axes; ++axis) {
    const Index count = pairs_of_axis[static_cast<std::size_t>(axis)];
    if (count > 0 && axis + (count - 1) * axes >= pairs) {
      throw Error("heed::position::interleaved_sections: axis " + std::to_string(axis) + " has " +
                  std::to_string(count) + " pairs, more than its turns among " +
                  std::to_string(pairs));
    }
    for (Index n = 0; n < count; ++n) {
      axis_of[static_cast<std::size_t>(axis + n * axes)] = static_cast<int>(axis);
    }
  }
  return axis_of;
}

// Throws heed::Error where places do not fit `dim` features of x.
template <class T, int Rank>
void check_places(const View<const T, Rank>& x, const SectionPlaces& places, Index dim) {
  constexpr const char* call = "heed::position::rope_sections";
  const auto refuse = [&](const std::string& text) {
    throw Error(std::string(call) + ": " + text + " (x " + to_string(x) + ")");
  };
  if (places.ids.empty()) refuse("no axes");
  if (static_cast<Index>(places.axis_of.size()) != dim / 2) {
    refuse(std::to_string(places.axis_of.size()) + " pairs have an axis, of " +
           std::to_string(dim / 2));
  }
  for (const int axis : places.axis_of) {
    if (axis < 0 || static_cast<std::size_t>(axis) >= places.ids.size()) {
      refuse("axis " + std::to_string(axis) + " of " + std::to_string(places.ids.size()));
    }
  }
  for (const std::vector<Index>& ids : places.ids) {
    check_ids({0, ids}, lift(x).extent[0], x.extent[Rank - 2]);
    if (ids.size() != places.ids.front().size()) refuse("axes have not as many places each");
    if (ids.empty() && !x.empty()) refuse("no places");
  }
}

// out = x, each pair of features turned as rope_into turns it, at the token's position on the
// pair's axis. With the same position on every axis it is rope_into.
//
//   x, out  as in rope_into
//   places  a position a token on each axis, added to options.offset, and an axis a pair
//
// Frequencies are those of all dim features, unlike rope_2d's. Throws heed::Error where rope_into
// does, where places do not fit, and where options have ids of their own.
template <class Out, TensorLike X>
void rope_sections_into(Out&& out, const X& x, const SectionPlaces& places,
                        const RopeOptions& options = {}) {
  using T = ScalarOf<X>;
  const auto to = mutable_view_of(out);
  static_assert(std::is_same_v<decltype(to.data), T*>,
                "heed::position::rope_sections_into: out must be writable and of x's element type");
  const auto from = view_of(x);
  const Index dim = check_rope(to, from, options.dim, RopeTokens{options.offset, {}});
  require(options.ids.empty(), "heed::position::rope_sections", "ids beside places",
          [&] { return std::to_string(options.ids.size()) + " ids"; });
  check_places(from, places, dim);
  const RopeFrequencies frequencies = rope_frequencies(dim, options.base, options.scaling);
  SectionRows<Accum<T>> rows(frequencies, places, options.offset, lift(from).extent[2]);
  turn_tokens(lift(to), lift(from), dim, options.pairs, rows);
}

// The same as a new tensor of x's kind and layout.
template <TensorLike X>
auto rope_sections(const X& x, const SectionPlaces& places, const RopeOptions& options = {}) {
  return written_as(x, [&](const auto& to) { rope_sections_into(to, x, places, options); });
}

}  // namespace HEED_ABI
}  // namespace heed::position
