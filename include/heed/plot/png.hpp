// PNG: an Image on disk or in memory, written by stb_image_write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/plot/file.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/stb_png.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

// The bytes of a PNG file. Throws heed::Error for a picture without pixels, which PNG cannot hold.
inline std::vector<std::uint8_t> encode_png(const Image& image) {
  const std::string size = std::to_string(image.width()) + " x " + std::to_string(image.height());
  if (image.width() == 0 || image.height() == 0) {
    throw Error("heed::plot::encode_png: the image is empty (" + size + ")");
  }
  if (1LL * image.width() * image.height() > largest_picture) {
    throw Error("heed::plot::encode_png: the image is too large for stb (" + size + ")");
  }
  std::vector<std::uint8_t> png;
  const auto append = [](void* context, void* data, int count) {
    const auto* begin = static_cast<const std::uint8_t*>(data);
    static_cast<std::vector<std::uint8_t>*>(context)->insert(
        static_cast<std::vector<std::uint8_t>*>(context)->end(), begin, begin + count);
  };
  if (stb::stbi_write_png_to_func(append, &png, image.width(), image.height(), 3, image.data(),
                                  3 * image.width()) == 0) {
    throw Error("heed::plot::encode_png: stb_image_write failed on " + size);
  }
  return png;
}

// Writes the picture; throws heed::Error with the path and the system's reason where it cannot.
// A half-written file is removed (a device is not).
inline void write_png(const std::filesystem::path& path, const Image& image) {
  write_file("heed::plot::write_png", path, encode_png(image));
}

}  // namespace HEED_ABI
}  // namespace heed::plot
