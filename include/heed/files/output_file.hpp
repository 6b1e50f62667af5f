// A file that is replaced as a whole: who reads it, or finds it after a crash, has the old bytes or
// the new ones. POSIX.
#pragma once

#include <fcntl.h>
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
// disk. A process that is killed before leaves it behind, named ".NAME.PID-N.partial".
class OutputFile {
 public:
  // Throws heed::Error, one line with the path, where the folder cannot be written to.
  explicit OutputFile(std::filesystem::path path) : path_(std::move(path)) {
    std::error_code none;
    if (std::filesystem::is_symlink(path_, none)) {
      path_ = std::filesystem::weakly_canonical(path_, none);  // the link stays one
    }
    static std::atomic<int> count{0};
    do {
      partial_ = path_.parent_path() /
                 ("." + path_.filename().string() + "." + std::to_string(::getpid()) + "-" +
                  std::to_string(count++) + ".partial");
      descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) fail(errno);
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
    if (::rename(partial_.c_str(), path_.c_str()) != 0) fail(errno);
    partial_.clear();
    sync_folder();
  }

 private:
  [[noreturn]] void fail(int error) {
    discard();
    throw Error("heed::files: cannot write " + path_.string() + ": " +
                std::generic_category().message(error));
  }

  void discard() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
    if (!partial_.empty()) ::unlink(partial_.c_str());
    partial_.clear();
  }

  // The new name survives a power cut. File systems that cannot do it for a folder don't need it.
  void sync_folder() const {
    const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    ::fsync(descriptor);
    ::close(descriptor);
  }

  std::filesystem::path path_, partial_;
  int descriptor_ = -1;
};

}  // namespace HEED_ABI
}  // namespace heed::files
