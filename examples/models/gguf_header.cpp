#include "models/gguf_header.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "models/printable.hpp"

namespace heed::models {
namespace {

constexpr std::uint64_t max_alignment = std::uint64_t{1} << 20U;
constexpr std::uint32_t max_rank = 4;

// Takes numbers and strings off the front of the header.
class Cursor {
 public:
  Cursor(std::span<const std::byte> start, std::uint64_t file_size)
      : start_(start), file_size_(file_size) {}

  std::uint64_t at() const { return at_; }

  template <class N>
  N take() {
    N number{};
    std::memcpy(&number, take_bytes(sizeof(N)).data(), sizeof(N));
    return number;
  }

  std::string take_string() {
    const std::span<const std::byte> bytes = take_bytes(take<std::uint64_t>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};  // NOLINT(*-cast)
  }

  // A count of things that take at least `bytes` each in what is left of the file.
  std::uint64_t take_count(std::uint64_t bytes, const char* things) {
    const auto count = take<std::uint64_t>();
    const std::uint64_t left = file_size_ - at_;
    if (count > left / bytes) {
      throw Error("it claims " + std::to_string(count) + " " + things + " in the " +
                  std::to_string(left) + " bytes behind byte " + std::to_string(at_));
    }
    if (count > (start_.size() - at_) / bytes) throw GgufNeedsMore("the header is longer");
    return count;
  }

 private:
  std::span<const std::byte> take_bytes(std::uint64_t count) {
    if (count > file_size_ - at_) {
      throw Error("it ends inside its header: " + std::to_string(count) +
                  " bytes are wanted behind byte " + std::to_string(at_) + " of " +
                  std::to_string(file_size_));
    }
    if (count > start_.size() - at_) throw GgufNeedsMore("the header is longer");
    const auto bytes =
        start_.subspan(static_cast<std::size_t>(at_), static_cast<std::size_t>(count));
    at_ += count;
    return bytes;
  }

  std::span<const std::byte> start_;
  std::uint64_t file_size_;
  std::uint64_t at_ = 0;
};

// The format's numbers of the types of values.
enum class ValueType : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

// `count` numbers of type N, as the variant keeps their kind.
template <class N, class Wide>
std::vector<Wide> take_numbers(Cursor& cursor, std::uint64_t count) {
  std::vector<Wide> numbers(static_cast<std::size_t>(count));
  for (Wide& number : numbers) {
    number = static_cast<Wide>(cursor.take<N>());  // NOLINT(bugprone-signed-char-misuse): a number
  }
  return numbers;
}

template <class N>
GgufValue take_array(Cursor& cursor) {
  using Wide =
      std::conditional_t<std::is_floating_point_v<N>, double,
                         std::conditional_t<std::is_signed_v<N>, std::int64_t, std::uint64_t>>;
  return take_numbers<N, Wide>(cursor, cursor.take_count(sizeof(N), "numbers"));
}

GgufValue take_strings(Cursor& cursor) {
  std::vector<std::string> strings(
      static_cast<std::size_t>(cursor.take_count(sizeof(std::uint64_t), "strings")));
  for (std::string& string : strings) string = cursor.take_string();
  return strings;
}

[[noreturn]] void refuse_type(std::uint32_t type, const char* of) {
  throw Error(std::string(of) + " has the unknown type " + std::to_string(type));
}

GgufValue take_array(Cursor& cursor) {
  const auto type = cursor.take<std::uint32_t>();
  switch (static_cast<ValueType>(type)) {
    case ValueType::u8:
    case ValueType::boolean:
      return take_array<std::uint8_t>(cursor);
    case ValueType::i8:
      return take_array<std::int8_t>(cursor);
    case ValueType::u16:
      return take_array<std::uint16_t>(cursor);
    case ValueType::i16:
      return take_array<std::int16_t>(cursor);
    case ValueType::u32:
      return take_array<std::uint32_t>(cursor);
    case ValueType::i32:
      return take_array<std::int32_t>(cursor);
    case ValueType::u64:
      return take_array<std::uint64_t>(cursor);
    case ValueType::i64:
      return take_array<std::int64_t>(cursor);
    case ValueType::f32:
      return take_array<float>(cursor);
    case ValueType::f64:
      return take_array<double>(cursor);
    case ValueType::string:
      return take_strings(cursor);
    case ValueType::array:
      throw Error("is an array of arrays, which is not read here");
  }
  refuse_type(type, "an element");
}

GgufValue take_value(Cursor& cursor) {
  const auto type = cursor.take<std::uint32_t>();
  switch (static_cast<ValueType>(type)) {
    case ValueType::u8:
      return std::uint64_t{cursor.take<std::uint8_t>()};
    case ValueType::i8:
      return std::int64_t{cursor.take<std::int8_t>()};
    case ValueType::u16:
      return std::uint64_t{cursor.take<std::uint16_t>()};
    case ValueType::i16:
      return std::int64_t{cursor.take<std::int16_t>()};
    case ValueType::u32:
      return std::uint64_t{cursor.take<std::uint32_t>()};
    case ValueType::i32:
      return std::int64_t{cursor.take<std::int32_t>()};
    case ValueType::u64:
      return cursor.take<std::uint64_t>();
    case ValueType::i64:
      return cursor.take<std::int64_t>();
    case ValueType::f32:
      return double{cursor.take<float>()};
    case ValueType::f64:
      return cursor.take<double>();
    case ValueType::boolean:
      return cursor.take<std::uint8_t>() != 0;
    case ValueType::string:
      return cursor.take_string();
    case ValueType::array:
      return take_array(cursor);
  }
  refuse_type(type, "the value");
}

void take_values(Cursor& cursor, std::uint64_t count, GgufHeader& header) {
  for (std::uint64_t n = 0; n < count; ++n) {
    std::string key = cursor.take_string();
    try {
      GgufValue value = take_value(cursor);
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
GgufTensor take_tensor(Cursor& cursor) {
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

void take_tensors(Cursor& cursor, std::uint64_t count, GgufHeader& header) {
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
  Cursor cursor(start, file_size);
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
