// The arguments of minilm, checked.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "models/bert.hpp"

namespace heed::models::minilm {

// The call itself is wrong: one line, and exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct CommandLine {
  std::string command;                 // "help" where --help is anywhere
  std::vector<std::string> operands;   // as many as the command takes
  std::optional<std::string> model;    // --model
  std::optional<std::string> out;      // --out
  std::optional<std::string> animate;  // --animate
  std::optional<std::string> html;     // --html
  std::optional<std::size_t> layer;    // --layer, the first is 1; 0: the word vectors
  std::size_t top = 5;                 // --top
  std::size_t batch = 32;              // --batch
  std::size_t length = 2048;           // --length
  std::size_t max_tokens = 0;          // --max-tokens, 0: the model's own
  int threads = 0;                     // --threads, 0: as many as there are
  Device device = Device::cpu;         // --device, of attention
  bool json = false;                   // --json
};

// The arguments behind the program's name. Throws UsageError for a command or option there is not,
// an option that the command does not take, a wrong value, or too few or many operands.
CommandLine parse_command_line(std::span<const char* const> arguments);

// The text of --help.
std::string_view usage_text();

}  // namespace heed::models::minilm
