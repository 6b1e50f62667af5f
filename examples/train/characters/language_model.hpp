// A language model of characters: its batches, the bits that a text costs it, and its own writing.
#pragma once

#include <heed/heed.hpp>

#include <algorithm>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "order_two.hpp"
#include "text.hpp"

namespace characters {

using heed::Index;
using Model = heed::nn::CausalLanguageModel<float>;
using Ids = heed::Tensor2<int>;  // [B, L]

// Texts of `length` that begin at `begins`, and the same shifted by one: what comes next.
inline heed::train::Batch<Ids, Ids> batch_of(std::span<const int> text,
                                             std::span<const Index> begins, Index length) {
  const auto B = static_cast<Index>(begins.size());
  heed::train::Batch<Ids, Ids> batch{Ids(B, length), Ids(B, length)};
  for (Index b = 0; b < B; ++b) {
    for (Index i = 0; i < length; ++i) {
      const auto at = static_cast<std::size_t>(begins[static_cast<std::size_t>(b)] + i);
      batch.input(b, i) = text[at];
      batch.target(b, i) = text[at + 1];
    }
  }
  return batch;
}

// Bits a character of a text, the model's and by counting. A character counts in the second half
// of a window, so that the model always sees half a window before it.
struct Bits {
  double model = 0, order_two = 0;
};

inline Bits bits_of(const Model& model, const OrderTwo& order_two, std::span<const int> text,
                    Index length) {
  Bits bits;
  double count = 0;
  for (Index begin = 0; begin + length < static_cast<Index>(text.size()); begin += length / 2) {
    auto batch = batch_of(text, std::span(&begin, 1), length);
    for (Index i = 0; i < length / 2; ++i) batch.target(0, i) = -100;  // does not count
    bits.model += heed::train::cross_entropy(model.forward(batch.input), batch.target).loss /
                  std::numbers::ln2;
    for (Index i = length / 2; i < length; ++i) {
      bits.order_two += order_two.bits(text, static_cast<std::size_t>(begin + i + 1)) /
                        static_cast<double>(length - length / 2);
    }
    ++count;
  }
  return {bits.model / count, bits.order_two / count};
}

// Goes on with a text, the next character drawn from softmax(logits / temperature). A full window
// begins again with its second half, so that the model sees half a window at least.
inline std::string sample(const Model& trained, const Alphabet& alphabet, std::vector<int> ids,
                          Index count, Index length, double temperature) {
  Model model = trained;
  heed::nn::prepare(model);
  auto caches = model.make_caches(1);
  Index unread = std::min(length, static_cast<Index>(ids.size()));
  std::string text;
  for (Index n = 0; n < count; ++n, unread = 1) {
    if (caches.length(0) == length) {
      caches.truncate(0, 0);
      unread = length / 2;
    }
    Ids behind(1, unread);
    std::copy(ids.end() - unread, ids.end(), behind.data());
    const auto logits = model.next_logits(behind, caches);
    Eigen::ArrayXd p(alphabet.size());
    for (Index c = 0; c < p.size(); ++c) p(c) = logits(0, 0, c) / temperature;
    p = (p - p.maxCoeff()).exp();
    double left =
        heed::philox(7, {static_cast<std::uint32_t>(n), 0, 0, 0})[0] / 4294967296.0 * p.sum();
    int next = 0;
    while (next + 1 < alphabet.size() && (left -= p(next)) > 0) ++next;
    ids.push_back(next);
    text += alphabet.character(next);
  }
  return text;
}

}  // namespace characters
