#include "support/measure.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace heed::bench {
namespace {

constexpr int least_rounds = 8;
constexpr double short_call = 0.02;  // seconds

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Seconds a call, of one turn.
double turn(const std::function<void()>& call, const Turns& turns, double expected) {
  const double calls = std::max(1.0, std::ceil(turns.slice / expected));
  const auto start = Clock::now();
  const double thread_start = thread_seconds();
  for (double n = 0; n < calls; ++n) call();
  return (turns.one_thread ? thread_seconds() - thread_start : seconds_since(start)) / calls;
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// A line of /proc/self/status or another such table, in bytes.
double status_bytes(const std::string& key, const char* table = "/proc/self/status") {
  std::ifstream file(table);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return 1024 * std::stod(line.substr(key.size() + 1));
  }
  return 0;
}

}  // namespace

bool quick() { return std::getenv("HEED_BENCH_QUICK") != nullptr; }

Turns Turns::from_environment(int threads) {
  Turns turns{.one_thread = threads == 1};
  if (const char* seconds = std::getenv("HEED_BENCH_SECONDS")) turns.seconds = std::atof(seconds);
  if (quick()) turns.seconds = turns.slice = 0;
  return turns;
}

std::vector<double> alternate(const std::vector<std::function<void()>>& contestants,
                              const Turns& turns, const std::function<void()>& before) {
  const auto start = Clock::now();
  std::vector<std::vector<double>> seconds(contestants.size());  // [contestants][turns]
  std::vector<double> best;
  const auto take_turn = [&](std::size_t n, double expected) {
    if (before) before();
    seconds[n].push_back(turn(contestants[n], turns, expected));
    return seconds[n].back();
  };
  for (std::size_t n = 0; n < contestants.size(); ++n) best.push_back(take_turn(n, turns.slice));
  // Turns behind the time limit are for the short calls beside a long one.
  for (int round = 0; turns.seconds > 0; ++round) {
    const bool late = seconds_since(start) >= turns.seconds;
    if (late && round >= least_rounds) break;
    for (std::size_t n = 0; n < contestants.size(); ++n) {
      if (late && best[n] > short_call) continue;
      best[n] = std::min(best[n], take_turn(n, best[n]));
    }
  }
  if (turns.median) std::transform(seconds.begin(), seconds.end(), best.begin(), median_of);
  return best;
}

double extra_memory(const std::function<void()>& call) {
#if defined(__GLIBC__)
  malloc_trim(0);  // what earlier calls freed but the process still has would hide this one's
#endif
  std::ofstream("/proc/self/clear_refs") << "5";  // the high-water mark starts again from here
  const double before = status_bytes("VmRSS");
  call();
  return std::max(0.0, status_bytes("VmHWM") - before);
}

double large_page_memory() { return status_bytes("AnonHugePages", "/proc/self/smaps_rollup"); }

}  // namespace heed::bench
