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

std::vector<TokenId> draft_tokens(std::span<const TokenId> ids, std::size_t most) {
  for (const std::size_t n : {std::size_t{3}, std::size_t{2}}) {
    if (most == 0 || ids.size() <= n) continue;
    const auto last = ids.last(n);
    const auto before = ids.first(ids.size() - 1);  // a match has a token behind it
    const auto found = std::find_end(before.begin(), before.end(), last.begin(), last.end());
    if (found == before.end()) continue;
    const auto behind = ids.subspan(static_cast<std::size_t>(found - before.begin()) + n);
    const auto draft = behind.first(std::min(most, behind.size()));
    return {draft.begin(), draft.end()};
  }
  return {};
}

Generator::Generator(const Llama& model, const GeneratorOptions& options)
    : model_(model), options_(options), sampler_(options.sampler), sequence_(model.start()) {}

std::size_t Generator::room() const {
  return static_cast<std::size_t>(model_.config().context) - ids_.size();
}

std::span<const float> Generator::logits(Index row) const {
  const Index size = logits_.dimension(1);
  return {logits_.data() + row * size, static_cast<std::size_t>(size)};
}

bool Generator::read(std::span<const TokenId> ids,
                     const std::function<bool(std::size_t)>& progress) {
  if (ids.size() > room()) {
    throw Error("heed::models::Generator: the text has " + std::to_string(ids.size()) +
                " tokens but the context of " + std::to_string(model_.config().context) +
                " has room for " + std::to_string(room()));
  }
  const std::size_t before = ids_.size();
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  constexpr std::size_t piece = 256;  // a second at most, so that a user can stop it
  const auto start = Clock::now();
  const auto begin = static_cast<std::size_t>(sequence_.length());
  for (std::size_t at = begin; at < ids_.size(); at += piece) {
    const auto some = std::span(ids_).subspan(at, std::min(piece, ids_.size() - at));
    logits_ = model_.forward(some, sequence_);
    first_row_ = sequence_.length();
    times_.prefill_tokens += some.size();
    if (!progress(at + some.size() - begin)) {
      ids_.resize(before);
      sequence_.truncate(std::min(sequence_.length(), static_cast<Index>(before)));
      times_.prefill_seconds += seconds_since(start);
      return false;
    }
  }
  times_.prefill_seconds += seconds_since(start);
  return true;
}

// Logits behind the last token, which is read where that has not been done or was taken back.
std::span<const float> Generator::last_logits() {
  const auto count = static_cast<Index>(ids_.size());
  if (count == 0) throw Error("heed::models::Generator: there is no token to go on from");
  if (count < first_row_) sequence_.truncate(std::min(sequence_.length(), count - 1));
  if (sequence_.length() < count) call({});
  return logits(count - first_row_);
}

// Reads the last token and a draft behind it.
void Generator::call(std::span<const TokenId> draft) {
  std::vector<TokenId> tokens(ids_.begin() + sequence_.length(), ids_.end());
  tokens.insert(tokens.end(), draft.begin(), draft.end());
  const auto start = Clock::now();
  logits_ = model_.forward(tokens, sequence_, static_cast<Index>(draft.size()) + 1);
  first_row_ = sequence_.length() - static_cast<Index>(draft.size());
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

Stop Generator::generate(TokenId end, std::size_t most,
                         const std::function<bool(TokenId)>& on_token) {
  if (most == 0) return Stop::max_tokens;
  if (room() == 0) return Stop::full_context;
  const auto start = Clock::now();
  Run run{*this, end, most, on_token};
  TokenId next = sampler_.pick(last_logits());
  while (run.take(next)) {
    const auto draft = draft_tokens(ids_, std::min(options_.draft, room()));
    call(draft);
    next = sampler_.pick(logits(0));
    for (std::size_t i = 0; i < draft.size() && next == draft[i] && run.take(next); ++i) {
      next = sampler_.pick(logits(static_cast<Index>(i) + 1));
    }
    const auto kept = static_cast<Index>(ids_.size());
    if (sequence_.length() > kept) sequence_.truncate(kept);
    if (run.stop) break;
  }
  times_.seconds += seconds_since(start);
  return *run.stop;
}

}  // namespace heed::models
