#include "models/draft_tree.hpp"

#include <algorithm>
#include <cstddef>

namespace heed::models {
namespace {

// The text behind earlier occurrences of its last tokens, latest first.
std::vector<std::span<const TokenId>> continuations(std::span<const TokenId> ids) {
  constexpr std::size_t most = 8;  // occurrences that are looked at
  std::vector<std::span<const TokenId>> found;
  for (const std::size_t n : {std::size_t{3}, std::size_t{2}}) {
    if (ids.size() <= n) continue;
    const auto last = ids.last(n);
    for (std::size_t at = ids.size() - n; at-- > 0 && found.size() < most;) {
      const bool was_found = n == 2 && at > 0 && ids[at - 1] == ids[ids.size() - 3];
      if (was_found || !std::ranges::equal(ids.subspan(at, n), last)) continue;
      found.push_back(ids.subspan(at + n));
    }
  }
  return found;
}

// Adds tokens to a path from the root, so many new ones at most.
void add_path(DraftTree& tree, std::span<const TokenId> tokens, std::size_t most) {
  int node = -1;
  for (const TokenId token : tokens) {
    int next = tree.child(node, token);
    if (next < 0) {
      if (most-- == 0) return;
      next = static_cast<int>(tree.tokens.size());
      tree.tokens.push_back(token);
      tree.parents.push_back(node);
    }
    node = next;
  }
}

}  // namespace

int DraftTree::child(int parent, TokenId token) const {
  for (std::size_t n = 0; n < tokens.size(); ++n) {
    if (parents[n] == parent && tokens[n] == token) return static_cast<int>(n);
  }
  return -1;
}

DraftTree draft_tree(std::span<const TokenId> ids, std::size_t most) {
  DraftTree tree;
  if (most == 0) return tree;
  const auto found = continuations(ids);
  if (found.empty()) return tree;
  add_path(tree, found.front(), most - most / 3);
  for (const auto& other : std::span(found).subspan(1)) {
    const std::size_t left = most - tree.tokens.size();
    add_path(tree, other, (left + 1) / 2);
  }
  add_path(tree, found.front(), most - tree.tokens.size());
  return tree;
}

}  // namespace heed::models
