// A file of these bytes that exists as long as the object does.
#pragma once

#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace heed::test {

class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view bytes) : path_(unique_path()) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  TemporaryFile(TemporaryFile&&) = delete;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }

  const std::filesystem::path& path() const { return path_; }

 private:
  static std::filesystem::path unique_path() {
    static int count = 0;
    return std::filesystem::temp_directory_path() /
           ("heed_test_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
  }

  std::filesystem::path path_;
};

}  // namespace heed::test
