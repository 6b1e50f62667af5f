// One unit of a program whose units are built with different -m flags. HEED_UNIT names its
// function.
//
// Tensors are plain memory: Eigen's own allocate differently under different -m flags, and a
// program that mixes them frees what was never allocated, with heed or without.
#include "heed/heed.hpp"

namespace heed::test {

// Results of a few calls on numbers that do not depend on the unit.
std::vector<float> HEED_UNIT() {
  constexpr Index L = 150;
  constexpr Index D = 40;
  std::uint32_t state = 1;
  const auto numbers = [&](Index count) {
    std::vector<float> all;
    for (Index n = 0; n < count; ++n) {
      state = state * 1664525U + 1013904223U;
      all.push_back(static_cast<float>(state >> 8) * 0x1p-23F - 1);
    }
    return all;
  };
  const std::vector<float> q = numbers(4 * L * D);
  const std::vector<float> k = numbers(2 * L * D);
  const std::vector<float> v = numbers(2 * L * (D + 1));
  const auto q_view = view(q.data(), {1, 4, L, D});
  const auto k_view = view(k.data(), {1, 2, L, D});
  const auto v_view = view(v.data(), {1, 2, L, D + 1});
  std::vector<float> results(static_cast<std::size_t>(2 * 4 * L * (D + 1)));
  const auto first = view(results.data(), {1, 4, L, D + 1});
  const auto second = view(results.data() + 4 * L * (D + 1), {1, 4, L, D + 1});
  const std::vector<float> slopes = score::alibi_slopes(4);
  const std::vector<int> lengths = {140};
  const mask::any chosen = mask::window(20) & mask::padding(lengths);
  attention_into(first, q_view, k_view, v_view, chosen, {}, {.dropout = 0.2});
  attention_into(second, q_view, k_view, v_view, mask::causal(),
                 score::alibi(slopes) >> score::soft_cap(3));
  return results;
}

}  // namespace heed::test
