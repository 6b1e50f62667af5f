// The arguments of chat, checked.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "models/cache_format.hpp"
#include "models/model_weight.hpp"
#include "models/sampler.hpp"

namespace heed::models::chat {

// The call itself is wrong: one line, and exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct CommandLine {
  bool help = false;
  std::optional<std::string> model;   // --model
  std::optional<std::string> prompt;  // --prompt
  std::optional<std::string> file;    // --file
  std::optional<std::string> system;  // --system
  std::optional<std::string> look;    // --look
  WeightFormat weights = WeightFormat::file;
  CacheFormat cache = CacheFormat::float32;  // --cache
  SamplerOptions sampler = {};
  std::size_t max_tokens = 512;  // --max-tokens, of an answer
  std::size_t draft = 0;         // --speculate
  std::size_t window = 0;        // --window
  int threads = 0;               // --threads, 0: as many as there are
};

// The arguments behind the program's name. Throws UsageError for an option there is not, or a wrong
// value.
CommandLine parse_command_line(std::span<const char* const> arguments);

// The text of --help.
std::string_view usage_text();

}  // namespace heed::models::chat
