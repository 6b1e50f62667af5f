// A file that is read, never mapped: one that another process cuts or fills meanwhile is an error
// or its new text, not the end of this program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace heed::models {

class InputFile {
 public:
  // Throws heed::Error, one line with the path, when there is no such regular file to read; a pipe
  // or a device is refused without being waited for.
  explicit InputFile(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  // As the file system says; 0 for files of /proc, which have a text all the same.
  std::uint64_t size() const;

  // Fills `to` with the bytes from `offset` on. Throws heed::Error where the file ends before.
  void read(std::uint64_t offset, std::span<std::byte> to) const;

  // Everything up to the file's end, whatever its size is said to be. Throws heed::Error for more
  // than `limit` bytes, or more than memory holds.
  std::string text(std::size_t limit = std::size_t{1} << 40U) const;

 private:
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace heed::models
