// Masks and scores are objects: built in, combined, chosen at run time, or your own.
#include <heed/heed.hpp>
#include <iostream>
#include <string>
#include <vector>

namespace mask = heed::mask;
namespace score = heed::score;

// Tokens see only their own paragraph. `allows` is the definition; `coverage` lets the kernel skip
// whole tiles.
struct SameParagraph {
  int length;

  bool allows(int i, int j) const { return i / length == j / length; }
  mask::Coverage coverage(mask::Tile tile) const {
    const int q_first = tile.q_begin / length;
    const int q_last = (tile.q_end - 1) / length;
    const int k_first = tile.k_begin / length;
    const int k_last = (tile.k_end - 1) / length;
    if (q_last < k_first || k_last < q_first) return mask::Coverage::Empty;
    const bool one = q_first == q_last && k_first == k_last && q_first == k_first;
    return one ? mask::Coverage::Full : mask::Coverage::Partial;
  }
};

int main() {
  heed::Tensor4<float> q(1, 8, 300, 64);
  heed::Tensor4<float> k(1, 2, 300, 64);  // grouped: four query heads share a key head
  heed::Tensor4<float> v(1, 2, 300, 64);
  q.setRandom();
  k.setRandom();
  v.setRandom();

  const auto show = [](const std::string& name, const auto& result) {
    std::cout << name << ": out(0, 0, 150, 0) = " << result.out(0, 0, 150, 0)
              << ", lse = " << result.lse(0, 0, 150) << '\n';
  };

  show("full", heed::attention(q, k, v));
  show("causal", heed::attention(q, k, v, mask::causal()));
  show("causal and near", heed::attention(q, k, v, mask::causal() & mask::window(64)));

  const std::vector<float> slopes = score::alibi_slopes(8);
  show("ALiBi under a soft cap",
       heed::attention(q, k, v, {}, score::soft_cap(50) >> score::alibi(slopes)));

  show("own type", heed::attention(q, k, v, SameParagraph{100} & mask::causal()));
  show("lambdas", heed::attention(
                      q, k, v, [](int i, int j) { return (i + j) % 2 == 0; },
                      [](float s, int i, int j) { return s - 0.01f * static_cast<float>(i - j); }));

  for (const bool sparse : {false, true}) {
    const mask::any chosen = sparse ? mask::any(mask::bigbird()) : mask::any(mask::causal());
    show(sparse ? "chosen: BigBird" : "chosen: causal", heed::attention(q, k, v, chosen));
  }
}
