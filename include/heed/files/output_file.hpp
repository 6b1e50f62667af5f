// A file that is replaced as a whole: who reads it, or finds it after a crash, has the old bytes or
// the new ones. POSIX.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"

namespace heed::files {
inline namespace HEED_ABI {

// Bytes go to a temporary file in the same folder, which takes the path's place when all are on
// disk. A process that is killed before leaves it behind, named ".NAME.PID-N.partial". A link to a
// file stays one, and a file that is replaced keeps its permissions.
class OutputFile {
 public:
  // Throws heed::Error, one line with the path, where the folder cannot be written to or the path
  // has a folder, a device or a pipe.
  explicit OutputFile(std::filesystem::path path) : path_(std::move(path)) {
    struct stat status {};
    const bool exists = ::stat(path_.c_str(), &status) == 0;
    if (!exists && errno != ENOENT) fail(errno);
    if (exists && !S_ISREG(status.st_mode)) {
      fail(S_ISDIR(status.st_mode) ? "it is a directory" : "it is not a regular file");
    }
    target_ = target_of_links();
    open_partial(exists ? status.st_mode & 0777U : 0666U);
    if (exists && ::fchmod(descriptor_, status.st_mode & 0777U) != 0) fail(errno);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  OutputFile(OutputFile&&) = delete;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile() { discard(); }

  // Throws heed::Error where the disk is full or fails; the path's file stays as it is.
  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  // Waits until all is on disk, then replaces the path's file. Throws as write does.
  void commit() {
    if (::fsync(descriptor_) != 0) fail(errno);
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (::close(descriptor) != 0) fail(errno);
    if (::rename(partial_.c_str(), target_.c_str()) != 0) fail(errno);
    partial_.clear();
    sync_folder();
  }

 private:
  [[noreturn]] void fail(const std::string& why) {
    discard();
    throw Error("heed::files: cannot write " + path_.string() + ": " + why);
  }
  [[noreturn]] void fail(int error) { fail(std::generic_category().message(error)); }

  // The path behind any links, whose last may be of a file that is not there yet.
  std::filesystem::path target_of_links() {
    constexpr int most = 40;
    std::filesystem::path target = path_;
    std::error_code none;
    for (int links = 0; std::filesystem::is_symlink(target, none); ++links) {
      if (links == most) fail(ELOOP);
      target = target.parent_path() / std::filesystem::read_symlink(target, none);
    }
    return target;
  }

  void open_partial(mode_t mode) {
    constexpr std::size_t longest = 200;  // a name has at most 255 bytes
    static std::atomic<int> count{0};
    const std::string begin = "." + target_.filename().string().substr(0, longest) + "." +
                              std::to_string(::getpid()) + "-";
    do {
      partial_ = target_.parent_path() / (begin + std::to_string(count++) + ".partial");
      descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ >= 0) return;
    const int error = errno;
    partial_.clear();
    fail(error);
  }

  void discard() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
    if (!partial_.empty()) ::unlink(partial_.c_str());
    partial_.clear();
  }

  // The new name survives a power cut. File systems that cannot do it for a folder don't need it.
  void sync_folder() const {
    const std::filesystem::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    ::fsync(descriptor);
    ::close(descriptor);
  }

  std::filesystem::path path_;    // as the caller has it
  std::filesystem::path target_;  // behind its links
  std::filesystem::path partial_;
  int descriptor_ = -1;
};

}  // namespace HEED_ABI
}  // namespace heed::files
