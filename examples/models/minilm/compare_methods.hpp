// Every approximation of attention on the same inputs: how far off, and how fast.
#pragma once

#include <string>
#include <vector>

#include "models/minilm/text_inputs.hpp"

namespace heed::models::minilm {

struct Measured {
  std::string method, setting;  // "nystrom, landmarks", "64"
  double error = 0;             // of out against exact attention's: relative, Frobenius
  double speed = 0;             // times exact attention's
};

// All methods of heed::approx at a few settings each, method by method; settings that the inputs
// are too small for are left out. Linformer's projections are random and untrained.
std::vector<Measured> compare_methods(const TextInputs& inputs, int threads);

}  // namespace heed::models::minilm
