#include "images.hpp"

#include <array>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "heed/core/error.hpp"
#include "heed/core/random.hpp"

namespace digits {

namespace {

using Pixels = std::array<float, side * side>;  // row by row, from 0 to 16

Images in_patches(const std::vector<Pixels>& images, std::vector<int> labels) {
  Images all{heed::Tensor3<float>(static_cast<Index>(images.size()), patches, pixels),
             std::move(labels)};
  for (std::size_t n = 0; n < images.size(); ++n) {
    for (Index row = 0; row < side; ++row) {
      for (Index column = 0; column < side; ++column) {
        const Index patch = row / patch_side * (side / patch_side) + column / patch_side;
        const Index pixel = row % patch_side * patch_side + column % patch_side;
        all.input(static_cast<Index>(n), patch, pixel) =
            images[n][static_cast<std::size_t>(row * side + column)] / 4 - 2;
      }
    }
  }
  return all;
}

// The lit segments of 0 … 9, from bit 0: top, upper left, upper right, middle, lower left, lower
// right, bottom.
constexpr std::array<unsigned, 10> segments{0x77, 0x24, 0x5D, 0x6D, 0x2E,
                                            0x6B, 0x7B, 0x25, 0x7F, 0x6F};

bool lit(unsigned shown, int x, int y) {
  const auto on = [&](unsigned segment) { return (shown >> segment & 1U) != 0; };
  if (x < 2 || x > 5) return false;
  if ((y == 1 && on(0)) || (y == 3 && on(3)) || (y == 6 && on(6))) return true;
  if (y >= 1 && y <= 3 && ((x == 2 && on(1)) || (x == 5 && on(2)))) return true;
  return y >= 3 && y <= 6 && ((x == 2 && on(4)) || (x == 5 && on(5)));
}

// Pixels and the label behind them. Returns the label, −1 for another line.
int read_line(const std::string& line, Pixels& image) {
  std::istringstream numbers(line);
  for (float& pixel : image) {
    char comma = 0;
    if (!(numbers >> pixel >> comma) || comma != ',' || !(pixel >= 0 && pixel <= 16)) return -1;
  }
  int label = -1;
  if (!(numbers >> label) || label < 0 || label > 9) return -1;
  return (numbers >> std::ws).eof() ? label : -1;
}

}  // namespace

Images read(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw heed::Error("digits: cannot read " + file.string());
  std::vector<Pixels> images;
  std::vector<int> labels;
  for (std::string line; std::getline(in, line);) {
    Pixels image{};
    const int label = read_line(line, image);
    if (label < 0) {
      throw heed::Error("digits: " + file.string() + ":" + std::to_string(images.size() + 1) +
                        ": not 64 pixels and a digit");
    }
    images.push_back(image);
    labels.push_back(label);
  }
  if (images.empty()) throw heed::Error("digits: " + file.string() + " has no digits");
  return in_patches(images, std::move(labels));
}

Images made(Index count) {
  std::vector<Pixels> images(static_cast<std::size_t>(count));
  std::vector<int> labels;
  for (std::size_t n = 0; n < images.size(); ++n) {
    const auto number = static_cast<std::uint32_t>(n);
    labels.push_back(static_cast<int>(heed::philox(1, {number, 0, 0, 0})[0] % 10));
    for (int at = 0; at < side * side; ++at) {
      const auto noise = heed::philox(2, {number, static_cast<std::uint32_t>(at), 0, 0})[0] % 9;
      const bool ink = lit(segments[static_cast<std::size_t>(labels[n])], at % 8, at / 8);
      images[n][static_cast<std::size_t>(at)] = static_cast<float>(ink ? 16 - noise : noise);
    }
  }
  return in_patches(images, std::move(labels));
}

Images pick(const Images& all, std::span<const Index> some) {
  Images picked{heed::Tensor3<float>(static_cast<Index>(some.size()), patches, pixels), {}};
  for (std::size_t n = 0; n < some.size(); ++n) {
    picked.input.chip(static_cast<Index>(n), 0) = all.input.chip(some[n], 0);
    picked.target.push_back(all.target[static_cast<std::size_t>(some[n])]);
  }
  return picked;
}

Split split(const Images& all) {
  std::vector<Index> train, held_out;
  for (Index n = 0; n < all.input.dimension(0); ++n) {
    (n % 5 == 4 ? held_out : train).push_back(n);
  }
  return {pick(all, train), pick(all, held_out)};
}

}  // namespace digits
