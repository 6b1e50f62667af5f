// The elements of GGUF's blocks.
//
//   Q8_0  32 of  d·q          d float16, q int8
//   Q4_0  32 of  d·(q − 8)    d float16, q 4 bits
//   Q4_1  32 of  d·q + m      d and m float16, q 4 bits
//
// Of 16 bytes of 4-bit numbers, the low halves are elements 0 … 15, the high ones 16 … 31.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "models/gguf_header.hpp"

namespace heed::models {

inline constexpr std::size_t quantised_block = 32;

// 32 elements scale·codes[i] + offset.
struct QuantisedBlock {
  float scale = 0;
  float offset = 0;  // 0 for all types but Q4_1
  std::array<std::int8_t, quantised_block> codes{};
};

// True for the types whose blocks are QuantisedBlocks.
bool is_quantised(GgufType type);

// One block of a quantised type, from its bytes.
QuantisedBlock quantised_block_of(GgufType type, std::span<const std::byte> bytes);

// One block of any type that is read here as floats; scale·code + offset is rounded once.
void read_gguf_block(GgufType type, std::span<const std::byte> bytes, std::span<float> to);

}  // namespace heed::models
