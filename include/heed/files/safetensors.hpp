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

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "heed/files/dtype.hpp"
#include "heed/files/input_file.hpp"
#include "heed/files/safetensors_header.hpp"

namespace heed::files {

// The format's own limit on the header, 100 MB.
inline constexpr std::size_t max_safetensors_header = 100'000'000;
inline constexpr std::size_t safetensors_length_bytes = 8;

inline namespace HEED_ABI {

inline std::string shape_text(std::span<const std::uint64_t> shape) {
  std::string text = "[";
  for (const std::uint64_t extent : shape) {
    if (text.size() > 1) text += ',';
    text += std::to_string(extent);
  }
  return text + "]";
}

// Bytes of a tensor of this shape, or nothing where they pass 64 bits. The last byte may be in part
// beyond a type of 4 or 6 bits; the format wants it full, so half a byte counts as one too many.
inline std::optional<std::uint64_t> byte_count(std::span<const std::uint64_t> shape,
                                               std::uint64_t bits) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t count = 1;
  for (const std::uint64_t extent : shape) {
    if (extent != 0 && count > most / extent) return {};
    count *= extent;
  }
  if (count / 8 > (most - bits) / bits) return {};
  return count / 8 * bits + (count % 8 * bits + 7) / 8;
}

inline void check_entry(const std::string& name, const TensorEntry& entry, std::size_t data_size) {
  const auto refuse = [&](const std::string& why) {
    throw Error("tensor " + printable(name) + " " + why);
  };
  const auto range = [&] {
    return "[" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + ")";
  };
  const auto element_bits = dtype_bits(entry.dtype);
  if (!element_bits) refuse("has the unknown dtype " + printable(entry.dtype));
  if (entry.begin > entry.end || entry.end > data_size) {
    refuse("claims bytes " + range() + " of " + std::to_string(data_size));
  }
  const auto needed = byte_count(entry.shape, *element_bits);
  if (!needed || *needed != entry.end - entry.begin) {
    refuse("of shape " + shape_text(entry.shape) + " and dtype " + entry.dtype + " needs " +
           (needed ? std::to_string(*needed) : "more than 2^64") + " bytes but claims " + range());
  }
}

// Sorted by where they begin, each tensor must start where the one before ended.
inline void check_coverage(const TensorTable& tensors, std::size_t data_size) {
  std::vector<const TensorTable::value_type*> order;
  order.reserve(tensors.size());
  for (const auto& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::size_t covered = 0;
  for (const auto* tensor : order) {
    if (tensor->second.begin != covered) {
      throw Error("tensor " + printable(tensor->first) + " begins at byte " +
                  std::to_string(tensor->second.begin) + " but the one before ends at " +
                  std::to_string(covered));
    }
    covered = tensor->second.end;
  }
  if (covered != data_size) {
    throw Error("the tensors cover " + std::to_string(covered) + " of " +
                std::to_string(data_size) + " bytes of data");
  }
}

// The header of a file of `size` bytes.
inline std::string safetensors_text(const InputFile& file, std::uint64_t size) {
  if (size < safetensors_length_bytes) {
    throw Error("the file has " + std::to_string(size) + " bytes, too few for a header");
  }
  std::array<std::byte, safetensors_length_bytes> start{};
  file.read(0, start);
  std::uint64_t length = 0;
  for (std::size_t i = safetensors_length_bytes; i-- > 0;) {
    length = length << 8U | std::to_integer<std::uint64_t>(start[i]);
  }
  const std::uint64_t rest = size - safetensors_length_bytes;
  if (length > max_safetensors_header || length > rest) {
    throw Error("the header claims " + std::to_string(length) + " bytes; " + std::to_string(rest) +
                " follow and " + std::to_string(max_safetensors_header) + " are allowed");
  }
  std::string header(static_cast<std::size_t>(length), ' ');
  file.read(safetensors_length_bytes, std::as_writable_bytes(std::span(header)));
  return header;
}

// The header, checked. `data_size` is what follows it in the file. Throws heed::Error where the
// text is not such a header or its tensors do not cover the data.
inline SafetensorsHeader parse_safetensors_header(std::string_view text, std::size_t data_size) {
  SafetensorsHeader header = read_safetensors_header(text);
  for (const auto& [name, entry] : header.tensors) check_entry(name, entry, data_size);
  check_coverage(header.tensors, data_size);
  return header;
}

class Safetensors {
 public:
  // Throws heed::Error, one line with the path, for a file that is not wholly valid.
  explicit Safetensors(const std::filesystem::path& path) : file_(path), path_(path.string()) {
    const std::uint64_t size = file_.size();
    try {
      const std::string text = safetensors_text(file_, size);
      data_begin_ = safetensors_length_bytes + text.size();
      header_ = parse_safetensors_header(text, static_cast<std::size_t>(size - data_begin_));
    } catch (const Error& error) {
      throw Error("heed::files::Safetensors: " + path_ + ": " + error.what());
    }
  }

  const std::string& path() const { return path_; }
  const TensorTable& tensors() const& { return header_.tensors; }
  TensorTable tensors() && { return std::move(header_.tensors); }
  const Metadata& metadata() const& { return header_.metadata; }
  Metadata metadata() && { return std::move(header_.metadata); }

  // The bytes of tensor `name`, which must have this dtype and shape, else heed::Error with both.
  // Throws heed::Error too where the file has been cut since it was opened.
  std::vector<std::byte> bytes(std::string_view name, std::string_view dtype,
                               std::span<const std::uint64_t> shape) const {
    return read(name, entry(name, std::span(&dtype, 1), shape));
  }

  // The elements of a tensor of type T, row-major. Throws as bytes does.
  template <class T>
  std::vector<T> values(std::string_view name, std::span<const std::uint64_t> shape) const {
    return converted<T, T>(bytes(name, dtype_of<T>, shape));
  }

  // An F32, BF16 or F16 tensor of this shape as floats, row-major; each value is kept exactly.
  std::vector<float> floats(std::string_view name, std::span<const std::uint64_t> shape) const {
    return as<float>(name, entry(name, std::span(rounded_dtypes).first(3), shape));
  }

  // A tensor of floating-point numbers as T, rounded where T is narrower.
  template <class T>
  std::vector<T> rounded(std::string_view name, std::span<const std::uint64_t> shape) const {
    return as<T>(name, entry(name, rounded_dtypes, shape));
  }
  // Throws heed::Error, with the dtype, where rounded cannot read this tensor.
  void check_rounded(const std::string& name) const {
    entry(name, rounded_dtypes, header_.tensors.find(name)->second.shape);
  }

 private:
  static constexpr std::array<std::string_view, 4> rounded_dtypes{"F32", "BF16", "F16", "F64"};

  // The tensor of this name, of one of these dtypes and this shape.
  const TensorEntry& entry(std::string_view name, std::span<const std::string_view> dtypes,
                           std::span<const std::uint64_t> shape) const {
    const auto found = header_.tensors.find(name);
    if (found == header_.tensors.end()) refuse(name, "is not in the file");
    const TensorEntry& entry = found->second;
    const bool same_type = std::find(dtypes.begin(), dtypes.end(), entry.dtype) != dtypes.end();
    const bool same_shape =
        std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end());
    if (same_type && same_shape) return entry;
    std::string also;  // what would do as well
    for (const std::string_view dtype : dtypes.subspan(1)) {
      also += (also.empty() ? "; " : " or ") + std::string(dtype);
    }
    refuse(name, "is " + entry.dtype + " " + shape_text(entry.shape) + " where " +
                     std::string(dtypes[0]) + " " + shape_text(shape) + " is expected" +
                     (also.empty() ? "" : also + " will do"));
  }

  [[noreturn]] void refuse(std::string_view name, const std::string& why) const {
    throw Error("heed::files::Safetensors: " + path_ + ": tensor " + printable(name) + " " + why);
  }

  std::vector<std::byte> read(std::string_view name, const TensorEntry& entry) const {
    std::vector<std::byte> bytes;
    try {
      bytes.resize(entry.end - entry.begin);
    } catch (const std::exception&) {
      refuse(name, "has " + std::to_string(entry.end - entry.begin) +
                       " bytes, which do not fit into memory");
    }
    file_.read(data_begin_ + entry.begin, bytes);
    return bytes;
  }

  template <class T>
  std::vector<T> as(std::string_view name, const TensorEntry& entry) const {
    const std::vector<std::byte> source = read(name, entry);
    if (entry.dtype == "F64") return converted<T, double>(source);
    if (entry.dtype == "BF16") return converted<T, Eigen::bfloat16>(source);
    return entry.dtype == "F16" ? converted<T, Eigen::half>(source) : converted<T, float>(source);
  }

  InputFile file_;
  std::string path_;
  std::uint64_t data_begin_ = 0;
  SafetensorsHeader header_;
};

}  // namespace HEED_ABI
}  // namespace heed::files
