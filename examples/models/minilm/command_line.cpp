#include "models/minilm/command_line.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>

namespace heed::models::minilm {
namespace {

struct CommandRule {
  std::string_view name;
  std::size_t operands;
  std::string_view form;
};

constexpr std::array<CommandRule, 7> commands{{{"embed", 1, "embed FILE"},
                                               {"similarity", 1, "similarity FILE"},
                                               {"search", 2, "search \"QUERY\" FILE"},
                                               {"heads", 1, "heads \"SENTENCE\""},
                                               {"highlight", 1, "highlight \"SENTENCE\""},
                                               {"methods", 1, "methods FILE"},
                                               {"senses", 0, "senses"}}};

std::size_t number(std::string_view option, std::string_view value, std::size_t low,
                   std::size_t high) {
  std::size_t result = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size() || result < low || result > high) {
    throw UsageError(std::string(option) + " wants a whole number from " + std::to_string(low) +
                     " to " + std::to_string(high) + ", not \"" + std::string(value) + "\"");
  }
  return result;
}

Device device_named(std::string_view value) {
  if (value == "cpu") return Device::cpu;
  if (value == "cuda") return Device::cuda;
  throw UsageError("--device wants cpu or cuda, not \"" + std::string(value) + "\"");
}

struct OptionRule {
  std::string_view name;
  std::string_view commands;  // those that take it, between spaces; empty: all
  bool has_value;
  std::function<void(CommandLine&, std::string_view)> apply;
};

const std::vector<OptionRule>& option_rules() {
  using Line = CommandLine;
  using Text = std::string_view;
  static const std::vector<OptionRule> rules{
      {"--model", "", true, [](Line& line, Text value) { line.model = value; }},
      {"--threads", "", true,
       [](Line& line, Text value) {
         line.threads = static_cast<int>(number("--threads", value, 0, 1024));
       }},
      {"--max-tokens", "", true,
       [](Line& line, Text value) {
         line.max_tokens = number("--max-tokens", value, 2, 1U << 20U);
       }},
      {"--json", "", false, [](Line& line, Text) { line.json = true; }},
      {"--batch", " embed similarity search ", true,
       [](Line& line, Text value) { line.batch = number("--batch", value, 1, 4096); }},
      {"--device", " embed similarity search senses ", true,
       [](Line& line, Text value) { line.device = device_named(value); }},
      {"--top", " search highlight ", true,
       [](Line& line, Text value) { line.top = number("--top", value, 1, 1'000'000'000); }},
      {"--layer", " heads highlight methods ", true,
       [](Line& line, Text value) { line.layer = number("--layer", value, 0, 1024); }},
      {"--length", " methods ", true,
       [](Line& line, Text value) { line.length = number("--length", value, 64, 1U << 20U); }},
      {"--out", " heads methods ", true, [](Line& line, Text value) { line.out = value; }},
      {"--animate", " heads ", true, [](Line& line, Text value) { line.animate = value; }},
      {"--html", " highlight ", true, [](Line& line, Text value) { line.html = value; }},
  };
  return rules;
}

const OptionRule& option_named(std::string_view name) {
  const auto found = std::find_if(option_rules().begin(), option_rules().end(),
                                  [&](const OptionRule& rule) { return rule.name == name; });
  if (found == option_rules().end()) {
    throw UsageError("there is no option " + std::string(name));
  }
  return *found;
}

// Reads one option, as "--name value" or "--name=value"; returns how many arguments it took.
std::size_t read_option(std::span<const char* const> arguments, CommandLine& line,
                        std::vector<const OptionRule*>& seen) {
  const std::string_view argument = arguments.front();
  const std::size_t equals = argument.find('=');
  const OptionRule& rule = option_named(argument.substr(0, equals));
  seen.push_back(&rule);
  const bool attached = equals != std::string_view::npos;
  if (!rule.has_value) {
    if (attached) throw UsageError(std::string(rule.name) + " takes no value");
    rule.apply(line, {});
    return 1;
  }
  if (attached) {
    rule.apply(line, argument.substr(equals + 1));
    return 1;
  }
  if (arguments.size() < 2) throw UsageError(std::string(rule.name) + " wants a value behind it");
  rule.apply(line, arguments[1]);
  return 2;
}

// Layer 0, the word vectors before any layer, has attention to look at but no heads of its own.
void check_layer(const CommandLine& line) {
  if (line.command == "methods" && line.layer)
    number("--layer", std::to_string(*line.layer), 1, 1024);
}

void check(const CommandLine& line, const std::vector<const OptionRule*>& seen) {
  const auto* command =
      std::find_if(commands.begin(), commands.end(),
                   [&](const CommandRule& rule) { return rule.name == line.command; });
  if (command == commands.end()) {
    throw UsageError(line.command.empty() ? "no command is given"
                                          : "there is no command \"" + line.command + "\"");
  }
  if (line.operands.size() != command->operands) {
    throw UsageError("the call is: minilm " + std::string(command->form) + " [options]");
  }
  for (const OptionRule* rule : seen) {
    const std::string word = " " + line.command + " ";
    if (!rule->commands.empty() && rule->commands.find(word) == std::string_view::npos) {
      throw UsageError(line.command + " does not take " + std::string(rule->name));
    }
  }
  check_layer(line);
}

}  // namespace

CommandLine parse_command_line(std::span<const char* const> arguments) {
  CommandLine line;
  std::vector<const OptionRule*> seen;
  bool options_end = false;
  while (!arguments.empty()) {
    const std::string_view argument = arguments.front();
    std::size_t taken = 1;
    if (!options_end && (argument == "--help" || argument == "-h")) {
      line.command = "help";
      return line;
    }
    if (!options_end && argument == "--") {
      options_end = true;
    } else if (!options_end && argument.size() > 1 && argument.front() == '-') {
      taken = read_option(arguments, line, seen);
    } else if (line.command.empty()) {
      line.command = argument;
    } else {
      line.operands.emplace_back(argument);
    }
    arguments = arguments.subspan(taken);
  }
  check(line, seen);
  return line;
}

std::string_view usage_text() {
  return R"(minilm: sentence vectors with all-MiniLM-L6-v2, its attention computed by heed

  minilm embed FILE               one vector of 384 numbers for each line of the file
  minilm similarity FILE          how much each two lines mean the same, 1 for equal
  minilm search "QUERY" FILE      the lines that mean most nearly what the query does
  minilm heads "SENTENCE"         the attention of a layer's twelve heads, as a picture
  minilm highlight "SENTENCE"     the sentence, its most attended tokens in colour
  minilm methods FILE             all approximations of attention on a text, their error by speed
  minilm senses                   one word in several sentences: where does its meaning lie?

FILE is text in UTF-8, one sentence a line; - is standard input.

  --model DIR       the model's folder; without it, the one in the cache
  --json            machine-readable output; embed prints an object a line
  --top N           search, highlight: how many to list (5)
  --layer L         the layer, 1 is the first; without it, highlight: the last, else: the first;
                    heads, highlight: 0 is attention of the word vectors alone, before any layer
  --out FILE.png    heads, methods: the picture (heads.png, methods.png)
  --animate FILE    heads: also write every layer, one after another, as an animated PNG
  --length N        methods: attend among so many tokens of the text (2048)
  --html FILE       highlight: also write a page
  --max-tokens N    cut a sentence after N tokens, [CLS] and [SEP] included (256, at most 512);
                    methods: read the text in pieces of N
  --batch N         sentences encoded at once (32)
  --threads N       0: as many as there are (0)
  --device cuda     embed, similarity, search, senses: attention on the GPU (cpu)
  --help            this text

Text is cut into tokens by utf8proc's Unicode, which is newer than that of Hugging Face's tokenizers:
accents and punctuation that only the newer one knows are stripped and cut here, not there.

Exit code 0: done, 1: a file or the model cannot be used, 2: a wrong call.
)";
}

}  // namespace heed::models::minilm
