// A bar on standard error while a long file is worked through; nothing where nobody watches.
#pragma once

#include <chrono>
#include <cstddef>

namespace heed::models::minilm {

class Progress {
 public:
  // Shows itself where standard error is a terminal and there are many lines to do.
  explicit Progress(std::size_t total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  Progress(Progress&&) = delete;
  Progress& operator=(Progress&&) = delete;
  // Wipes the bar away.
  ~Progress();

  void show(std::size_t done);

 private:
  using Clock = std::chrono::steady_clock;

  std::size_t total_;
  bool watched_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_;
};

}  // namespace heed::models::minilm
