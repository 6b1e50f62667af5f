#include "models/progress.hpp"

#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

namespace heed::models {

Progress::Progress(std::size_t total, std::string unit)
    : total_(total),
      unit_(std::move(unit)),
      watched_(total >= 200 && ::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (watched_) std::fputs("\r\x1b[K", stderr);
}

void Progress::show(std::size_t done) {
  constexpr auto pause = std::chrono::milliseconds(100);
  const auto now = Clock::now();
  if (!watched_ || (now - last_ < pause && done < total_)) return;
  last_ = now;
  constexpr std::size_t width = 30;
  const std::size_t filled = width * done / total_;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const double left = rate > 0 ? static_cast<double>(total_ - done) / rate : 0;
  const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
  std::fprintf(stderr, "\r[%s] %zu of %zu %s, %.0f a second, %.0f s left \x1b[K", bar.c_str(), done,
               total_, unit_.c_str(), rate, left);
  std::fflush(stderr);
}

}  // namespace heed::models
