#include "models/llama/lines.hpp"

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>

#include "models/llama/interrupt.hpp"

namespace heed::models::chat {

bool Lines::next(std::string& line, bool at_terminal) {
  while (true) {
    if (at_terminal) std::fputs("\n> ", stderr);
    if (!read_line(line)) return false;
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) return true;
    if (at_terminal) return false;
  }
}

bool Lines::read_line(std::string& line) {
  std::size_t end = 0;
  while ((end = read_.find('\n')) == std::string::npos) {
    if (!wait_for_input()) return false;
    std::array<char, 4096> some{};
    const ssize_t count = ::read(STDIN_FILENO, some.data(), some.size());
    if (count > 0) {
      read_.append(some.data(), static_cast<std::size_t>(count));
    } else if (read_.empty()) {
      return false;
    } else {
      read_ += '\n';  // the last line has no end
    }
  }
  line = read_.substr(0, end);
  read_.erase(0, end + 1);
  return true;
}

}  // namespace heed::models::chat
