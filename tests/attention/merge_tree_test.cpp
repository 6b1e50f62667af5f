// The order of merges against a plain model: the binary tree over all numbers, of which some are
// there.
#include "heed/attention/flash/merge_tree.hpp"

#include <string>
#include <vector>

#include "heed/core/random.hpp"
#include "support/catch.hpp"

namespace heed {
namespace {

// The tree over the numbers [begin, begin + count), count a power of 2: "(0 1)", "3", or "".
std::string model(const std::vector<Index>& numbers, Index begin, Index count) {
  if (count == 1) {
    const bool there = std::find(numbers.begin(), numbers.end(), begin) != numbers.end();
    return there ? std::to_string(begin) : "";
  }
  const std::string a = model(numbers, begin, count / 2);
  const std::string b = model(numbers, begin + count / 2, count / 2);
  return a.empty() || b.empty() ? a + b : "(" + a + " " + b + ")";
}

// The same as MergeTree merges them, and the most slots that it needs.
std::string merged(const std::vector<Index>& numbers, std::size_t& most) {
  MergeTree tree;
  std::vector<std::string> slots(65);
  const auto merge = [&](int into, int from) {
    CHECK(from == into + 1);
    std::string& x = slots[static_cast<std::size_t>(into)];
    x = "(" + x + " " + slots[static_cast<std::size_t>(from)] + ")";
  };
  for (const Index number : numbers) {
    const auto slot = static_cast<std::size_t>(tree.add(number, merge));
    CHECK(tree.last() == number);
    slots[slot] = std::to_string(number);
    most = std::max(most, slot + 1);
  }
  tree.finish(merge);
  return slots[0];
}

}  // namespace

TEST_CASE("merge tree: any subset of 8 numbers merges as the tree over all of them says") {
  for (unsigned subset = 0; subset < 256; ++subset) {
    std::vector<Index> numbers;
    for (int n = 0; n < 8; ++n) {
      if ((subset >> n & 1U) != 0) numbers.push_back(n);
    }
    std::size_t most = 0;
    CAPTURE(subset);
    REQUIRE(merged(numbers, most) == model(numbers, 0, 8));
    REQUIRE(most <= 4);
  }
}

TEST_CASE("merge tree: numbers far apart, and as many slots as the tree has levels") {
  for (std::uint32_t trial = 0; trial < 50; ++trial) {
    std::vector<Index> numbers;
    for (Index n = 0; n < 1024; ++n) {
      const auto word = philox(trial, {static_cast<std::uint32_t>(n), 0, 0, 3})[0];
      if (word % (1 + trial) == 0) numbers.push_back(n);
    }
    std::size_t most = 0;
    CAPTURE(trial);
    REQUIRE(merged(numbers, most) == model(numbers, 0, 1024));
    REQUIRE(most <= 11);
  }
  std::size_t most = 0;
  CHECK(merged({0, Index{1} << 40, (Index{1} << 40) + 1}, most) ==
        "(0 (1099511627776 1099511627777))");
}

}  // namespace heed
