#include "models/gguf_header.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "models/gguf_values.hpp"
#include "models/printable.hpp"

namespace heed::models {
namespace {

constexpr std::uint64_t max_alignment = std::uint64_t{1} << 20U;
constexpr std::uint32_t max_rank = 4;

void take_values(GgufCursor& cursor, std::uint64_t count, GgufHeader& header) {
  for (std::uint64_t n = 0; n < count; ++n) {
    std::string key = cursor.take_string();
    try {
      GgufValue value = take_gguf_value(cursor);
      if (header.values.contains(key)) throw Error("is there twice");
      header.values.emplace(std::move(key), std::move(value));
    } catch (const GgufNeedsMore&) {
      throw;
    } catch (const Error& error) {
      throw Error("value " + printable(key) + ": " + error.what());
    }
  }
}

// Bytes of a tensor of a type that is read here.
std::uint64_t tensor_bytes(const GgufTensor& tensor, const GgufBlock& block) {
  const std::uint64_t row = tensor.shape.back();
  if (row % block.elements != 0) {
    throw Error("has rows of " + std::to_string(row) + " elements, which is not a multiple of " +
                std::to_string(block.elements) + ", a block of " + std::string(block.name));
  }
  std::uint64_t bytes = row / block.elements;
  bool fits = !__builtin_mul_overflow(bytes, block.bytes, &bytes);
  for (std::size_t d = 0; d + 1 < tensor.shape.size(); ++d) {
    fits = fits && !__builtin_mul_overflow(bytes, tensor.shape[d], &bytes);
  }
  if (!fits) throw Error("has more than 2^64 bytes");
  return bytes;
}

// A tensor's description; begin is its offset in the data, end − begin its size.
GgufTensor take_tensor(GgufCursor& cursor) {
  GgufTensor tensor;
  const auto rank = cursor.take<std::uint32_t>();
  if (rank == 0 || rank > max_rank) {
    throw Error("has rank " + std::to_string(rank) + ", outside 1 … " + std::to_string(max_rank));
  }
  for (std::uint32_t d = 0; d < rank; ++d) tensor.shape.push_back(cursor.take<std::uint64_t>());
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  tensor.type = static_cast<GgufType>(cursor.take<std::uint32_t>());
  tensor.begin = tensor.end = cursor.take<std::uint64_t>();
  const GgufBlock block = gguf_block(tensor.type);
  if (block.elements == 0) return tensor;
  if (__builtin_add_overflow(tensor.begin, tensor_bytes(tensor, block), &tensor.end)) {
    throw Error("ends beyond 2^64 bytes");
  }
  return tensor;
}

void take_tensors(GgufCursor& cursor, std::uint64_t count, GgufHeader& header) {
  for (std::uint64_t n = 0; n < count; ++n) {
    std::string name = cursor.take_string();
    try {
      GgufTensor tensor = take_tensor(cursor);
      if (header.tensors.contains(name)) throw Error("is there twice");
      header.tensors.emplace(std::move(name), std::move(tensor));
    } catch (const GgufNeedsMore&) {
      throw;
    } catch (const Error& error) {
      throw Error("tensor " + printable(name) + " " + error.what());
    }
  }
}

std::uint64_t alignment_of(const GgufHeader& header) {
  const auto found = header.values.find("general.alignment");
  if (found == header.values.end()) return 32;
  const auto* value = std::get_if<std::uint64_t>(&found->second);
  if (value == nullptr || !std::has_single_bit(*value) || *value > max_alignment) {
    throw Error("general.alignment is not a power of two up to 2^20");
  }
  return *value;
}

// Offsets in the data become offsets in the file, checked against it.
void place_tensors(GgufHeader& header, std::uint64_t header_bytes, std::uint64_t file_size) {
  const std::uint64_t alignment = alignment_of(header);
  const std::uint64_t data = (header_bytes + alignment - 1) / alignment * alignment;
  const std::uint64_t room = file_size > data ? file_size - data : 0;
  for (auto& [name, tensor] : header.tensors) {
    const auto refuse = [&name = name](const std::string& why) {
      throw Error("tensor " + printable(name) + " " + why);
    };
    if (tensor.end > room) {
      refuse("claims bytes " + std::to_string(tensor.begin) + " to " + std::to_string(tensor.end) +
             " of the " + std::to_string(room) + " that the file has; was it cut?");
    }
    if (tensor.begin % alignment != 0) {
      refuse("begins at byte " + std::to_string(tensor.begin) +
             " of the data, which is not a multiple of " + std::to_string(alignment));
    }
    tensor.begin += data;
    tensor.end += data;
  }
}

void check_overlaps(const GgufHeader& header) {
  using Named = decltype(header.tensors)::value_type;
  std::vector<const Named*> order;
  for (const Named& tensor : header.tensors) {
    if (tensor.second.end > tensor.second.begin) order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(),
            [](const Named* a, const Named* b) { return a->second.begin < b->second.begin; });
  for (std::size_t n = 1; n < order.size(); ++n) {
    if (order[n]->second.begin >= order[n - 1]->second.end) continue;
    throw Error("tensors " + printable(order[n - 1]->first) + " and " + printable(order[n]->first) +
                " overlap");
  }
}

}  // namespace

GgufBlock gguf_block(GgufType type) {
  switch (type) {
    case GgufType::f32:
      return {1, 4, "F32"};
    case GgufType::f16:
      return {1, 2, "F16"};
    case GgufType::bf16:
      return {1, 2, "BF16"};
    case GgufType::q4_0:
      return {32, 18, "Q4_0"};
    case GgufType::q4_1:
      return {32, 20, "Q4_1"};
    case GgufType::q8_0:
      return {32, 34, "Q8_0"};
  }
  return {0, 0, "another type"};
}

GgufHeader parse_gguf_header(std::span<const std::byte> start, std::uint64_t file_size) {
  static_assert(std::endian::native == std::endian::little, "GGUF is little endian");
  constexpr std::uint32_t magic = 0x46554747;  // "GGUF"
  // Name, rank, one extent, type and offset; key, type and one byte.
  constexpr std::uint64_t least_tensor = 8 + 4 + 8 + 4 + 8, least_pair = 8 + 4 + 1;
  GgufCursor cursor(start, file_size);
  if (cursor.take<std::uint32_t>() != magic) throw Error("it does not begin with \"GGUF\"");
  const auto version = cursor.take<std::uint32_t>();
  if (version != 2 && version != 3) {
    throw Error("it has version " + std::to_string(version) + "; 2 and 3 are read here");
  }
  const std::uint64_t tensors = cursor.take_count(least_tensor, "tensors");
  const std::uint64_t pairs = cursor.take_count(least_pair, "values");
  GgufHeader header;
  take_values(cursor, pairs, header);
  take_tensors(cursor, tensors, header);
  place_tensors(header, cursor.at(), file_size);
  check_overlaps(header);
  return header;
}

}  // namespace heed::models
