// The safetensors format: a JSON header that names tensors, then their bytes, in one file.
//
//   8 bytes   length of the header, little endian
//   header    {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
//   data      every byte belongs to exactly one tensor
//
// Nothing in the header is believed: each number is checked against the others and the file's size
// before anything is read or allocated by it. Opening reads the header; a tensor is read when it is
// asked for, so a type that nobody here reads, like F4 or C64, keeps no other tensor from its
// reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/input_file.hpp"

namespace heed::models {

// The format's own limit on the header, 100 MB.
inline constexpr std::size_t max_safetensors_header = 100'000'000;

struct TensorEntry {
  std::string dtype;                 // as written: "F32", "BF16", …
  std::vector<std::uint64_t> shape;  // its product times the type's size fits the bytes below
  std::size_t begin = 0;             // [begin, end) within the data
  std::size_t end = 0;
};

using TensorTable = std::map<std::string, TensorEntry, std::less<>>;

// The table a header describes. `data_size` is what follows the header in the file.
// Throws heed::Error where the text is not such a header or its tensors do not cover the data.
TensorTable parse_safetensors_header(std::string_view header, std::size_t data_size);

class Safetensors {
 public:
  // Throws heed::Error, one line with the path, for a file that is not wholly valid.
  explicit Safetensors(const std::filesystem::path& path);

  const TensorTable& tensors() const { return tensors_; }

  // The bytes of tensor `name`, which must have this dtype and shape, else heed::Error with both.
  // Throws heed::Error too where the file has been cut since it was opened.
  std::vector<std::byte> bytes(std::string_view name, std::string_view dtype,
                               std::span<const std::uint64_t> shape) const;

  // An F32, BF16 or F16 tensor of this shape as floats, row-major; each value is kept exactly.
  // Little-endian machines only.
  std::vector<float> floats(std::string_view name, std::span<const std::uint64_t> shape) const;

 private:
  // The tensor of this name, of one of these dtypes and this shape.
  const TensorEntry& entry(std::string_view name, std::initializer_list<std::string_view> dtypes,
                           std::span<const std::uint64_t> shape) const;
  std::vector<std::byte> read(const TensorEntry& entry) const;

  InputFile file_;
  std::string path_;
  std::uint64_t data_begin_ = 0;
  TensorTable tensors_;
};

}  // namespace heed::models
