#include "models/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "heed/core/eigen.hpp"
#include "heed/core/error.hpp"
#include "models/printable.hpp"
#include "models/safetensors_header.hpp"

namespace heed::models {
namespace {

constexpr std::size_t length_bytes = 8;

// Bits of an element of each type that the format has.
std::optional<std::uint64_t> dtype_bits(std::string_view dtype) {
  using Entry = std::pair<std::string_view, std::uint64_t>;
  constexpr auto sizes = std::to_array<Entry>({
      {"F4", 4},   {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"BOOL", 8},    {"U8", 8},
      {"I8", 8},   {"F8_E5M2", 8},     {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"I16", 16}, {"F8_E5M2FNUZ", 8}, {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32}, {"U32", 32},        {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64}, {"U64", 64},
  });
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

// Bytes of a tensor of this shape, or nothing where they pass 64 bits. The last byte may be in part
// beyond a type of 4 or 6 bits; the format wants it full, so half a byte counts as one too many.
std::optional<std::uint64_t> byte_count(std::span<const std::uint64_t> shape, std::uint64_t bits) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t count = 1;
  for (const std::uint64_t extent : shape) {
    if (extent != 0 && count > most / extent) return {};
    count *= extent;
  }
  if (count / 8 > (most - bits) / bits) return {};
  return count / 8 * bits + (count % 8 * bits + 7) / 8;
}

void check_entry(const std::string& name, const TensorEntry& entry, std::size_t data_size) {
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

// The header of a file of `size` bytes.
std::string header_of(const InputFile& file, std::uint64_t size) {
  if (size < length_bytes) {
    throw Error("the file has " + std::to_string(size) + " bytes, too few for a header");
  }
  std::array<std::byte, length_bytes> start{};
  file.read(0, start);
  std::uint64_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;) {
    length = length << 8U | std::to_integer<std::uint64_t>(start[i]);
  }
  const std::uint64_t rest = size - length_bytes;
  if (length > max_safetensors_header || length > rest) {
    throw Error("the header claims " + std::to_string(length) + " bytes; " + std::to_string(rest) +
                " follow and " + std::to_string(max_safetensors_header) + " are allowed");
  }
  std::string header(static_cast<std::size_t>(length), ' ');
  file.read(length_bytes, std::as_writable_bytes(std::span(header)));
  return header;
}

// Elements of type E as floats, from bytes that need not be aligned for E.
template <class E>
std::vector<float> widened(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(E));
  for (std::size_t i = 0; i < values.size(); ++i) {
    E element;
    std::memcpy(&element, bytes.data() + i * sizeof(E), sizeof(E));
    values[i] = static_cast<float>(element);
  }
  return values;
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
  const std::uint64_t size = file_.size();
  try {
    const std::string header = header_of(file_, size);
    data_begin_ = length_bytes + header.size();
    tensors_ = parse_safetensors_header(header, static_cast<std::size_t>(size - data_begin_));
  } catch (const Error& error) {
    throw Error("heed::models::Safetensors: " + path_ + ": " + error.what());
  }
}

const TensorEntry& Safetensors::entry(std::string_view name,
                                      std::initializer_list<std::string_view> dtypes,
                                      std::span<const std::uint64_t> shape) const {
  const auto found = tensors_.find(name);
  const auto refuse = [&](const std::string& why) {
    throw Error("heed::models::Safetensors: " + path_ + ": tensor " + printable(name) + " " + why);
  };
  if (found == tensors_.end()) refuse("is not in the file");
  const TensorEntry& entry = found->second;
  const bool same_type = std::find(dtypes.begin(), dtypes.end(), entry.dtype) != dtypes.end();
  if (!same_type ||
      !std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end())) {
    std::string also;  // what would do as well
    for (const std::string_view dtype : std::span(dtypes).subspan(1)) {
      also += (also.empty() ? "; " : " or ") + std::string(dtype);
    }
    refuse("is " + entry.dtype + " " + shape_text(entry.shape) + " where " +
           std::string(*dtypes.begin()) + " " + shape_text(shape) + " is expected" +
           (also.empty() ? "" : also + " will do"));
  }
  return entry;
}

std::vector<std::byte> Safetensors::read(const TensorEntry& entry) const {
  std::vector<std::byte> bytes(entry.end - entry.begin);
  file_.read(data_begin_ + entry.begin, bytes);
  return bytes;
}

std::vector<std::byte> Safetensors::bytes(std::string_view name, std::string_view dtype,
                                          std::span<const std::uint64_t> shape) const {
  return read(entry(name, {dtype}, shape));
}

std::vector<float> Safetensors::floats(std::string_view name,
                                       std::span<const std::uint64_t> shape) const {
  const TensorEntry& found = entry(name, {"F32", "BF16", "F16"}, shape);
  const std::vector<std::byte> source = read(found);
  if (found.dtype == "BF16") return widened<Eigen::bfloat16>(source);
  return found.dtype == "F16" ? widened<Eigen::half>(source) : widened<float>(source);
}

}  // namespace heed::models
