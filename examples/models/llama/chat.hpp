// A conversation in the terminal.
#pragma once

#include "models/llama/command_line.hpp"

namespace heed::models::chat {

// Returns the program's exit code. Throws heed::Error, one line, for what cannot be used.
int run(const CommandLine& line);

}  // namespace heed::models::chat
