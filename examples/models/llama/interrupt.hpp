// Ctrl-C as a question: it ends an answer, not the program, which leaves the terminal as it was.
#pragma once

namespace heed::models::chat {

// From here on SIGINT is counted, and does nothing else.
void catch_interrupts();

// True once for a SIGINT since the last call.
bool take_interrupt();

}  // namespace heed::models::chat
