// The command line of the examples that learn: NAME [--compute bf16|half] [DATA [OUT [MORE]]];
// errors are one line.
#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "heed/core/error.hpp"
#include "heed/simd/compute.hpp"
#include "heed/train/loss_scale.hpp"

namespace learn {

// Each is empty where it is not given.
struct Arguments {
  std::filesystem::path data, out, more;
  heed::Compute compute = heed::Compute::full;  // of the products while it learns

  bool whole() const { return !data.empty(); }  // real data, not made ones
};

// Makes the folder of the results and writes to it, before hours of learning are lost. Throws
// heed::Error where that fails.
inline void prepare_output(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto probe = folder / ".heed_output";
  if (!std::ofstream(probe)) throw heed::Error("cannot write to the folder " + folder.string());
  std::filesystem::remove(probe, error);
}

// Takes "--compute NAME" from the front of the words; a name that there is not stays.
inline heed::Compute take_compute(std::span<char* const>& words) {
  if (words.size() < 2 || std::string_view(words[0]) != "--compute") return heed::Compute::full;
  const std::string_view name = words[1];
  if (name != "bf16" && name != "half") return heed::Compute::full;
  words = words.subspan(2);
  return name == "half" ? heed::Compute::half : heed::Compute::bfloat16;
}

// The loss scale that half needs.
inline std::optional<heed::train::LossScale> loss_scale_of(heed::Compute compute) {
  if (compute != heed::Compute::half) return {};
  return heed::train::LossScale{};
}

// Runs `learn` on the arguments. Exit code 1: it failed; 2: a wrong call.
//   usage  the program's name and its paths, which `most` counts
template <class Learn>
int run_program(std::span<char* const> words, std::size_t most, const char* usage,
                const Learn& learn) {
  auto given = words.subspan(words.empty() ? 0 : 1);
  const heed::Compute compute = take_compute(given);
  for (const std::string_view word : given) {
    if (word.empty() || !word.starts_with('-')) continue;
    const bool help = word == "--help" || word == "-h";
    std::fprintf(help ? stdout : stderr, "usage: %s\n", usage);
    return help ? 0 : 2;
  }
  if (given.size() > most) {
    std::fprintf(stderr, "usage: %s\n", usage);
    return 2;
  }
  const auto path = [&](std::size_t n) {
    return n < given.size() ? std::filesystem::path(given[n]) : std::filesystem::path();
  };
  try {
    const Arguments arguments{path(0), path(1), path(2), compute};
    if (!arguments.out.empty()) prepare_output(arguments.out);
    return learn(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace learn
