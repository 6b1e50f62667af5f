#include "models/gguf_blocks.hpp"

#include <cmath>
#include <cstring>

#include "heed/core/assert.hpp"
#include "heed/core/eigen.hpp"

namespace heed::models {
namespace {

// The element of type E at byte `at`, which need not be aligned for it.
template <class E>
float element(std::span<const std::byte> bytes, std::size_t at) {
  E value;
  std::memcpy(&value, bytes.data() + at, sizeof(E));
  return static_cast<float>(value);
}

}  // namespace

bool is_quantised(GgufType type) {
  return type == GgufType::q8_0 || type == GgufType::q4_0 || type == GgufType::q4_1;
}

QuantisedBlock quantised_block_of(GgufType type, std::span<const std::byte> bytes) {
  HEED_ASSERT(is_quantised(type) && bytes.size() == gguf_block(type).bytes);
  constexpr std::size_t half = quantised_block / 2, float16 = 2;
  QuantisedBlock block;
  block.scale = element<Eigen::half>(bytes, 0);
  if (type == GgufType::q8_0) {
    std::memcpy(block.codes.data(), bytes.data() + float16, quantised_block);
    return block;
  }
  if (type == GgufType::q4_1) block.offset = element<Eigen::half>(bytes, float16);
  const int zero = type == GgufType::q4_0 ? 8 : 0;
  const auto pairs = bytes.last(half);
  for (std::size_t i = 0; i < half; ++i) {
    const auto pair = std::to_integer<unsigned>(pairs[i]);
    block.codes[i] = static_cast<std::int8_t>(static_cast<int>(pair & 15U) - zero);
    block.codes[i + half] = static_cast<std::int8_t>(static_cast<int>(pair >> 4U) - zero);
  }
  return block;
}

void read_gguf_block(GgufType type, std::span<const std::byte> bytes, std::span<float> to) {
  switch (type) {
    case GgufType::f32:
      to[0] = element<float>(bytes, 0);
      return;
    case GgufType::f16:
      to[0] = element<Eigen::half>(bytes, 0);
      return;
    case GgufType::bf16:
      to[0] = element<Eigen::bfloat16>(bytes, 0);
      return;
    default:
      break;
  }
  const QuantisedBlock block = quantised_block_of(type, bytes);
  for (std::size_t i = 0; i < quantised_block; ++i) {
    to[i] = std::fma(block.scale, static_cast<float>(block.codes[i]), block.offset);
  }
}

}  // namespace heed::models
