// Pictures one after another in one file, as an animated PNG: browsers play it, and what does not
// know the extension shows the first picture.
//
// Animated PNG is PNG with three more chunks (W3C, PNG third edition, 2023, section 11.3.6): acTL
// counts the frames, an fcTL before each says how it is shown, and fdAT holds the pixels of all
// frames but the first, compressed as in IDAT. Each frame here is a whole picture.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/plot/file.hpp"
#include "heed/plot/heatmap_grid.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/png.hpp"

namespace heed::plot {

struct AnimationOptions {
  int delay_ms = 1000;  // that each frame is shown, 1 … 65535
  int loops = 0;        // how often all is shown; 0: for ever
};

inline namespace HEED_ABI {

namespace apng {

using Bytes = std::vector<std::uint8_t>;

// ISO 3309, polynomial 0xEDB88320 from the lowest bit: PNG's check of a chunk's type and data.
inline std::uint32_t crc32(const std::uint8_t* data, std::size_t size) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> remainders{};
    for (std::uint32_t n = 0; n < 256; ++n) {
      std::uint32_t r = n;
      for (int bit = 0; bit < 8; ++bit) r = (r >> 1U) ^ ((r & 1U) != 0 ? 0xEDB88320U : 0U);
      remainders[n] = r;
    }
    return remainders;
  }();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (std::size_t i = 0; i < size; ++i) crc = table[(crc ^ data[i]) & 0xFFU] ^ (crc >> 8U);
  return ~crc;
}

// PNG's numbers are big-endian.
inline void put32(Bytes& to, std::uint32_t value) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    to.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

inline std::uint32_t get32(const std::uint8_t* from) {
  return std::uint32_t{from[0]} << 24U | std::uint32_t{from[1]} << 16U |
         std::uint32_t{from[2]} << 8U | std::uint32_t{from[3]};
}

inline void put_chunk(Bytes& to, std::string_view type, const Bytes& data) {
  put32(to, static_cast<std::uint32_t>(data.size()));
  const std::size_t checked = to.size();
  to.insert(to.end(), type.begin(), type.end());
  to.insert(to.end(), data.begin(), data.end());
  put32(to, crc32(to.data() + checked, to.size() - checked));
}

// The data of all chunks of one type in a PNG, one after another.
inline Bytes chunk_data(const Bytes& png, std::string_view type) {
  constexpr std::size_t signature = 8, around = 12;  // length, type and CRC
  Bytes data;
  for (std::size_t at = signature; at + around <= png.size();) {
    const std::size_t size = get32(png.data() + at);
    const std::uint8_t* begin = png.data() + at + 8;
    if (std::equal(type.begin(), type.end(), begin - 4))
      data.insert(data.end(), begin, begin + size);
    at += size + around;
  }
  return data;
}

inline Bytes frame_control(std::uint32_t sequence, const Image& frame, int delay_ms) {
  Bytes data;
  put32(data, sequence);
  put32(data, static_cast<std::uint32_t>(frame.width()));
  put32(data, static_cast<std::uint32_t>(frame.height()));
  put32(data, 0);                                                    // at the left
  put32(data, 0);                                                    // at the top
  put32(data, static_cast<std::uint32_t>(delay_ms) << 16U | 1000U);  // delay_ms / 1000 seconds
  data.insert(data.end(), {0, 0});  // left as it is when over; replaces what was before
  return data;
}

// Throws heed::Error for what an animation cannot be made of.
inline void check(const std::vector<Image>& frames, const AnimationOptions& options) {
  const auto refuse = [](const std::string& text) {
    throw Error("heed::plot::encode_apng: " + text);
  };
  if (frames.empty()) refuse("0 frames");
  if (options.delay_ms < 1 || options.delay_ms > 65535) {
    refuse("delay_ms is " + std::to_string(options.delay_ms) + ", outside [1, 65535]");
  }
  if (options.loops < 0) refuse("loops is " + std::to_string(options.loops) + ", below 0");
  const auto size = [&](std::size_t n) {
    return std::to_string(frames[n].width()) + " x " + std::to_string(frames[n].height());
  };
  for (std::size_t n = 1; n < frames.size(); ++n) {
    if (size(n) == size(0)) continue;
    refuse("frame " + std::to_string(n) + " is " + size(n) + " but frame 0 is " + size(0));
  }
}

}  // namespace apng

// The bytes of an animated PNG. Throws heed::Error for no frames, frames of different sizes or
// without pixels, and for a delay or a number of loops that the format cannot hold.
inline std::vector<std::uint8_t> encode_apng(const std::vector<Image>& frames,
                                             const AnimationOptions& options = {}) {
  apng::check(frames, options);
  apng::Bytes file{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'}, counts;
  apng::put32(counts, static_cast<std::uint32_t>(frames.size()));
  apng::put32(counts, static_cast<std::uint32_t>(options.loops));
  std::uint32_t sequence = 0;  // of fcTL and fdAT together
  for (const Image& frame : frames) {
    const apng::Bytes png = encode_png(frame), pixels = apng::chunk_data(png, "IDAT");
    const bool first = sequence == 0;
    if (first) {
      apng::put_chunk(file, "IHDR", apng::chunk_data(png, "IHDR"));
      apng::put_chunk(file, "acTL", counts);
    }
    apng::put_chunk(file, "fcTL", apng::frame_control(sequence++, frame, options.delay_ms));
    if (first) {
      apng::put_chunk(file, "IDAT", pixels);
      continue;
    }
    apng::Bytes numbered;
    apng::put32(numbered, sequence++);
    numbered.insert(numbered.end(), pixels.begin(), pixels.end());
    apng::put_chunk(file, "fdAT", numbered);
  }
  apng::put_chunk(file, "IEND", {});
  return file;
}

// Writes the animation; throws heed::Error as encode_apng does, and with the path and the system's
// reason where it cannot. A half-written file is removed (a device is not).
inline void write_apng(const std::filesystem::path& path, const std::vector<Image>& frames,
                       const AnimationOptions& options = {}) {
  write_file("heed::plot::write_apng", path, encode_apng(frames, options));
}

// Each picture on a white ground as wide and as high as the largest, at its top left.
inline std::vector<Image> same_size(const std::vector<Image>& pictures) {
  int width = 0, height = 0;
  for (const Image& picture : pictures) {
    width = std::max(width, picture.width()), height = std::max(height, picture.height());
  }
  check_picture("heed::plot::same_size", width, height);
  std::vector<Image> result;
  for (const Image& picture : pictures) {
    result.emplace_back(width, height).paste(picture, 0, 0);
  }
  return result;
}

// Heat maps of equal size in one common range, each with its title: the frames of an animation of
// patterns by layer. Throws heed::Error unless there is one title a matrix.
template <Matrix M>
std::vector<Image> heatmap_frames(const std::vector<M>& matrices,
                                  const std::vector<std::string>& titles,
                                  HeatmapOptions options = {}) {
  return same_size(heat::panels("heed::plot::heatmap_frames", matrices, titles, options));
}

}  // namespace HEED_ABI
}  // namespace heed::plot
