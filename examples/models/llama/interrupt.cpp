#include "models/llama/interrupt.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "heed/core/error.hpp"

namespace heed::models::chat {
namespace {

// A byte for each SIGINT: read end, write end. A handler may write to it, and poll waits for it.
std::array<int, 2> noted{-1, -1};  // NOLINT(*-avoid-non-const-global-variables)

extern "C" void note_interrupt(int) {
  const int error = errno;
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = ::write(noted[1], &byte, 1);
  errno = error;
}

}  // namespace

void catch_interrupts() {
  if (::pipe2(noted.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw Error("chat: no pipe is left");
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
}

bool take_interrupt() {
  std::array<char, 64> bytes{};
  return ::read(noted[0], bytes.data(), bytes.size()) > 0;
}

bool wait_for_input() {
  std::array<pollfd, 2> ends{{{STDIN_FILENO, POLLIN, 0}, {noted[0], POLLIN, 0}}};
  while (::poll(ends.data(), ends.size(), -1) < 0) {
    if (errno != EINTR) return true;  // reading tells what is wrong
  }
  return ends[1].revents == 0;
}

}  // namespace heed::models::chat
