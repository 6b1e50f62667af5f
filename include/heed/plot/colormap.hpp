// Colormap: a number in [0, 1] becomes a colour, in even steps of perceived lightness.
//
// Between anchors the colour moves on a straight line in Oklab (B. Ottosson, "A perceptual color
// space for image processing", 2020). A straight line in sRGB dips in lightness between saturated
// anchors, and a heat map then shows bands that the data does not have.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/whole.hpp"

namespace heed::plot {

// Lightness in [0, 1] and two opponent axes (green to red, blue to yellow).
struct Oklab {
  double lightness = 0, a = 0, b = 0;
};

inline namespace HEED_ABI {

namespace oklab {

inline double linear_from_srgb(std::uint8_t channel) {
  const double c = static_cast<double>(channel) / 255.0;
  return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

inline std::uint8_t srgb_from_linear(double value) {
  const double v = std::clamp(value, 0.0, 1.0);
  const double c = v <= 0.0031308 ? 12.92 * v : 1.055 * std::pow(v, 1.0 / 2.4) - 0.055;
  return static_cast<std::uint8_t>(table_index(c, 256));
}

}  // namespace oklab

inline Oklab to_oklab(Color color) {
  const double r = oklab::linear_from_srgb(color.red);
  const double g = oklab::linear_from_srgb(color.green);
  const double b = oklab::linear_from_srgb(color.blue);
  const double l = std::cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const double m = std::cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const double s = std::cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return {0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
          1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
          0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

inline Color from_oklab(const Oklab& lab) {
  const double l = std::pow(lab.lightness + 0.3963377774 * lab.a + 0.2158037573 * lab.b, 3);
  const double m = std::pow(lab.lightness - 0.1055613458 * lab.a - 0.0638541728 * lab.b, 3);
  const double s = std::pow(lab.lightness - 0.0894841775 * lab.a - 1.2914855480 * lab.b, 3);
  return {oklab::srgb_from_linear(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          oklab::srgb_from_linear(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          oklab::srgb_from_linear(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

}  // namespace HEED_ABI

// Colours at equal steps from 0 to 1; a table of 256 entries, so a lookup costs one index.
class Colormap {
 public:
  // Throws heed::Error with fewer than two anchors. `diverging` says that the middle means zero.
  [[gnu::always_inline]] explicit Colormap(const std::vector<Color>& anchors,
                                           bool diverging = false)
      : diverging_(diverging) {
    if (anchors.size() < 2) {
      throw Error("heed::plot::Colormap: needs at least 2 anchor colours, got " +
                  std::to_string(anchors.size()));
    }
    for (std::size_t i = 0; i < table_.size(); ++i) {
      const double t = static_cast<double>(i) / static_cast<double>(table_.size() - 1);
      table_[i] = between(anchors, t * static_cast<double>(anchors.size() - 1));
    }
  }

  // Values outside [0, 1] take the colour of the nearer end, a NaN that of 0.
  Color operator()(double t) const { return table_[table_index(t, table_.size())]; }

  bool diverging() const { return diverging_; }

 private:
  static Color between(const std::vector<Color>& anchors, double position) {
    const auto index = std::min(whole<std::size_t>(position), anchors.size() - 2);
    const double t = position - static_cast<double>(index);
    const Oklab low = to_oklab(anchors[index]), high = to_oklab(anchors[index + 1]);
    return from_oklab({low.lightness + t * (high.lightness - low.lightness),
                       low.a + t * (high.a - low.a), low.b + t * (high.b - low.b)});
  }

  std::array<Color, 256> table_{};
  bool diverging_;
};

inline namespace HEED_ABI {

// White to deep blue: for weights, which start at 0.
template <class = void>
Colormap blues() {
  return Colormap({{248, 250, 253}, {190, 216, 240}, {104, 166, 215}, {38, 110, 182}, {9, 44, 99}});
}

// Red below zero, near-white at zero, blue above: for scores, biases and encodings.
template <class = void>
Colormap red_blue() {
  return Colormap({{112, 10, 32},
                   {203, 78, 70},
                   {243, 178, 148},
                   {247, 246, 244},
                   {157, 199, 224},
                   {64, 133, 189},
                   {8, 50, 104}},
                  true);
}

// Deep red to near-white: for biases and penalties, which are 0 at most.
template <class = void>
Colormap reds() {
  return Colormap(
      {{112, 10, 32}, {176, 55, 58}, {228, 128, 107}, {246, 194, 172}, {250, 247, 245}});
}

// Text that stays readable on `background`: dark on light colours, white on dark ones.
inline Color text_on(Color background) {
  return to_oklab(background).lightness > 0.66 ? palette::ink : palette::white;
}

}  // namespace HEED_ABI

}  // namespace heed::plot
