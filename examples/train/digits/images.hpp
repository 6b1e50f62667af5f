// Images of digits, 8 x 8 pixels in patches of 2 x 2: scikit-learn's, or made ones.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "heed/core/eigen.hpp"

namespace digits {

using heed::Index;

inline constexpr Index side = 8, patch_side = 2;
inline constexpr Index patches = 16, pixels = 4;  // of an image; of a patch

struct Images {
  heed::Tensor3<float> input;  // [images, patches, pixels], from -2 to 2
  std::vector<int> target;     // 0 … 9
};

// The file digits.csv: 64 pixels from 0 to 16 and the digit in each line. Throws heed::Error with
// the line that holds something else, and for an empty file.
Images read(const std::filesystem::path& file);

// Digits as a pocket calculator shows them, under noise.
Images made(Index count);

Images pick(const Images& all, std::span<const Index> some);

// Every fifth image is held out.
struct Split {
  Images train, held_out;
};
Split split(const Images& all);

}  // namespace digits
