// The fuzz target of the GGUF reader, and what gguf_test.cpp replays the corpus through.
//
// With clang: cmake --build build/clang --target heed_gguf_fuzz, then heed_gguf_fuzz corpus/gguf.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "models/gguf_blocks.hpp"
#include "models/gguf_header.hpp"

namespace {

using heed::models::GgufHeader;
using heed::models::GgufTensor;

// Ends the program where what must hold does not.
void require(bool holds) {
  if (!holds) std::abort();
}

// A tensor of an accepted file lies in it, and every block of it can be read.
void check_tensor(const GgufTensor& tensor, std::span<const std::byte> file) {
  require(tensor.begin <= tensor.end &&
          tensor.end <= std::max<std::size_t>(file.size(), tensor.begin));
  const auto block = heed::models::gguf_block(tensor.type);
  if (block.elements == 0 || tensor.begin == tensor.end) return;
  require((tensor.end - tensor.begin) % block.bytes == 0);
  std::vector<float> values(block.elements);
  for (std::uint64_t at = tensor.begin; at < tensor.end; at += block.bytes) {
    heed::models::read_gguf_block(tensor.type, file.subspan(at, block.bytes), values);
  }
}

// The header, which either is refused by one line of text or holds what it promises.
//   file_size  of the file that these bytes begin
void parse(std::span<const std::byte> bytes, std::uint64_t file_size) {
  try {
    const GgufHeader header = heed::models::parse_gguf_header(bytes, file_size);
    if (file_size != bytes.size()) return;
    for (const auto& [name, tensor] : header.tensors) check_tensor(tensor, bytes);
  } catch (const heed::Error& error) {
    const std::string_view text = error.what();
    require(!text.empty() && text.size() < 400 && text.find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  parse(bytes, size);
  parse(bytes, std::uint64_t{1} << 62U);  // as if most of the file were still to come
  return 0;
}
