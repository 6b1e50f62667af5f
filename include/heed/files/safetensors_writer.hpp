// Writes safetensors files, which Python's safetensors reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "heed/files/output_file.hpp"
#include "heed/files/safetensors.hpp"

namespace heed::files {
inline namespace HEED_ABI {

// Collects tensors, then writes them in this order.
class SafetensorsWriter {
 public:
  // `bytes` gives the elements, row-major, when the file is written. Throws heed::Error for a name
  // that is there already, is "__metadata__", or is not UTF-8, and for a dtype that is unknown.
  void add(const std::string& name, const std::string& dtype, std::vector<std::uint64_t> shape,
           std::function<std::vector<std::byte>()> bytes) {
    const auto refuse = [&](const std::string& why) {
      throw Error("heed::files::SafetensorsWriter: the name " + printable(name) + " " + why);
    };
    if (name == "__metadata__") refuse("is the format's own");
    check_text("the name", name);
    const auto bits = dtype_bits(dtype);
    if (!bits) refuse("has the unknown dtype " + printable(dtype));
    const auto size = byte_count(shape, *bits);
    if (!size) refuse("has the shape " + shape_text(shape) + ", of more than 2^64 bytes");
    if (!names_.insert(name).second) refuse("is there twice");
    tensors_.push_back({name, dtype, std::move(shape), *size, std::move(bytes)});
  }

  // A list of numbers [size].
  template <class T>
  void add_values(const std::string& name, std::vector<T> values) {
    const std::uint64_t size = values.size();
    add(name, dtype_of<T>, {size},
        [values = std::move(values)] { return bytes_of<T>(std::span<const T>(values)); });
  }

  // Texts for the reader, in the header. Throws heed::Error for one that is not UTF-8.
  void describe(const std::string& key, const std::string& value) {
    check_text("the key", key);
    check_text("the value", value);
    metadata_[key] = value;
  }

  // Replaces the file as a whole, or throws heed::Error, with the path, and leaves it as it is.
  void write(const std::filesystem::path& path) const {
    const std::string header = header_text();
    if (header.size() > max_safetensors_header) {
      throw Error("heed::files: cannot write " + path.string() + ": the header has " +
                  std::to_string(header.size()) + " bytes, " +
                  std::to_string(max_safetensors_header) + " are allowed");
    }
    OutputFile file(path);
    const std::uint64_t length = header.size();
    file.write(std::as_bytes(std::span(&length, 1)));
    file.write(std::as_bytes(std::span(header)));
    for (const Tensor& tensor : tensors_) {
      const std::vector<std::byte> bytes = tensor.bytes();
      if (bytes.size() != tensor.size) {
        throw Error("heed::files: cannot write " + path.string() + ": " + printable(tensor.name) +
                    " has " + std::to_string(bytes.size()) + " bytes where its shape has " +
                    std::to_string(tensor.size));
      }
      file.write(bytes);
    }
    file.commit();
  }

 private:
  struct Tensor {
    std::string name, dtype;
    std::vector<std::uint64_t> shape;
    std::uint64_t size;  // in bytes
    std::function<std::vector<std::byte>()> bytes;
  };

  static void check_text(const std::string& kind, std::string_view text) {
    const auto refuse = [&](const char* why) {
      throw Error("heed::files::SafetensorsWriter: " + kind + " " + printable(text) + " " + why);
    };
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = utf8_length(text.substr(at));
      if (length == 0) refuse("is not UTF-8");
      if (text[at] == '\0') refuse("holds a NUL");
      at += length;
    }
  }

  // Padded with spaces, so that the data begins at a multiple of 8 bytes.
  std::string header_text() const {
    std::string text = "{", comma;
    if (!metadata_.empty()) {
      text += R"("__metadata__":{)";
      for (const auto& [key, value] : metadata_) {
        text += comma + json_quoted(key) + ":" + json_quoted(value);
        comma = ",";
      }
      text += "}";
    }
    std::uint64_t begin = 0;
    for (const Tensor& tensor : tensors_) {
      const std::uint64_t end = begin + tensor.size;
      text += text.size() > 1 ? "," : "";
      text += json_quoted(tensor.name) + R"(:{"dtype":")" + tensor.dtype + R"(","shape":)" +
              shape_text(tensor.shape) + R"(,"data_offsets":[)" + std::to_string(begin) + "," +
              std::to_string(end) + "]}";
      begin = end;
    }
    text += "}";
    return text + std::string((8 - text.size() % 8) % 8, ' ');
  }

  std::vector<Tensor> tensors_;
  std::set<std::string> names_;
  Metadata metadata_;
};

}  // namespace HEED_ABI
}  // namespace heed::files
