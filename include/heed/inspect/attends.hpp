// "'cat' attends most to 'mat'": each query's largest weight in words, ties told as ties.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/inspect/names.hpp"
#include "heed/plot/cells.hpp"
#include "heed/plot/format.hpp"
#include "heed/plot/utf8.hpp"

namespace heed::inspect {

// The keys with a query's largest weight, in order of position; none where it sees no key.
struct Attends {
  Index query = 0;
  std::vector<Index> keys = {};
  double weight = 0;     // of each of them
  Index visible = 0;     // keys with a weight above 0
  bool has_nan = false;  // then there is no largest weight
};

inline namespace HEED_ABI {

// One entry a row of weights [Lq, Lk]; weights within `tie` of the largest, relatively, are tied.
//
// The default is a little above the rounding of float weights, which differ in their last bits
// for equal embeddings at different positions.
template <Matrix M>
std::vector<Attends> attends_most(const M& weights, double tie = 1e-5) {
  const auto view = view_of(weights);  // [Lq, Lk]
  std::vector<Attends> result;
  for (Index i = 0; i < view.extent[0]; ++i) {
    Attends row{.query = i};
    for (Index j = 0; j < view.extent[1]; ++j) {
      const auto weight = static_cast<double>(view(i, j));
      row.has_nan = row.has_nan || is_nan(weight);
      row.visible += weight > 0 ? 1 : 0;
      row.weight = std::max(row.weight, weight);
    }
    for (Index j = 0; j < view.extent[1] && row.weight > 0 && !row.has_nan; ++j) {
      if (static_cast<double>(view(i, j)) >= row.weight * (1 - tie)) row.keys.push_back(j);
    }
    result.push_back(row);
  }
  return result;
}

namespace attends {

inline bool repeated(const std::vector<std::string>& tokens, Index position) {
  const std::string& token = tokens[static_cast<std::size_t>(position)];
  return std::count(tokens.begin(), tokens.end(), token) > 1;
}

// 'cat', or 'the' (5) where the sentence has several, counted from 1 as people count words.
inline std::string name(const std::vector<std::string>& tokens, Index position) {
  if (position < 0 || position >= static_cast<Index>(tokens.size())) {
    throw Error("heed::inspect::attends_text: position " + std::to_string(position) + " but only " +
                std::to_string(tokens.size()) + " tokens");
  }
  const std::string quoted = "'" + printable(tokens[static_cast<std::size_t>(position)]) + "'";
  return repeated(tokens, position) ? quoted + " (" + std::to_string(position + 1) + ")" : quoted;
}

inline std::string list(const std::vector<std::string>& tokens, const std::vector<Index>& keys) {
  std::string text;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (i > 0) text += i + 1 == keys.size() ? " and " : ", ";
    text += name(tokens, keys[i]);
  }
  return text;
}

}  // namespace attends

// "'cat' attends most to 'cat' and 'mat', 28.3 % each". Throws heed::Error where a position has no
// token.
inline std::string attends_text(const Attends& row, const std::vector<std::string>& query_tokens,
                                const std::vector<std::string>& key_tokens) {
  const std::string query = attends::name(query_tokens, row.query);
  if (row.has_nan) return query + " has a NaN among its weights";
  if (row.keys.empty()) return query + " attends to nothing";
  const std::string share = percent_text(row.weight);
  const auto tied = static_cast<Index>(row.keys.size());
  if (tied == 1)
    return query + " attends most to " + attends::list(key_tokens, row.keys) + ", " + share;
  if (tied == row.visible && tied > 2) {
    return query + " attends equally to all " + std::to_string(tied) + " tokens it sees, " + share +
           " each";
  }
  return query + " attends most to " + attends::list(key_tokens, row.keys) + ", " + share + " each";
}

// Self-attention: the queries are the keys.
inline std::string attends_text(const Attends& row, const std::vector<std::string>& tokens) {
  return attends_text(row, tokens, tokens);
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
