#include "models/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "heed/core/error.hpp"
#include "models/printable.hpp"
#include "models/safetensors_header.hpp"

namespace heed::models {
namespace {

constexpr std::size_t length_bytes = 8;

std::optional<std::uint64_t> dtype_size(std::string_view dtype) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 15> sizes{{{"BOOL", 1},
                                                                              {"U8", 1},
                                                                              {"I8", 1},
                                                                              {"F8_E5M2", 1},
                                                                              {"F8_E4M3", 1},
                                                                              {"I16", 2},
                                                                              {"U16", 2},
                                                                              {"F16", 2},
                                                                              {"BF16", 2},
                                                                              {"I32", 4},
                                                                              {"U32", 4},
                                                                              {"F32", 4},
                                                                              {"F64", 8},
                                                                              {"I64", 8},
                                                                              {"U64", 8}}};
  const auto* found = std::find_if(sizes.begin(), sizes.end(),
                                   [&](const auto& entry) { return entry.first == dtype; });
  if (found == sizes.end()) return std::nullopt;
  return found->second;
}

std::string shape_text(std::span<const std::uint64_t> shape) {
  std::string text = "[";
  for (const std::uint64_t extent : shape) {
    if (text.size() > 1) text += ',';
    text += std::to_string(extent);
  }
  return text + "]";
}

// Bytes of a tensor of this shape, or nothing where the product leaves 64 bits.
std::optional<std::uint64_t> byte_count(std::span<const std::uint64_t> shape,
                                        std::uint64_t element_size) {
  std::uint64_t count = element_size;
  for (const std::uint64_t extent : shape) {
    if (extent != 0 && count > std::numeric_limits<std::uint64_t>::max() / extent) return {};
    count *= extent;
  }
  return count;
}

void check_entry(const std::string& name, const TensorEntry& entry, std::size_t data_size) {
  const auto refuse = [&](const std::string& why) {
    throw Error("tensor " + printable(name) + " " + why);
  };
  const auto range = [&] {
    return "[" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + ")";
  };
  const auto element_size = dtype_size(entry.dtype);
  if (!element_size) refuse("has the unknown dtype " + printable(entry.dtype));
  if (entry.begin > entry.end || entry.end > data_size) {
    refuse("claims bytes " + range() + " of " + std::to_string(data_size));
  }
  const auto needed = byte_count(entry.shape, *element_size);
  if (!needed || *needed != entry.end - entry.begin) {
    refuse("of shape " + shape_text(entry.shape) + " and dtype " + entry.dtype + " needs " +
           (needed ? std::to_string(*needed) : "more than 2^64") + " bytes but claims " + range());
  }
}

// Sorted by where they begin, each tensor must start where the one before ended.
void check_coverage(const TensorTable& tensors, std::size_t data_size) {
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

// Splits a file into its header and its data.
std::pair<std::string_view, std::span<const std::byte>> split(const MappedFile& file) {
  const std::span<const std::byte> all = file.bytes();
  if (all.size() < length_bytes) {
    throw Error("the file has " + std::to_string(all.size()) + " bytes, too few for a header");
  }
  std::uint64_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;) {
    length = length << 8U | std::to_integer<std::uint64_t>(all[i]);
  }
  const std::size_t rest = all.size() - length_bytes;
  if (length > max_safetensors_header || length > rest) {
    throw Error("the header claims " + std::to_string(length) + " bytes; " + std::to_string(rest) +
                " follow and " + std::to_string(max_safetensors_header) + " are allowed");
  }
  const auto header_size = static_cast<std::size_t>(length);
  return {file.text().substr(length_bytes, header_size), all.subspan(length_bytes + header_size)};
}

}  // namespace

TensorTable parse_safetensors_header(std::string_view header, std::size_t data_size) {
  TensorTable tensors = read_safetensors_header(header);
  for (const auto& [name, entry] : tensors) check_entry(name, entry, data_size);
  check_coverage(tensors, data_size);
  return tensors;
}

Safetensors::Safetensors(const std::filesystem::path& path) : file_(path), path_(path.string()) {
  static_assert(std::endian::native == std::endian::little, "safetensors data is little endian");
  try {
    const auto [header, data] = split(file_);
    tensors_ = parse_safetensors_header(header, data.size());
    data_ = data;
  } catch (const Error& error) {
    throw Error("heed::models::Safetensors: " + path_ + ": " + error.what());
  }
}

std::span<const std::byte> Safetensors::bytes(std::string_view name, std::string_view dtype,
                                              std::span<const std::uint64_t> shape) const {
  const auto refuse = [&](const std::string& why) {
    throw Error("heed::models::Safetensors: " + path_ + ": tensor " + printable(name) + " " + why);
  };
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) refuse("is not in the file");
  const TensorEntry& entry = found->second;
  if (entry.dtype != dtype ||
      !std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end())) {
    refuse("is " + entry.dtype + " " + shape_text(entry.shape) + " where " + std::string(dtype) +
           " " + shape_text(shape) + " is expected");
  }
  return data_.subspan(entry.begin, entry.end - entry.begin);
}

std::vector<float> Safetensors::floats(std::string_view name,
                                       std::span<const std::uint64_t> shape) const {
  const std::span<const std::byte> source = bytes(name, "F32", shape);
  std::vector<float> values(source.size() / sizeof(float));
  // A copy, not a cast: the format does not promise that the data is aligned for float.
  if (!values.empty()) std::memcpy(values.data(), source.data(), source.size());
  return values;
}

}  // namespace heed::models
