// The header of a GGUF file: what it says about the model, and where each tensor lies.
//
//   4 bytes   "GGUF"
//   u32       version, 2 or 3
//   u64, u64  number of tensors, number of key-value pairs
//   pairs     key, u32 type, value
//   tensors   name, u32 rank, u64 extents (the fastest first), u32 type, u64 offset in the data
//   data      from the next multiple of general.alignment (32) on
//
// A string is its u64 length and its bytes; all numbers are little endian. Nothing is believed:
// each count is checked against the bytes that are left before anything is allocated by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "heed/core/error.hpp"

namespace heed::models {

// Integers of any size, floats and doubles are kept in the widest of their kind.
using GgufValue =
    std::variant<bool, std::int64_t, std::uint64_t, double, std::string, std::vector<std::int64_t>,
                 std::vector<std::uint64_t>, std::vector<double>, std::vector<std::string>>;

// Element types that are read here, by the format's numbers. Those of a block hold 32 elements.
enum class GgufType : std::uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 8, bf16 = 30 };

// The size of a type: `bytes` for each `elements` along the first extent. 0 of them for a type that
// is not read here.
struct GgufBlock {
  std::uint64_t elements, bytes;
  std::string_view name;
};
GgufBlock gguf_block(GgufType type);

struct GgufTensor {
  GgufType type{};
  std::vector<std::uint64_t> shape;  // as in memory, the fastest extent last
  std::uint64_t begin = 0;           // [begin, end) within the file
  std::uint64_t end = 0;             // begin for a type that is not read here
};

struct GgufHeader {
  std::map<std::string, GgufValue, std::less<>> values;
  std::map<std::string, GgufTensor, std::less<>> tensors;
};

// The header ends behind the bytes that were given, though not behind the file's end.
class GgufNeedsMore : public Error {
 public:
  using Error::Error;
};

// The header that the first bytes of a file of `file_size` bytes hold.
// Throws heed::Error where they are no such header: of another version, with an unknown type of
// value, an array of arrays, a name twice, or a tensor that is cut, overlaps another or is not
// aligned. Throws GgufNeedsMore where `start` is too short.
GgufHeader parse_gguf_header(std::span<const std::byte> start, std::uint64_t file_size);

}  // namespace heed::models
