// Words as ids: the most frequent of some texts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "heed/core/eigen.hpp"
#include "texts.hpp"

namespace sentences {

// Sequences of ids, padded to the longest.
struct WordBatch {
  heed::Tensor2<int> ids;    // [B, L]; 0 behind the words
  std::vector<int> lengths;  // [B], at least 1
  std::vector<int> labels;   // [B]

  heed::Index tokens() const { return ids.size(); }
};

class Words {
 public:
  static constexpr int padding = 0, unknown = 1;

  // The most frequent words of the texts; of equally frequent ones the first in the alphabet.
  Words(const Texts& texts, std::size_t vocabulary) {
    std::map<std::string, int> counts;
    for (const auto& text : texts.texts) {
      for (const auto& word : words_of(text)) ++counts[word];
    }
    std::vector<std::pair<std::string, int>> sorted(counts.begin(), counts.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    for (const auto& [word, count] : sorted) {
      if (ids_.size() + 2 == vocabulary) break;
      ids_.emplace(word, static_cast<int>(ids_.size()) + 2);
    }
  }

  // The chosen texts, each cut after `longest` words.
  WordBatch batch(const Texts& all, std::span<const heed::Index> some, std::size_t longest) const {
    std::vector<std::vector<int>> rows;
    WordBatch batch;
    std::size_t length = 1;
    for (const heed::Index n : some) {
      rows.push_back(ids_of(all.texts[static_cast<std::size_t>(n)], longest));
      length = std::max(length, rows.back().size());
      batch.lengths.push_back(static_cast<int>(rows.back().size()));
      batch.labels.push_back(all.labels[static_cast<std::size_t>(n)]);
    }
    batch.ids = heed::Tensor2<int>(std::ssize(rows), static_cast<heed::Index>(length));
    batch.ids.setConstant(padding);
    for (std::size_t b = 0; b < rows.size(); ++b) {
      std::copy(rows[b].begin(), rows[b].end(), batch.ids.data() + b * length);
    }
    return batch;
  }

 private:
  // A text without words is one unknown word.
  std::vector<int> ids_of(const std::string& text, std::size_t longest) const {
    std::vector<int> ids;
    for (const auto& word : words_of(text)) {
      if (ids.size() == longest) break;
      const auto found = ids_.find(word);
      ids.push_back(found == ids_.end() ? unknown : found->second);
    }
    if (ids.empty()) ids.push_back(unknown);
    return ids;
  }

  std::map<std::string, int> ids_;
};

}  // namespace sentences
