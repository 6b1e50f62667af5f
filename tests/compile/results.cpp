// expect: out must be writable and of q's element type
// expect: out must be writable and of q's element type
// expect: out is no tensor that heed can view
#include "heed/heed.hpp"

int main() {
  const heed::Tensor4<float> q(1, 2, 3, 4);
#if HEED_WRONG == 0
  heed::Tensor4<float> out(1, 2, 3, 4);
#elif HEED_WRONG == 1
  heed::Tensor4<double> out(1, 2, 3, 4);
#elif HEED_WRONG == 2
  const auto out = heed::view(q.data(), {1, 2, 3, 4});  // const float
#elif HEED_WRONG == 3
  float out[24];
#endif
  heed::attention_into(out, q, q, q);
}
