// A GGUF file: its header is read when it is opened, a tensor when it is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/gguf_header.hpp"
#include "models/input_file.hpp"

namespace heed::models {

class Gguf {
 public:
  // Throws heed::Error, one line with the path, for a file that is not wholly valid.
  explicit Gguf(const std::filesystem::path& path);

  const GgufHeader& header() const { return header_; }
  bool has(std::string_view key) const { return header_.values.contains(key); }

  // The value of a key. Throws heed::Error, one line with the path and the key, where it is missing
  // or of another type, or a count outside [least, most].
  std::uint64_t count(std::string_view key, std::uint64_t least, std::uint64_t most) const;
  double real(std::string_view key) const;
  bool flag(std::string_view key) const;
  const std::string& text(std::string_view key) const;
  const std::vector<std::string>& texts(std::string_view key) const;
  const std::vector<std::int64_t>& integers(std::string_view key) const;

  // The tensor of this name, which must have this shape, else heed::Error with both.
  const GgufTensor& tensor(std::string_view name, std::span<const std::uint64_t> shape) const;

  // Its bytes. Throws heed::Error where the type is not read here, or the file has been cut since
  // it was opened.
  std::vector<std::byte> bytes(std::string_view name, std::span<const std::uint64_t> shape) const;

  // Its elements as floats, row-major. Each is d·q or d·q + m rounded once, as gguf_blocks.hpp has
  // them.
  std::vector<float> floats(std::string_view name, std::span<const std::uint64_t> shape) const;

  // The same of elements that must be finite, else heed::Error with the name.
  std::vector<float> finite_floats(std::string_view name,
                                   std::span<const std::uint64_t> shape) const;

  [[noreturn]] void refuse(const std::string& why) const;

 private:
  template <class V>
  const V& value(std::string_view key, const char* kind) const;

  InputFile file_;
  std::string path_;
  GgufHeader header_;
};

}  // namespace heed::models
