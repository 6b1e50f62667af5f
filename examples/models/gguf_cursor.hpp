// The bytes of a GGUF header, read one number or string after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "models/gguf_header.hpp"

namespace heed::models {

// Takes numbers and strings off the front of a header.
class GgufCursor {
 public:
  GgufCursor(std::span<const std::byte> start, std::uint64_t file_size)
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

}  // namespace heed::models
