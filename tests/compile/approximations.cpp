// expect: heed::approx::linear: the mask can be mask::causal
// expect: heed::approx::linear: the map must be callable as R -> R
// expect: heed::approx::performer: the mask can be mask::causal
// expect: heed::approx::nystrom: the mask can only be mask::padding
// expect: heed::approx::linformer: the mask can only be mask::padding
// expect: heed::approx::lsh: the mask can be mask::causal
// expect: heed::approx::linear_step: the state must be of the tensors' type of sums
#include <vector>

#include "heed/heed.hpp"

int main() {
  namespace approx = heed::approx;
  namespace mask = heed::mask;
  const heed::Tensor4<float> q(1, 2, 3, 4);
  const heed::Tensor2<float> e(3, 2);
  const std::vector<int> lengths{2};
#if HEED_WRONG == 0
  using mask::operator&;
  approx::linear(q, q, q, approx::Relu{}, mask::causal() & mask::padding(lengths));
  approx::performer(q, q, q, 8, mask::padding(lengths));
  approx::nystrom(q, q, q, 2, mask::padding(lengths));
  approx::linformer(q, q, q, e, e, mask::padding(lengths));
  approx::lsh(q, q, q, {}, mask::causal());
#elif HEED_WRONG == 1
  approx::linear(q, q, q, {}, mask::window(3));
#elif HEED_WRONG == 2
  approx::linear(q, q, q, mask::causal());  // a mask where the map belongs
#elif HEED_WRONG == 3
  approx::performer(q, q, q, 8, mask::any(mask::causal()));
#elif HEED_WRONG == 4
  approx::nystrom(q, q, q, 2, mask::causal());
#elif HEED_WRONG == 5
  approx::linformer(q, q, q, e, e, mask::causal());
#elif HEED_WRONG == 6
  approx::lsh(q, q, q, {}, mask::window(3));
#elif HEED_WRONG == 7
  approx::LinearState<double> state(1, 2, 4, 4);
  approx::linear_step(state, q, q, q);
#endif
}
