// A progress line: one that moves on a terminal, a new one now and then elsewhere.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "heed/train/progress.hpp"

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace heed::train {
inline namespace HEED_ABI {

inline bool is_terminal([[maybe_unused]] std::FILE* file) {
#if __has_include(<unistd.h>)
  return ::isatty(::fileno(file)) == 1;
#else
  return false;
#endif
}

// As printf writes it, cut after 79 characters.
template <class... Numbers>
std::string progress_text(const char* format, Numbers... numbers) {
  std::array<char, 80> text{};
  std::snprintf(text.data(), text.size(), format, numbers...);
  return text.data();
}

// "4:07", "1:02:33"
inline std::string clock_text(double seconds) {
  const auto all = std::llround(std::min(seconds, 1e9));
  if (all < 3600) return progress_text("%lld:%02lld", all / 60, all % 60);
  return progress_text("%lld:%02lld:%02lld", all / 3600, all / 60 % 60, all % 60);
}

// "973", "12.4k", "3.1M"
inline std::string count_text(double count) {
  if (count < 1e3) return progress_text("%.0f", count);
  return count < 1e6 ? progress_text("%.1fk", count / 1e3) : progress_text("%.1fM", count / 1e6);
}

// The mean of the last losses, at most `most` of them: that of a single step jumps.
inline double recent_loss(const Progress& progress, Index most = 20) {
  const Index count = std::min(most, static_cast<Index>(progress.losses.size()));
  double sum = 0;
  for (auto loss = progress.losses.end() - count; loss != progress.losses.end(); ++loss) {
    sum += *loss;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

// "[####----] 120/240  loss 0.412  held out 0.433  12.4k tokens/s  0:31 left", of at most 79
// characters; the loss is the mean of the last 20 steps'.
inline std::string progress_line(const Report& report) {
  constexpr int cells = 12;
  const Progress& progress = report.progress;
  const auto done =
      static_cast<std::size_t>(cells * progress.step / std::max<Index>(report.steps, 1));
  std::string line = "[" + std::string(done, '#') + std::string(cells - done, '-') + "] " +
                     std::to_string(progress.step) + "/" + std::to_string(report.steps) +
                     progress_text("  loss %.4g", recent_loss(progress));
  if (!progress.held_out.empty()) {
    line += progress_text("  held out %.4g", progress.held_out.back().loss);
  }
  if (report.tokens_per_second > 0)
    line += "  " + count_text(report.tokens_per_second) + " tokens/s";
  line += report.last() ? "  " + clock_text(report.seconds)
                        : "  " + clock_text(report.seconds_left) + " left";
  return line.substr(0, 79);
}

// A callback of train(). On a terminal the line is written over at most ten times a second.
// Elsewhere a line is written at the first step, at evaluations, after each tenth of the run and at
// the end. Copies share nothing.
class ProgressBar {
 public:
  ProgressBar(std::FILE* file, bool terminal) : file_(file), terminal_(terminal) {}

  void operator()(const Report& report) {
    if (terminal_) {
      if (!report.last() && shown_ > 0 && report.seconds - seconds_ < 0.1) return;
      std::fprintf(file_, "\r\033[K%s%s", progress_line(report).c_str(), report.last() ? "\n" : "");
    } else {
      const Index tenth = 10 * report.progress.step / std::max<Index>(report.steps, 1);
      if (!report.last() && !report.evaluated && shown_ > 0 && tenth == tenth_) return;
      tenth_ = tenth;
      std::fprintf(file_, "%s\n", progress_line(report).c_str());
    }
    std::fflush(file_);
    seconds_ = report.seconds;
    ++shown_;
  }

 private:
  std::FILE* file_;
  bool terminal_;
  Index shown_ = 0, tenth_ = 0;
  double seconds_ = 0;
};

// Of a file such as stderr, which must stay open.
inline ProgressBar progress_bar(std::FILE* file) { return {file, is_terminal(file)}; }

}  // namespace HEED_ABI
}  // namespace heed::train
