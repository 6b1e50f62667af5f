// A file that is read, never mapped: one that another process cuts or fills meanwhile is an error
// or its new text, not the end of this program. POSIX.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"

namespace heed::files {
inline namespace HEED_ABI {

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

[[noreturn]] inline void refuse_input(const std::filesystem::path& path, const std::string& why) {
  throw Error("heed::files: cannot read " + path.string() + ": " + why);
}

[[noreturn]] inline void refuse_input_errno(const std::filesystem::path& path) {
  refuse_input(path, std::generic_category().message(errno));
}

// Bytes read into `to`, fewer than it has only at the file's end.
inline std::size_t read_some(int descriptor, const std::filesystem::path& path,
                             std::uint64_t offset, char* to, std::size_t count) {
  std::size_t done = 0;
  while (done < count) {
    const auto place = static_cast<off_t>(offset + done);
    const ssize_t got = ::pread(descriptor, to + done, count - done, place);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse_input_errno(path);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

// O_NONBLOCK: opening a pipe nobody writes to would otherwise wait forever.
inline InputFile::InputFile(const std::filesystem::path& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) refuse_input_errno(path_);
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (known && S_ISREG(status.st_mode)) return;
  const int error = errno;
  ::close(descriptor_);
  errno = error;
  if (!known) refuse_input_errno(path_);
  refuse_input(path_, S_ISDIR(status.st_mode) ? "it is a directory" : "it is not a regular file");
}

inline InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

inline InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

inline std::uint64_t InputFile::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) refuse_input_errno(path_);
  return static_cast<std::uint64_t>(status.st_size);
}

inline void InputFile::read(std::uint64_t offset, std::span<std::byte> to) const {
  auto* const bytes = reinterpret_cast<char*>(to.data());  // NOLINT(*-reinterpret-cast)
  const std::size_t got = read_some(descriptor_, path_, offset, bytes, to.size());
  if (got == to.size()) return;
  refuse_input(path_, "it ends at byte " + std::to_string(offset + got) + " where " +
                          std::to_string(offset + to.size()) + " are wanted; was it cut?");
}

inline std::string InputFile::text(std::size_t limit) const {
  constexpr std::size_t block = std::size_t{1} << 16U;
  const std::uint64_t expected = size();
  const auto too_large = [&] {
    refuse_input(path_, "it has more than " + std::to_string(limit) + " bytes");
  };
  if (expected > limit) too_large();
  std::string text;
  try {
    // One byte beyond what is expected tells the end without a second allocation.
    text.resize(std::max<std::size_t>(block, static_cast<std::size_t>(expected) + 1));
    std::size_t size = 0;
    while (true) {
      size += read_some(descriptor_, path_, size, text.data() + size, text.size() - size);
      if (size > limit) too_large();
      if (size < text.size()) break;
      text.resize(2 * size);
    }
    text.resize(size);
  } catch (const std::bad_alloc&) {
    refuse_input(path_, "it does not fit into memory");
  }
  return text;
}

}  // namespace HEED_ABI
}  // namespace heed::files
