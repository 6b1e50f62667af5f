// ALiBi on contexts longer than any in training: how far the last token of a context looks, head by
// head, as the context grows. Steep heads look as far as before; without a bias all look
// everywhere.
#include <algorithm>
#include <cstdio>
#include <heed/heed.hpp>
#include <vector>

namespace {

constexpr int heads = 8;
constexpr heed::Index dim = 32;

// The number of keys, nearest first, that hold 99 % of the last token's attention in each head.
std::vector<int> reach(const heed::Tensor4<float>& weights) {  // [1, heads, 1, keys]
  std::vector<int> result;
  const auto keys = static_cast<int>(weights.dimension(3));
  for (int h = 0; h < heads; ++h) {
    double sum = 0;
    int n = 0;
    while (n < keys && sum < 0.99) sum += static_cast<double>(weights(0, h, 0, keys - 1 - n++));
    result.push_back(n);
  }
  return result;
}

void print(const char* name, heed::Index keys, const std::vector<int>& reached) {
  std::printf("%-8s %6d", name, static_cast<int>(keys));
  for (const int n : reached) std::printf(" %6d", n);
  std::printf("\n");
}

}  // namespace

int main() {
  const std::vector<float> slopes = heed::score::alibi_slopes(heads);  // 1/2, 1/4, … 1/256
  std::printf("keys that hold 99 %% of the last token's attention, by head\n%-8s %6s", "", "keys");
  for (const float slope : slopes) std::printf(" 1/%-4d", static_cast<int>(1 / slope));
  std::printf("\n");

  heed::Tensor4<float> longest(1, heads, 8192, dim);
  longest.setRandom();
  std::vector<int> before;
  bool steady = true;
  for (const heed::Index keys : {512, 2048, 8192}) {
    // The last `keys` tokens of the same text, the last of which asks.
    const auto context = [&](heed::Index count) {
      return heed::view(longest.data() + (8192 - count) * dim, {1, heads, count, dim},
                        {heads * 8192 * dim, 8192 * dim, dim, 1});
    };
    const auto q = context(1), k = context(keys);
    const auto with =
        heed::reference::attention(q, k, k, heed::mask::causal(), heed::score::alibi(slopes));
    const auto without = heed::reference::attention(q, k, k, heed::mask::causal());
    const std::vector<int> reached = reach(with.weights);
    print("ALiBi", keys, reached);
    print("no bias", keys, reach(without.weights));
    // The four steepest heads look no farther than in the shortest context.
    if (before.empty()) before = reached;
    steady = steady && std::equal(before.begin(), before.begin() + 4, reached.begin());
  }
  return steady ? 0 : 1;
}
