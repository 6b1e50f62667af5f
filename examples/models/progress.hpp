// A bar on standard error while a long text is worked through; nothing where nobody watches.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace heed::models {

class Progress {
 public:
  // Shows itself where standard error is a terminal and there is much to do.
  //   unit  the things that are counted, for the reader
  explicit Progress(std::size_t total, std::string unit = "lines");
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
  std::string unit_;
  bool watched_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_;
};

}  // namespace heed::models
