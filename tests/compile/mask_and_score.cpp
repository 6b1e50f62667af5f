// expect: the mask must satisfy heed::mask::Mask or be callable
// expect: the mask must satisfy heed::mask::Mask or be callable
// expect: the score must satisfy heed::score::Score or be callable
// expect: the score must satisfy heed::score::Score or be callable
// expect: a tensor of bool is a mask: use heed::mask::dense
#include "heed/heed.hpp"

int main() {
  const heed::Tensor4<float> q(1, 2, 3, 4);
  const heed::Tensor2<float> slopes(3, 3);
  const heed::Tensor2<bool> seen(3, 3);
#if HEED_WRONG == 0
  const auto near = [](int i, int j) { return i - j < 2 && j - i < 2; };
  const auto halve = [](float s, int, int) { return s / 2; };
  heed::attention(q, q, q, near, halve);
  heed::attention(q, q, q, heed::mask::dense(seen), heed::score::bias(slopes));
#elif HEED_WRONG == 1
  heed::attention(q, q, q, [](int i) { return i > 0; });
#elif HEED_WRONG == 2
  heed::attention(q, q, q, heed::score::soft_cap(50));  // a score where the mask belongs
#elif HEED_WRONG == 3
  heed::attention(q, q, q, {}, [](float s, int) { return s; });
#elif HEED_WRONG == 4
  heed::attention(q, q, q, {}, heed::mask::causal());  // a mask where the score belongs
#elif HEED_WRONG == 5
  heed::attention(q, q, q, {}, heed::score::bias(seen));
#endif
}
