// The bytes of a GGUF file, as a test wants them: right, or wrong in one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace heed::models::test {

template <class N>
std::string bytes_of(N number) {
  std::string bytes(sizeof(N), '\0');
  std::memcpy(bytes.data(), &number, sizeof(N));
  return bytes;
}

inline std::string gguf_string(std::string_view text) {
  return bytes_of(std::uint64_t{text.size()}) + std::string(text);
}

// The format's number of a type of values.
template <class N>
constexpr std::uint32_t value_type() {
  if constexpr (std::is_same_v<N, bool>) return 7;
  if constexpr (std::is_same_v<N, std::uint8_t>) return 0;
  if constexpr (std::is_same_v<N, std::int32_t>) return 5;
  if constexpr (std::is_same_v<N, std::uint32_t>) return 4;
  if constexpr (std::is_same_v<N, float>) return 6;
  if constexpr (std::is_same_v<N, std::uint64_t>) return 10;
}

class GgufFile {
 public:
  std::uint32_t version = 3;
  std::size_t alignment = 32;

  template <class N>
  GgufFile& value(std::string_view key, N number) {
    return raw_value(key, bytes_of(value_type<N>()) + bytes_of(number));
  }
  GgufFile& text(std::string_view key, std::string_view text) {
    return raw_value(key, bytes_of(std::uint32_t{8}) + gguf_string(text));
  }
  GgufFile& texts(std::string_view key, const std::vector<std::string>& texts) {
    std::string bytes = array_of(8, texts.size());
    for (const std::string& text : texts) bytes += gguf_string(text);
    return raw_value(key, bytes);
  }
  template <class N>
  GgufFile& numbers(std::string_view key, const std::vector<N>& numbers) {
    std::string bytes = array_of(value_type<N>(), numbers.size());
    for (const N number : numbers) bytes += bytes_of(number);
    return raw_value(key, bytes);
  }
  // A value whose type and bytes are given.
  GgufFile& raw_value(std::string_view key, const std::string& bytes) {
    values_ += gguf_string(key) + bytes;
    ++value_count_;
    return *this;
  }

  // A tensor with these bytes; extents as the format has them, the fastest first.
  GgufFile& tensor(std::string_view name, const std::vector<std::uint64_t>& extents,
                   std::uint32_t type, const std::string& bytes) {
    raw_tensor(name, extents, type, data_.size());
    data_ += bytes;
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  // A tensor that only claims to be there.
  GgufFile& raw_tensor(std::string_view name, const std::vector<std::uint64_t>& extents,
                       std::uint32_t type, std::uint64_t offset) {
    tensors_ += gguf_string(name) + bytes_of(static_cast<std::uint32_t>(extents.size()));
    for (const std::uint64_t extent : extents) tensors_ += bytes_of(extent);
    tensors_ += bytes_of(type) + bytes_of(offset);
    ++tensor_count_;
    return *this;
  }

  std::string bytes() const {
    std::string header = "GGUF" + bytes_of(version) + bytes_of(tensor_count_) +
                         bytes_of(value_count_) + values_ + tensors_;
    header.resize((header.size() + alignment - 1) / alignment * alignment);
    return header + data_;
  }

 private:
  static std::string array_of(std::uint32_t type, std::uint64_t count) {
    return bytes_of(std::uint32_t{9}) + bytes_of(type) + bytes_of(count);
  }

  std::string values_, tensors_, data_;
  std::uint64_t value_count_ = 0, tensor_count_ = 0;
};

}  // namespace heed::models::test
