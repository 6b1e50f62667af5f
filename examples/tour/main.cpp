// tour [--out DIR]: attention on small things, in numbers and pictures. Needs no network.
#include "tour.hpp"

#include <cstdio>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

namespace tour {

void headline(const std::string& text) {
  std::cout << '\n' << text << '\n' << std::string(text.size(), '-') << '\n';
}

void saved(const std::filesystem::path& file) { std::cout << "saved " << file.string() << '\n'; }

}  // namespace tour

namespace {

constexpr const char* usage = "usage: tour [--out DIR]   (default: the current folder)\n";

int run(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  tour::hand_computed_case();
  tour::sentence(folder);
  tour::layers(folder);
  tour::compare_pictures(folder);
  tour::mask_pictures(folder);
  tour::every_mask(folder);
  tour::position_pictures(folder);
  tour::every_encoding(folder);
  tour::head_pictures(folder);
  tour::every_approximation(folder);
  tour::gradients(folder);
  tour::cost();
  tour::debug_report();
  if (!std::cout.flush() || std::fflush(stdout) != 0) {
    throw std::runtime_error("cannot write to standard output");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string first = argc > 1 ? argv[1] : "";
    if (argc == 1) return run(".");
    if (argc == 3 && first == "--out") return run(argv[2]);
    if (argc == 2 && (first == "--help" || first == "-h")) {
      std::cout << usage;
      return 0;
    }
    std::cerr << usage;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "tour: " << error.what() << '\n';
    return 1;
  }
}
