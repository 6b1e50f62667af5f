#include "models/llama/interrupt.hpp"

#include <csignal>

namespace heed::models::chat {
namespace {

volatile std::sig_atomic_t interrupted = 0;  // NOLINT(*-avoid-non-const-global-variables)

}  // namespace

// Without SA_RESTART, so that a line that is waited for ends as well.
void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
}

bool take_interrupt() {
  const bool was = interrupted != 0;
  interrupted = 0;
  return was;
}

}  // namespace heed::models::chat
