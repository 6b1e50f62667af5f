// Ctrl-C as a question: it ends an answer, not the program, which leaves the terminal as it was.
#pragma once

namespace heed::models::chat {

// From here on SIGINT is noted, and does nothing else. Throws heed::Error where the system has no
// pipe left to note it in.
void catch_interrupts();

// True once for a SIGINT since the last call.
bool take_interrupt();

// Waits until standard input has something to read, or has ended. False, and take_interrupt() will
// be true, where SIGINT comes first. Whichever thread takes the signal, it is seen here.
bool wait_for_input();

}  // namespace heed::models::chat
