// chat: a language model in the terminal.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>
#include <span>
#include <string>

#include "models/llama/chat.hpp"
#include "models/llama/command_line.hpp"

// A standard stream that the caller has closed is an empty one: its number would go to a pipe.
static void open_closed_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) ::open("/dev/null", O_RDONLY);
  }
}

int main(int argc, char** argv) {
  namespace chat = heed::models::chat;
  open_closed_streams();
  try {
    const auto line =
        chat::parse_command_line(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
    if (!line.help) return chat::run(line);
    const std::string text(chat::usage_text());
    return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
  } catch (const chat::UsageError& error) {
    std::fprintf(stderr, "chat: %s; chat --help tells more\n", error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fputs("chat: out of memory\n", stderr);
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
