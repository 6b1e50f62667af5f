#include "support/program.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

namespace heed::bench {
namespace {

constexpr const char* goal_name = "goal";

// Name, best time and the counters; a head wherever these change. Google Benchmark's own table has
// columns that say nothing about a measurement which takes its own turns.
class Table : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    std::printf("%s, %s\n", processor_name().c_str(), name_of(widest_isa()));
    return true;
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      print_head(run);
      std::printf("%-26s %11.3f", run.run_name.function_name.c_str(), run.GetAdjustedRealTime());
      for (const auto& [name, counter] : run.counters) {
        if (name == goal_name && counter.value == 0) {
          std::printf("  %*s", width(name), "");
        } else {
          std::printf("  %*.4g", width(name), counter.value);
        }
      }
      std::printf("  %s\n", run.report_label.c_str());
    }
    std::fflush(stdout);
  }

 private:
  static int width(const std::string& name) { return std::max(6, static_cast<int>(name.size())); }

  void print_head(const Run& run) {
    std::string head;
    for (const auto& [name, counter] : run.counters) {
      head += "  " + std::string(static_cast<std::size_t>(width(name)) - name.size(), ' ') + name;
    }
    if (head != head_) std::printf("%-26s %11s%s\n", "", "ms a call", head.c_str());
    head_ = head;
  }

  std::string head_ = "none yet";
};

}  // namespace

void add(const std::string& name, const std::function<void(benchmark::State&)>& measure) {
  // One iteration: a measurement takes its own turns and hands back the best.
  benchmark::RegisterBenchmark(name.c_str(), measure)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

std::string shape_name(const Row& row) {
  const auto joined = [](Index a, Index b, Index c) {
    return std::to_string(a) + "x" + std::to_string(b) + "x" + std::to_string(c);
  };
  std::string name = std::to_string(row.B) + "x" + joined(row.Hq, row.Lq, row.D);
  const bool same = row.Hkv == row.Hq && row.Lk == row.Lq && row.Dv == row.D;
  if (!same) name += " " + joined(row.Hkv, row.Lk, row.Dv);
  return name;
}

std::string name_of(const Row& row, const Row& measured) {
  const std::string name(row.name);
  const std::string shape = shape_name(measured);
  return shape == shape_name(row) ? name : shape + " for " + name;
}

int run_rows(int argc, char** argv, std::string_view question, const Measure& measure) {
  for (const Row& row : rows_of(question)) {
    const Row measured = quick() ? shrunk(row) : row;
    add(name_of(row, measured),
        [measured, measure](benchmark::State& state) { measure(state, measured); });
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  Table table;
  benchmark::RunSpecifiedBenchmarks(&table);
  benchmark::Shutdown();
  return 0;
}

void set_time(benchmark::State& state, double seconds) {
  for ([[maybe_unused]] const auto iteration : state) state.SetIterationTime(seconds);
}

void set_rate(benchmark::State& state, double flops, double seconds, double fma_flops) {
  state.counters["GFLOP/s"] = flops / seconds * 1e-9;
  state.counters["FMA"] = fma_flops * 1e-9;
  state.counters["peak"] = flops / seconds / fma_flops;
}

void set_plain(benchmark::State& state, double flops, double seconds) {
  state.counters["plain"] = flops / seconds * 1e-9;
}

void set_goal(benchmark::State& state, const Row& row) { state.counters[goal_name] = goal_of(row); }

}  // namespace heed::bench
