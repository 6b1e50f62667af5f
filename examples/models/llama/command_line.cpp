#include "models/llama/command_line.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace heed::models::chat {
namespace {

template <class N>
N number(std::string_view option, std::string_view value, N low, N high, const char* kind) {
  N result = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size() ||
      !(result >= low && result <= high)) {
    std::string range;
    if constexpr (std::is_floating_point_v<N>) {
      range = std::to_string(low).substr(0, 3) + " to " + std::to_string(high).substr(0, 3);
    } else {
      range = std::to_string(low) + " to " + std::to_string(high);
    }
    throw UsageError(std::string(option) + " wants a " + kind + " from " + range + ", not \"" +
                     std::string(value) + "\"");
  }
  return result;
}

std::size_t count(std::string_view option, std::string_view value, std::size_t low,
                  std::size_t high) {
  return number<std::size_t>(option, value, low, high, "whole number");
}
double real(std::string_view option, std::string_view value, double high) {
  return number<double>(option, value, 0, high, "number");
}

WeightFormat format_named(std::string_view value) {
  if (value == "file") return WeightFormat::file;
  if (value == "bfloat16") return WeightFormat::bfloat16;
  if (value == "float") return WeightFormat::floats;
  throw UsageError("--weights wants file, bfloat16 or float, not \"" + std::string(value) + "\"");
}

CacheFormat cache_named(std::string_view value) {
  if (const auto format = cache_format_named(value)) return *format;
  std::string names;
  for (const NamedCacheFormat& named : cache_formats) {
    const bool last = &named == &cache_formats.back();
    names += (names.empty() ? "" : last ? " or " : ", ") + std::string(named.name);
  }
  throw UsageError("--cache wants " + names + ", not \"" + std::string(value) + "\"");
}

struct OptionRule {
  std::string_view name;
  void (*apply)(CommandLine&, std::string_view value);
};

using Text = std::string_view;
constexpr std::array<OptionRule, 16> rules{{
    {"--model", [](CommandLine& line, Text value) { line.model = value; }},
    {"--prompt", [](CommandLine& line, Text value) { line.prompt = value; }},
    {"--file", [](CommandLine& line, Text value) { line.file = value; }},
    {"--system", [](CommandLine& line, Text value) { line.system = value; }},
    {"--look", [](CommandLine& line, Text value) { line.look = value; }},
    {"--weights", [](CommandLine& line, Text value) { line.weights = format_named(value); }},
    {"--cache", [](CommandLine& line, Text value) { line.cache = cache_named(value); }},
    {"--temperature",
     [](CommandLine& line, Text value) {
       line.sampler.temperature = real("--temperature", value, 100);
     }},
    {"--top-k", [](CommandLine& line,
                   Text value) { line.sampler.top_k = count("--top-k", value, 0, 1'000'000); }},
    {"--top-p",
     [](CommandLine& line, Text value) { line.sampler.top_p = real("--top-p", value, 1); }},
    {"--min-p",
     [](CommandLine& line, Text value) { line.sampler.min_p = real("--min-p", value, 1); }},
    {"--seed", [](CommandLine& line,
                  Text value) { line.sampler.seed = count("--seed", value, 0, ~std::size_t{0}); }},
    {"--max-tokens",
     [](CommandLine& line, Text value) {
       line.max_tokens = count("--max-tokens", value, 1, 1'000'000);
     }},
    {"--speculate",
     [](CommandLine& line, Text value) { line.draft = count("--speculate", value, 0, 11); }},
    {"--window", [](CommandLine& line,
                    Text value) { line.window = count("--window", value, 0, 1'000'000'000); }},
    {"--threads",
     [](CommandLine& line, Text value) {
       line.threads = static_cast<int>(count("--threads", value, 0, 1024));
     }},
}};

}  // namespace

CommandLine parse_command_line(std::span<const char* const> arguments) {
  CommandLine line;
  for (std::size_t n = 0; n < arguments.size(); ++n) {
    const std::string_view argument = arguments[n];
    if (argument == "--help" || argument == "-h") {
      line.help = true;
      return line;
    }
    if (!argument.starts_with('-')) {
      throw UsageError("\"" + std::string(argument) +
                       "\" stands behind no option; a text stands behind --prompt");
    }
    const std::size_t equals = argument.find('=');
    const auto* rule = std::ranges::find(rules, argument.substr(0, equals), &OptionRule::name);
    if (rule == rules.end()) throw UsageError("there is no option " + std::string(argument));
    if (equals != std::string_view::npos) {
      rule->apply(line, argument.substr(equals + 1));
    } else if (n + 1 < arguments.size()) {
      rule->apply(line, arguments[++n]);
    } else {
      throw UsageError(std::string(argument) + " wants a value behind it");
    }
  }
  if (line.look && line.draft > 0) throw UsageError("--look and --speculate exclude each other");
  if (line.look && line.window > 0) throw UsageError("--look and --window exclude each other");
  return line;
}

std::string_view usage_text() {
  return R"(chat: talk with SmolLM2-135M-Instruct, its attention computed by heed

  chat                       a conversation; an empty line or Ctrl-D ends it, Ctrl-C an answer
  chat --prompt TEXT         one answer
  chat --file FILE           the same, of a text in UTF-8 (- is standard input), behind --prompt's

  --system TEXT     what the model is told that it is; the empty text: nothing
  --temperature T   0: always the best token (0); about 0.7: with variety
  --top-k K         of the K best tokens alone; 0: of all (0)
  --top-p P         of the fewest best tokens whose probabilities sum to P (1)
  --min-p P         of tokens with at least the share P of the best one's probability (0)
  --seed N          another text at a temperature above 0 (0)
  --max-tokens N    of an answer (512)
  --speculate N     draft up to N tokens from the text so far, as a tree, and verify them in one call:
                    the same text, sooner where it repeats itself (0)
  --window N        see the first 4 and at most the last N tokens, from 32 on, and so go on where the
                    context is full; 0: all tokens, until it is full (0)
  --look FILE.png   draw which earlier tokens each token of the answer was written from
  --weights FORMAT  in memory and multiplied from there: file, in the 4, 8 or 16 bits that the file has;
                    bfloat16, each rounded to 16 bits; or float (file)
  --cache FORMAT    keys and values in float, bfloat16 or half; in codes of 8 and 4 bits: k8v8 (int8), k8v4,
                    k4v4; paged: floats in pages. --window rounds those that it keeps again (float)
  --model FILE      a GGUF file; without it, the one in the cache
  --threads N       0: as many as there are (0)
  --help            this text

Tokens a second of prefill (the reading of a prompt) and decode (the writing) go to standard error.

Exit code 0: done, 1: a file or the model cannot be used, 2: a wrong call, 130: stopped.
)";
}

}  // namespace heed::models::chat
