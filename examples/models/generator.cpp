#include "models/generator.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include "heed/core/error.hpp"

namespace heed::models {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Generator::Generator(const Llama& model, const GeneratorOptions& options)
    : model_(model),
      options_(options),
      sampler_(options.sampler),
      sequence_(model.start(options.cache)) {
  const auto context = static_cast<std::size_t>(model.config().context);
  const std::size_t window = options.window;
  if (window == 0 || (window >= 32 && window + options.kept <= context)) return;
  throw Error("heed::models::Generator: a window of " + std::to_string(window) +
              " tokens is not among 32 … " + std::to_string(context - options.kept) +
              " (the context of " + std::to_string(context) + " without " +
              std::to_string(options.kept) + " first tokens)");
}

std::size_t Generator::room() const {
  if (options_.window > 0) return options_.window - (ids_.size() - read_tokens());
  return static_cast<std::size_t>(model_.config().context) - ids_.size();
}

std::size_t Generator::read_tokens() const {
  return static_cast<std::size_t>(sequence_.length()) + forgotten_;
}

// The first `tokens` of ids() stay read, if so many are.
void Generator::truncate(std::size_t tokens) {
  if (tokens < read_tokens()) sequence_.truncate(static_cast<Index>(tokens - forgotten_));
}

// A window slides where it has no room for so many more tokens.
void Generator::make_room(std::size_t tokens) {
  const auto length = static_cast<std::size_t>(sequence_.length());
  const std::size_t most = options_.window + options_.kept;
  if (options_.window == 0 || length + tokens <= most) return;
  const std::size_t count =
      std::min(length - options_.kept, std::max(length + tokens - most, options_.window / 4));
  model_.forget(sequence_, static_cast<Index>(options_.kept), static_cast<Index>(count));
  forgotten_ += count;
}

// Tokens that may be drafted. A window slides for the tokens of the text alone, so that the model
// forgets the same ones with drafts and without.
std::size_t Generator::draft_room() {
  if (options_.window == 0) return room();
  const std::size_t unread = ids_.size() - read_tokens();
  make_room(unread);
  return options_.window + options_.kept - static_cast<std::size_t>(sequence_.length()) - unread;
}

std::span<const float> Generator::logits(Index row) const {
  const Index size = logits_.dimension(1);
  return {logits_.data() + row * size, static_cast<std::size_t>(size)};
}

bool Generator::read(std::span<const TokenId> ids,
                     const std::function<bool(std::size_t)>& progress) {
  if (ids.size() > room()) {
    const bool slides = options_.window > 0;
    throw Error("heed::models::Generator: the text has " + std::to_string(ids.size()) +
                " tokens but the " + (slides ? "window of " : "context of ") +
                std::to_string(slides ? options_.window
                                      : static_cast<std::size_t>(model_.config().context)) +
                " has room for " + std::to_string(room()));
  }
  const std::size_t before = ids_.size();
  make_room(before - read_tokens() + ids.size());
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  constexpr std::size_t piece = 256;  // a second at most, so that a user can stop it
  const auto start = Clock::now();
  const std::size_t begin = read_tokens();
  for (std::size_t at = begin; at < ids_.size(); at += piece) {
    const auto some = std::span(ids_).subspan(at, std::min(piece, ids_.size() - at));
    logits_ = model_.forward(some, sequence_);
    first_row_ = read_tokens();
    rows_ = {0};
    times_.prefill_tokens += some.size();
    if (!progress(at + some.size() - begin)) {
      ids_.resize(before);
      truncate(before);
      times_.prefill_seconds += seconds_since(start);
      return false;
    }
  }
  times_.prefill_seconds += seconds_since(start);
  return true;
}

// Logits behind the last token, which is read where that has not been done or was taken back.
std::span<const float> Generator::last_logits() {
  if (ids_.empty()) throw Error("heed::models::Generator: there is no token to go on from");
  if (ids_.size() < first_row_) truncate(ids_.size() - 1);
  if (read_tokens() < ids_.size()) call({});
  return logits(rows_[ids_.size() - first_row_]);
}

// Reads the last token and a draft behind it.
void Generator::call(const DraftTree& draft) {
  make_room(ids_.size() - read_tokens() + draft.tokens.size());
  std::vector<TokenId> tokens(ids_.begin() + static_cast<std::ptrdiff_t>(read_tokens()),
                              ids_.end());
  tokens.insert(tokens.end(), draft.tokens.begin(), draft.tokens.end());
  const auto start = Clock::now();
  logits_ = model_.forward(tokens, sequence_, std::ssize(draft.tokens) + 1, draft.parents);
  first_row_ = ids_.size();
  rows_ = {0};
  ++times_.calls;
  if (tokens.size() > 1) return;
  ++times_.single_calls;
  times_.single_seconds += seconds_since(start);
}

// The tokens of one call to generate.
struct Generator::Run {
  Generator& of;
  TokenId end;
  std::size_t left;
  const std::function<bool(TokenId)>& on_token;
  std::optional<Stop> stop = {};

  // Appends a token. False where it is the last.
  bool take(TokenId id) {
    of.ids_.push_back(id);
    if (id == end) {
      stop = Stop::end_token;
      return false;
    }
    ++of.times_.tokens;
    if (!on_token(id)) {
      stop = Stop::asked;
    } else if (--left == 0) {
      stop = Stop::max_tokens;
    } else if (of.room() == 0) {
      stop = Stop::full_context;
    }
    return !stop;
  }
};

// Takes the drafted tokens that the sampler picks, a path from the tree's root. Returns the token
// behind the last of them.
TokenId Generator::verify(const DraftTree& draft, Run& run) {
  const auto text = static_cast<Index>(ids_.size() - forgotten_);
  std::vector<Index> path;
  TokenId next = sampler_.pick(logits(0));
  for (int node = draft.child(-1, next); node >= 0 && !run.stop; node = draft.child(node, next)) {
    path.push_back(node);
    rows_.push_back(node + 1);
    if (run.take(next)) next = sampler_.pick(logits(node + 1));
  }
  if (!draft.tokens.empty()) sequence_.keep(text, path);
  return next;
}

Stop Generator::generate(TokenId end, std::size_t most,
                         const std::function<bool(TokenId)>& on_token) {
  if (most == 0) return Stop::max_tokens;
  if (room() == 0) return Stop::full_context;
  const auto start = Clock::now();
  Run run{*this, end, most, on_token};
  TokenId next = sampler_.pick(last_logits());
  while (!run.stop && run.take(next)) {
    const DraftTree draft = draft_tree(ids_, std::min(options_.draft, draft_room()));
    call(draft);
    next = verify(draft, run);
  }
  times_.seconds += seconds_since(start);
  return *run.stop;
}

}  // namespace heed::models
