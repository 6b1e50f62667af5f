#include "models/gguf.hpp"

#include <algorithm>

#include "heed/core/types.hpp"
#include "models/gguf_blocks.hpp"
#include "models/printable.hpp"

namespace heed::models {
namespace {

std::string shape_text(std::span<const std::uint64_t> shape) {
  std::string text = "[";
  for (const std::uint64_t extent : shape) {
    if (text.size() > 1) text += ',';
    text += std::to_string(extent);
  }
  return text + "]";
}

// SmolLM2's header has 1.7 MiB, most of it its 49,152 tokens and their merges. In memory a
// header takes up to eight times its bytes.
constexpr std::uint64_t max_gguf_header = std::uint64_t{64} << 20U;

// The header of the file, from as much of its start as it takes: the vocabulary makes it some MiB.
GgufHeader read_header(const InputFile& file) {
  const std::uint64_t size = file.size();
  for (std::uint64_t guess = std::uint64_t{4} << 20U;; guess *= 2) {
    std::vector<std::byte> start(static_cast<std::size_t>(std::min(guess, size)));
    file.read(0, start);
    try {
      return parse_gguf_header(start, size);
    } catch (const GgufNeedsMore&) {
      if (start.size() == size) throw;
      if (guess >= max_gguf_header) throw Error("its header has more than 64 MiB");
    }
  }
}

}  // namespace

Gguf::Gguf(const std::filesystem::path& path) : file_(path), path_(path.string()) {
  try {
    header_ = read_header(file_);
  } catch (const Error& error) {
    refuse(error.what());
  }
}

void Gguf::refuse(const std::string& why) const {
  throw Error("heed::models::Gguf: " + path_ + ": " + why);
}

template <class V>
const V& Gguf::value(std::string_view key, const char* kind) const {
  const auto found = header_.values.find(key);
  if (found == header_.values.end()) refuse("the value " + std::string(key) + " is missing");
  const V* value = std::get_if<V>(&found->second);
  if (value == nullptr) refuse(std::string(key) + " is not " + kind);
  return *value;
}

std::uint64_t Gguf::count(std::string_view key, std::uint64_t least, std::uint64_t most) const {
  const auto count = value<std::uint64_t>(key, "an unsigned integer");
  if (count < least || count > most) {
    refuse(std::string(key) + " is " + std::to_string(count) + ", outside " +
           std::to_string(least) + " … " + std::to_string(most));
  }
  return count;
}

double Gguf::real(std::string_view key) const { return value<double>(key, "a float"); }
bool Gguf::flag(std::string_view key) const { return value<bool>(key, "a Boolean"); }
const std::string& Gguf::text(std::string_view key) const {
  return value<std::string>(key, "a string");
}
const std::vector<std::string>& Gguf::texts(std::string_view key) const {
  return value<std::vector<std::string>>(key, "an array of strings");
}
const std::vector<std::int64_t>& Gguf::integers(std::string_view key) const {
  return value<std::vector<std::int64_t>>(key, "an array of integers");
}

const GgufTensor& Gguf::tensor(std::string_view name, std::span<const std::uint64_t> shape) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end()) refuse("tensor " + printable(name) + " is not in the file");
  const GgufTensor& tensor = found->second;
  if (!std::ranges::equal(tensor.shape, shape)) {
    refuse("tensor " + printable(name) + " is " + shape_text(tensor.shape) + " where " +
           shape_text(shape) + " is expected");
  }
  if (gguf_block(tensor.type).elements == 0) {
    refuse("tensor " + printable(name) + " has type " +
           std::to_string(static_cast<std::uint32_t>(tensor.type)) +
           "; F32, F16, BF16, Q8_0, Q4_0 and Q4_1 are read here");
  }
  return tensor;
}

std::vector<std::byte> Gguf::bytes(std::string_view name,
                                   std::span<const std::uint64_t> shape) const {
  const GgufTensor& found = tensor(name, shape);
  std::vector<std::byte> bytes(static_cast<std::size_t>(found.end - found.begin));
  file_.read(found.begin, bytes);
  return bytes;
}

std::vector<float> Gguf::floats(std::string_view name, std::span<const std::uint64_t> shape) const {
  const std::vector<std::byte> from = bytes(name, shape);
  const GgufType type = tensor(name, shape).type;
  const GgufBlock block = gguf_block(type);
  std::vector<float> values(from.size() / block.bytes * block.elements);
  for (std::size_t n = 0; n < from.size() / block.bytes; ++n) {
    read_gguf_block(type, std::span(from).subspan(n * block.bytes, block.bytes),
                    std::span(values).subspan(n * block.elements, block.elements));
  }
  return values;
}

std::vector<float> Gguf::finite_floats(std::string_view name,
                                       std::span<const std::uint64_t> shape) const {
  std::vector<float> values = floats(name, shape);
  if (!std::ranges::all_of(values, [](float x) { return is_finite(x); })) {
    refuse("tensor " + printable(name) + " has elements that are not finite");
  }
  return values;
}

}  // namespace heed::models
