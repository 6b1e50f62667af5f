// Guesses at the next tokens: how the text went on where its last tokens stood before.
#pragma once

#include <span>
#include <vector>

#include "models/vocabulary.hpp"

namespace heed::models {

struct DraftTree {
  std::vector<TokenId> tokens;
  std::vector<int> parents;  // of each token: an earlier one, or −1, the end of the text

  // The child of a node, or of the text's end (−1), that is `token`; −1 where there is none.
  int child(int parent, TokenId token) const;
};

// At most `most` tokens: those that followed the latest earlier occurrences of the last three
// tokens, then of the last two. Two thirds of them continue as the latest occurrence did, or all
// where no other occurrence differs.
DraftTree draft_tree(std::span<const TokenId> ids, std::size_t most);

}  // namespace heed::models
