// expect: the mask must satisfy heed::mask::Mask or be callable
// expect: a score stands in the mask's place: .* pass {}
// expect: the score must satisfy heed::score::Score or be callable
// expect: a mask stands in the score's place: the order is mask, score, options
// expect: a tensor of bool is a mask: use heed::mask::dense
// expect: a tensor stands in the mask's place: nonzero attends: mask::dense.t..*score::bias.t.
// expect: a tensor stands in the mask's place: .* lengths: mask::padding.lengths.
// expect: in the score's place: added to the score: score::bias.t.; nonzero attends: mask::dense
// expect: options stand in the mask's place
// expect: options stand in the score's place
// expect: the mask must be callable while const.*remove 'mutable'
// expect: the score must be copyable
// expect: the mask must return bool
// expect: the score comes first, as a floating-point number
// expect: the score comes first, as a floating-point number
// expect: the score comes first, as a floating-point number
// expect: a tensor stands beside &, . or ~ of masks: nonzero attends: mask::dense.t.
// expect: a tensor stands beside &, . or ~ of masks: nonzero attends: mask::dense.t.
// expect: a tensor stands beside &, . or ~ of masks: nonzero attends: mask::dense.t.
#include <memory>
#include <vector>

#include "heed/heed.hpp"

bool earlier(int i, int j) { return i > j; }
float halved(float s, int, int) { return s / 2; }
float from_the_end(int i, int j, float s) noexcept { return s - float(i - j); }

int main() {
  const heed::Tensor4<float> q(1, 2, 3, 4);
  const heed::Tensor2<float> slopes(3, 3);
  const heed::Tensor2<bool> seen(3, 3);
  const Eigen::MatrixXf table(3, 3);
  const std::vector<int> lengths{3};
#if HEED_WRONG == 0
  const auto near = [](int i, int j) { return i - j < 2 && j - i < 2; };
  const auto halve = [](float s, int, int) { return s / 2; };
  heed::attention(q, q, q, near, halve);
  heed::attention(q, q, q, earlier, halved);
  heed::attention(q, q, q, {}, [](auto s, int, int, int, int j) { return s + float(j); });
  heed::attention(q, q, q, {}, [](auto s, auto i, auto j) { return i < j ? 0 : s; });
  heed::attention(q, q, q, ~heed::mask::dense(seen), heed::score::bias(slopes));
#elif HEED_WRONG == 1
  heed::attention(q, q, q, [](int i) { return i > 0; });
#elif HEED_WRONG == 2
  heed::attention(q, q, q, heed::score::soft_cap(50));
#elif HEED_WRONG == 3
  heed::attention(q, q, q, {}, [](float s, int) { return s; });
#elif HEED_WRONG == 4
  heed::attention(q, q, q, {}, heed::mask::causal());
#elif HEED_WRONG == 5
  heed::attention(q, q, q, {}, heed::score::bias(seen));
#elif HEED_WRONG == 6
  heed::attention(q, q, q, table);  // an Eigen matrix can be called with (i, j)
#elif HEED_WRONG == 7
  heed::approx::top_k(q, q, q, 2, lengths);
#elif HEED_WRONG == 8
  heed::reference::attention(q, q, q, {},
                             heed::Tensor3<float>(3, 3, 3));  // and this with (s, i, j)
#elif HEED_WRONG == 9
  heed::attention(q, q, q, heed::Options{});
#elif HEED_WRONG == 10
  heed::chunked::attention(q, q, q, heed::mask::causal(), heed::chunked::Options{});
#elif HEED_WRONG == 11
  heed::workspace_bytes(q, q, q, [n = 0](int i, int j) mutable { return i + ++n > j; });
#elif HEED_WRONG == 12
  heed::attention(q, q, q, {}, [by = std::make_unique<float>()](float s, int, int) { return s; });
#elif HEED_WRONG == 13
  heed::attention(q, q, q, [](int i, int j) { return i < j ? 0.0f : 1.0f; });
#elif HEED_WRONG == 14
  heed::attention(q, q, q, {},
                  [](int b, int h, float s, int, int) { return s / float(b + h + 1); });
#elif HEED_WRONG == 15
  heed::attention(q, q, q, {}, from_the_end);
#elif HEED_WRONG == 16
  heed::attention(q, q, q, {}, [](auto, auto, auto s) { return s / 2; });  // s is a position
#elif HEED_WRONG == 17
  heed::attention(q, q, q, seen & heed::mask::causal());
#elif HEED_WRONG == 18
  heed::attention(q, q, q, heed::mask::causal() | table);
#elif HEED_WRONG == 19
  heed::attention(q, q, q, ~heed::view(seen.data(), {3, 3}));
#endif
}
