// Image: an RGB raster in memory, the one thing every picture of heed::plot is drawn on.
#pragma once

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/plot/format.hpp"
#include "heed/plot/whole.hpp"

namespace heed::plot {

// One sRGB pixel, 8 bits a channel.
struct Color {
  std::uint8_t red = 0, green = 0, blue = 0;

  friend constexpr bool operator==(const Color&, const Color&) = default;
};

// The colours every picture shares, so that a row of pictures looks like one hand drew it.
namespace palette {
inline constexpr Color white{255, 255, 255};
inline constexpr Color ink{33, 37, 41};
inline constexpr Color faint_ink{108, 117, 125};
inline constexpr Color rule{173, 181, 189};
inline constexpr Color not_a_number{255, 193, 7};
inline constexpr Color minus_infinity{206, 212, 218};
inline constexpr Color plus_infinity{90, 24, 154};
}  // namespace palette

// Half-open rectangle of pixels: columns [x, x + width), rows [y, y + height).
struct Rect {
  int x = 0, y = 0;
  int width = 0, height = 0;
};

// Pixels of the largest picture that encode_png takes: stb counts bytes, the filtered rows and
// their worst-case deflate, in int.
inline constexpr long long largest_picture = INT_MAX / 2 / 3;

// Pixels are stored row by row from the top left, three bytes each, without padding.
class Image {
 public:
  Image() = default;

  // Throws heed::Error for a negative size; memory is 3 · width · height bytes.
  [[gnu::always_inline]] Image(int width, int height, Color background = palette::white)
      : width_(width), height_(height) {
    if (width < 0 || height < 0) {
      throw Error("heed::plot::Image: size must not be negative, got " + std::to_string(width) +
                  " x " + std::to_string(height));
    }
    bytes_.resize(std::size_t{3} * static_cast<std::size_t>(width) *
                  static_cast<std::size_t>(height));
    fill({0, 0, width, height}, background);
  }

  int width() const { return width_; }
  int height() const { return height_; }
  const std::uint8_t* data() const { return bytes_.data(); }  // [height, width, 3]

  bool contains(int x, int y) const { return x >= 0 && y >= 0 && x < width_ && y < height_; }

  // Throws heed::Error outside the picture.
  Color at(int x, int y) const {
    if (!contains(x, y)) {
      throw Error("heed::plot::Image::at: pixel (" + std::to_string(x) + ", " + std::to_string(y) +
                  ") is outside " + std::to_string(width_) + " x " + std::to_string(height_));
    }
    const std::size_t i = offset(x, y);
    return {bytes_[i], bytes_[i + 1], bytes_[i + 2]};
  }

  // Drawing outside the picture is clipped: a label may run over the edge, memory may not.
  void set(int x, int y, Color color) {
    if (!contains(x, y)) return;
    const std::size_t i = offset(x, y);
    bytes_[i] = color.red;
    bytes_[i + 1] = color.green;
    bytes_[i + 2] = color.blue;
  }

  // coverage 0 leaves the pixel, 1 replaces it.
  void blend(int x, int y, Color color, float coverage) {
    if (!contains(x, y)) return;
    const std::size_t i = offset(x, y);
    bytes_[i] = mix(bytes_[i], color.red, coverage);
    bytes_[i + 1] = mix(bytes_[i + 1], color.green, coverage);
    bytes_[i + 2] = mix(bytes_[i + 2], color.blue, coverage);
  }

  [[gnu::always_inline]] void fill(Rect rect, Color color) {
    const int x_end = end(rect.x, rect.width, width_);
    const int y_end = end(rect.y, rect.height, height_);
    for (int y = std::max(rect.y, 0); y < y_end; ++y) {
      for (int x = std::max(rect.x, 0); x < x_end; ++x) set(x, y, color);
    }
  }

  // A one-pixel border just inside rect.
  void frame(Rect rect, Color color) {
    fill({rect.x, rect.y, rect.width, 1}, color);
    fill({rect.x, rect.y + rect.height - 1, rect.width, 1}, color);
    fill({rect.x, rect.y, 1, rect.height}, color);
    fill({rect.x + rect.width - 1, rect.y, 1, rect.height}, color);
  }

  void paste(const Image& other, int x, int y) {
    const int x_end = end(x, other.width_, width_), y_end = end(y, other.height_, height_);
    for (int row = std::max(y, 0); row < y_end; ++row) {
      for (int column = std::max(x, 0); column < x_end; ++column) {
        set(column, row, other.at(column - x, row - y));
      }
    }
  }

 private:
  // begin + length, but not beyond `limit`; in 64 bits, since a rectangle may lie anywhere.
  static int end(int begin, int length, int limit) {
    return static_cast<int>(std::min<std::int64_t>(std::int64_t{begin} + length, limit));
  }

  std::size_t offset(int x, int y) const {
    return std::size_t{3} * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) +
                             static_cast<std::size_t>(x));
  }

  static std::uint8_t mix(std::uint8_t below, std::uint8_t above, float coverage) {
    const float t = std::clamp(coverage, 0.0F, 1.0F);
    const float value = static_cast<float>(below) * (1.0F - t) + static_cast<float>(above) * t;
    return static_cast<std::uint8_t>(table_index(static_cast<double>(value) / 255, 256));
  }

  int width_ = 0, height_ = 0;
  std::vector<std::uint8_t> bytes_;
};

inline namespace HEED_ABI {

// Throws heed::Error, before anything is drawn, for a picture that no PNG of heed's could hold.
inline void check_picture(const char* call, double width, double height) {
  if (std::max(width, 1.0) * std::max(height, 1.0) <= static_cast<double>(largest_picture)) return;
  throw Error(std::string(call) + ": the picture would be " + formatted("%.0f", width) + " x " +
              formatted("%.0f", height) + " pixels, more than the " +
              std::to_string(largest_picture) + " that fit a PNG");
}

}  // namespace HEED_ABI

}  // namespace heed::plot
