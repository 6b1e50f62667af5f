// The fuzz target of the safetensors reader, and what safetensors_test.cpp replays the corpus
// through.
//
// With clang: cmake --build build/clang --target heed_safetensors_fuzz, then
// heed_safetensors_fuzz corpus/safetensors.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "heed/files/safetensors.hpp"

namespace {

// Ends the program where what must hold does not.
void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

// The bytes are a header, before as much data as the first two say: it is refused by one line of
// text, or its tensors cover the data.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t data_size = data[0] + 256U * data[1];
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  try {
    std::size_t bytes = 0;
    for (const auto& [name, entry] :
         heed::files::parse_safetensors_header(text, data_size).tensors) {
      require(entry.begin <= entry.end && entry.end <= data_size);
      bytes += entry.end - entry.begin;
    }
    require(bytes == data_size);
  } catch (const heed::Error& error) {
    const std::string_view said = error.what();
    require(!said.empty() && said.size() < 400 && said.find('\n') == std::string_view::npos);
  }
  return 0;
}
