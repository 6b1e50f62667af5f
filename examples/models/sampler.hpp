// The next token, drawn from logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "models/vocabulary.hpp"

namespace heed::models {

struct SamplerOptions {
  double temperature = 0;  // of the softmax; 0: the best token, always
  std::size_t top_k = 0;   // the k best tokens alone; 0: all
  double top_p = 1;        // the fewest best tokens whose probabilities sum to it
  double min_p = 0;        // tokens of at least this share of the best one's probability
  std::uint64_t seed = 0;
};

// The filters apply in the order of their options, each to what the one before left. Holtzman et
// al., "The Curious Case of Neural Text Degeneration" (2020), section 3.1, has top-p; Nguyen et
// al., "Turning Up the Heat: Min-p Sampling" (2024), min-p.
class Sampler {
 public:
  // Throws heed::Error for a negative temperature, or a probability outside [0, 1].
  explicit Sampler(const SamplerOptions& options);

  // Takes one random number, whatever is picked; none at temperature 0. Of equal logits, the first.
  // A logit of −∞ is never picked. Throws heed::Error where all are, and for NaN and ∞.
  TokenId pick(std::span<const float> logits);

 private:
  struct Candidate {
    float logit;
    TokenId id;
    double p = 0;  // not normalised
  };

  void keep_top_k();
  void keep_top_p();
  double uniform();

  SamplerOptions options_;
  std::mt19937_64 random_;
  std::vector<Candidate> candidates_;
};

}  // namespace heed::models
