// A file of bytes on disk, whole or not at all.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

// Writes the bytes; throws heed::Error with the call, the path and the system's reason where it
// cannot. A half-written file is removed (a device is not).
inline void write_file(const char* call, const std::filesystem::path& path,
                       const std::vector<std::uint8_t>& bytes) {
  const auto fail = [&](int reason) {
    throw Error(std::string(call) + ": cannot write '" + path.string() +
                "': " + std::strerror(reason));
  };
  errno = 0;
  std::FILE* file = std::fopen(path.string().c_str(), "wb");
  if (file == nullptr) fail(errno);
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const int write_error = errno;
  const bool closed = std::fclose(file) == 0;
  if (written && closed) return;
  const int reason = written ? errno : write_error;
  std::error_code ignored;
  if (std::filesystem::is_regular_file(path, ignored)) std::filesystem::remove(path, ignored);
  fail(reason);
}

}  // namespace HEED_ABI
}  // namespace heed::plot
