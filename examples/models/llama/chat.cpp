#include "models/llama/chat.hpp"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "heed/core/error.hpp"
#include "models/chat_template.hpp"
#include "models/generator.hpp"
#include "models/input_file.hpp"
#include "models/llama/interrupt.hpp"
#include "models/llama/lines.hpp"
#include "models/llama/look.hpp"
#include "models/model_folder.hpp"
#include "models/progress.hpp"
#include "models/text_stream.hpp"
#include "models/utf8.hpp"

namespace heed::models::chat {
namespace {

constexpr int stopped = 130;  // as a shell says of SIGINT

std::filesystem::path model_path(const CommandLine& line) {
  std::filesystem::path path = line.model ? std::filesystem::path(*line.model) : smollm2_file();
  if (!line.model && path.empty()) {
    throw Error(
        "chat: none of HEED_CACHE, XDG_CACHE_HOME and HOME says where the model is; name its file "
        "by --model");
  }
  if (!line.model && !std::filesystem::exists(path)) {
    throw Error("chat: the model is not in " + path.string() +
                "; examples/models/llama/fetch.sh downloads it");
  }
  return path;
}

// Throws heed::Error where a file cannot be made there, before the answer is waited for.
void check_picture(const std::filesystem::path& file) {
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  if (std::filesystem::is_directory(file)) {
    throw Error("chat: --look: " + file.string() + " is a folder, not a file");
  }
  if (::access(folder.c_str(), W_OK) == 0) return;
  throw Error("chat: --look: cannot write to the folder " + folder.string());
}

// A pipe, such as a shell's <(command), has no size and is read to its end.
std::string bytes_of(const std::string& path) {
  const std::istreambuf_iterator<char> end;
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), end};
  if (!std::filesystem::is_fifo(path)) return InputFile(path).text();
  std::ifstream pipe(path);
  return {std::istreambuf_iterator<char>(pipe), end};
}

std::string text_of(const std::string& path) {
  std::string text = bytes_of(path);
  if (const auto bad = utf8_error(text)) {
    throw Error("chat: " + path + ": byte " + std::to_string(*bad + 1) + " is not UTF-8");
  }
  return text;
}

// Writes to standard output what is complete of each token. False where writing fails.
class Printer {
 public:
  bool print(const std::string& bytes) { return put(stream_.take(bytes)); }
  bool finish() { return put(stream_.finish() + "\n"); }

 private:
  static bool put(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  }

  TextStream stream_;
};

class Conversation {
 public:
  explicit Conversation(const CommandLine& line)
      : line_(line),
        file_(model_path(line)),
        tokenizer_(BytePairTokenizer::from_file(file_)),
        turns_(file_, tokenizer_),
        model_(file_, {line.weights, line.threads}),
        generator_(model_, {line.sampler, line.draft, line.window, line.cache}) {
    std::fprintf(stderr, "%.0f million parameters in %.0f MB\n",
                 static_cast<double>(model_.parameters()) / 1e6,
                 static_cast<double>(model_.weight_bytes()) / 1e6);
    const std::string system = line.system.value_or(turns_.default_system());
    if (!system.empty()) waiting_ = turns_.turn("system", system);
  }

  // True where a full context ends it.
  bool ends() const { return line_.window == 0; }

  // True where the context has room for a turn of the user and so many tokens of an answer.
  bool has_room(const std::string& text, std::size_t tokens) const {
    const std::size_t turn = turns_.turn("user", text).size() + turns_.answer().size();
    return waiting_.size() + turn + tokens <= generator_.room();
  }

  // One turn of the user and the answer to it. False where it was stopped.
  bool answer(const std::string& text) {
    const std::vector<TokenId> before = waiting_;
    append(turns_.turn("user", text));
    append(turns_.answer());
    if (!read()) {
      waiting_ = before;
      return false;
    }
    const std::size_t first = generator_.ids().size();
    Printer printer;
    bool interrupted = false, printed = true;
    const Stop stop = generator_.generate(turns_.end(), line_.max_tokens, [&](TokenId id) {
      printed = printer.print(tokenizer_.bytes(id));
      interrupted = take_interrupt();
      return printed && !interrupted;
    });
    printed = printer.finish() && printed;
    if (!printed) throw Error("chat: cannot write to standard output");
    if (look_) look_->write(*line_.look, first, tokenizer_);
    append(turns_.behind_answer(stop == Stop::end_token));
    if (stop == Stop::max_tokens) tell("the answer is cut after --max-tokens");
    if (stop == Stop::full_context) tell("the context of the model is full; the answer is cut");
    return !interrupted;
  }

  static void tell(const char* what) { std::fprintf(stderr, "chat: %s\n", what); }

  void print_times() const {
    const GeneratorTimes& times = generator_.times();
    const auto rate = [](std::size_t tokens, double seconds) {
      return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
    };
    std::fprintf(stderr, "prefill: %zu tokens, %.1f a second; decode: %zu tokens, %.1f a second\n",
                 times.prefill_tokens, rate(times.prefill_tokens, times.prefill_seconds),
                 times.tokens, rate(times.tokens, times.seconds));
    const LlamaSequence& sequence = generator_.sequence();
    const auto megabytes = [](std::size_t bytes) { return static_cast<double>(bytes) / 1e6; };
    std::fprintf(stderr, "weights: %.0f MB a token\n", megabytes(model_.token_bytes()));
    std::fprintf(stderr, "keys and values in %s: %.2f MB of %lld tokens, %.2f MB allocated\n",
                 std::string(name_of(sequence.format())).c_str(), megabytes(sequence.bytes()),
                 static_cast<long long>(sequence.length()), megabytes(sequence.allocated_bytes()));
    if (line_.window > 0) {
      std::fprintf(stderr, "window: %zu tokens forgotten\n", generator_.forgotten());
    }
    if (line_.draft > 0) print_speed_up(times);
  }

 private:
  static void print_speed_up(const GeneratorTimes& times) {
    if (times.calls == 0) return;
    std::fprintf(stderr, "drafts: %.2f tokens a call",
                 static_cast<double>(times.tokens) / static_cast<double>(times.calls));
    if (times.single_calls > 0 && times.seconds > 0) {
      const double single = times.single_seconds / static_cast<double>(times.single_calls);
      std::fprintf(stderr, ", %.2f times as fast as token by token",
                   static_cast<double>(times.tokens) * single / times.seconds);
    }
    std::fputs("\n", stderr);
  }

  void append(const std::vector<TokenId>& ids) {
    waiting_.insert(waiting_.end(), ids.begin(), ids.end());
  }

  bool read() {
    Progress progress(waiting_.size(), "tokens");
    if (line_.look && !look_) look_ = std::make_unique<Look>(generator_, model_.config());
    bool interrupted = false;
    const bool done = generator_.read(waiting_, [&](std::size_t tokens) {
      progress.show(tokens);
      interrupted = take_interrupt();
      return !interrupted;
    });
    waiting_.clear();
    return done && !interrupted;
  }

  const CommandLine& line_;
  Gguf file_;
  BytePairTokenizer tokenizer_;
  ChatTemplate turns_;
  Llama model_;
  Generator generator_;
  std::unique_ptr<Look> look_;
  std::vector<TokenId> waiting_;  // that the model reads with the next turn
};

int talk(Conversation& conversation) {
  const bool at_terminal = ::isatty(STDIN_FILENO) == 1;
  Lines lines;
  std::string text;
  while (lines.next(text, at_terminal)) {
    if (utf8_error(text)) {
      Conversation::tell("the line is not UTF-8");
      continue;
    }
    if (conversation.ends() && !conversation.has_room("", 32)) {
      Conversation::tell("the context of the model is full; begin a new conversation");
      return 0;
    }
    if (!conversation.has_room(text, 1)) {
      Conversation::tell("the context of the model has no room for this text");
    } else if (!conversation.answer(text) && !at_terminal) {
      return stopped;
    }
  }
  const bool interrupted = take_interrupt();
  if (at_terminal) std::fputs("\n", stderr);
  return interrupted ? stopped : 0;
}

}  // namespace

int run(const CommandLine& line) {
  static_cast<void>(model_path(line));  // a pipe is left unread where there is no model
  std::string text = line.prompt.value_or("");
  if (line.file) text += (text.empty() ? "" : "\n\n") + text_of(*line.file);
  if (utf8_error(text)) throw Error("chat: --prompt is not UTF-8");
  if (utf8_error(line.system.value_or(""))) throw Error("chat: --system is not UTF-8");
  const bool one = line.prompt || line.file;
  if (one && text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error("chat: there is nothing to answer: the text is empty");
  }
  if (line.look) check_picture(*line.look);
  catch_interrupts();
  Conversation conversation(line);
  const int code = one ? (conversation.answer(text) ? 0 : stopped) : talk(conversation);
  conversation.print_times();
  return code;
}

}  // namespace heed::models::chat
