// A whole file as read-only bytes: mapped, not copied, so opening a 90 MB model costs no memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace heed::models {

class MappedFile {
 public:
  // Throws heed::Error, one line with the path, when there is no such regular file to read; a pipe
  // or a device is refused without being waited for. Another process that shortens the file while
  // it is mapped ends this one (POSIX SIGBUS).
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace heed::models
