#include "models/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "heed/core/error.hpp"

namespace heed::models {

namespace {

// The first of the greatest. Throws heed::Error where none is finite, or one is NaN or ∞.
std::span<const float>::iterator best_of(std::span<const float> logits) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const auto best = std::ranges::max_element(logits);
  if (best == logits.end() || *best == -infinity ||
      !std::ranges::all_of(logits, [](float logit) { return logit < infinity; })) {
    throw Error("heed::models::Sampler: of " + std::to_string(logits.size()) +
                " logits none is finite, or one is NaN or infinite");
  }
  return best;
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {
  const auto share = [](double p) { return p >= 0 && p <= 1; };
  if (options.temperature >= 0 && std::isfinite(options.temperature) && share(options.top_p) &&
      share(options.min_p)) {
    return;
  }
  throw Error("heed::models::Sampler: temperature " + std::to_string(options.temperature) +
              ", top-p " + std::to_string(options.top_p) + " or min-p " +
              std::to_string(options.min_p) + " is out of range");
}

double Sampler::uniform() {
  constexpr double step = 0x1p-53;
  return static_cast<double>(random_() >> 11U) * step;
}

void Sampler::keep_top_k() {
  if (options_.top_k == 0 || options_.top_k >= candidates_.size()) return;
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(options_.top_k);
  std::nth_element(candidates_.begin(), end, candidates_.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
                   });
  candidates_.erase(end, candidates_.end());
}

// Takes the best from a heap until they sum to top-p: a vocabulary need not be sorted.
void Sampler::keep_top_p() {
  if (options_.top_p >= 1) return;
  double total = 0, sum = 0;
  for (const Candidate& candidate : candidates_) total += candidate.p;
  const auto worse = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit < b.logit : a.id > b.id;
  };
  std::ranges::make_heap(candidates_, worse);
  auto end = candidates_.end();
  do {
    std::pop_heap(candidates_.begin(), end, worse);
    sum += (--end)->p;
  } while (end != candidates_.begin() && sum < options_.top_p * total);
  candidates_.erase(candidates_.begin(), end);
}

TokenId Sampler::pick(std::span<const float> logits) {
  const auto best = best_of(logits);
  if (options_.temperature == 0) return static_cast<TokenId>(best - logits.begin());
  const double u = uniform();
  candidates_.clear();
  for (const float logit : logits) {
    candidates_.push_back({logit, static_cast<TokenId>(candidates_.size())});
  }
  keep_top_k();
  for (Candidate& candidate : candidates_) {
    candidate.p = std::exp(static_cast<double>(candidate.logit - *best) / options_.temperature);
  }
  keep_top_p();
  std::erase_if(candidates_,
                [&](const Candidate& candidate) { return candidate.p < options_.min_p; });
  std::ranges::sort(candidates_, {}, &Candidate::id);  // so that the pick is the same everywhere
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.p;
  double left = u * total;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.p;
    if (left < 0) return candidate.id;
  }
  return candidates_.back().id;
}

}  // namespace heed::models
