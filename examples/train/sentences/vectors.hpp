// Texts as the vectors that a trained sentence encoder gives them.
#pragma once

#include <heed/heed.hpp>

#include <algorithm>
#include <string_view>
#include <vector>

#include "models/sentence_encoder.hpp"
#include "texts.hpp"

namespace sentences {

using Vectors = heed::train::Batch<heed::Tensor3<float>, std::vector<int>>;  // [texts, 1, features]

inline Vectors vectors_of(const heed::models::SentenceEncoder& encoder, const Texts& texts) {
  const std::vector<std::string_view> views(texts.texts.begin(), texts.texts.end());
  const std::vector<float> numbers = encoder.embed(views);
  const auto count = std::ssize(views), features = static_cast<heed::Index>(encoder.dimension());
  Vectors vectors{heed::Tensor3<float>(count, 1, features), texts.labels};
  std::copy(numbers.begin(), numbers.end(), vectors.input.data());
  return vectors;
}

}  // namespace sentences
