// expect: this score has no derivative
// expect: d_out must have the element type of q
// expect: d_out must have the rank of q
// expect: d_out must be a tensor
#include "heed/heed.hpp"

int main() {
  const heed::Tensor4<float> q(1, 2, 3, 4);
  const auto result = heed::attention(q, q, q);
#if HEED_WRONG == 0
  const auto square = [](float s, int, int) { return s * s; };
  const auto slope = [](float s, int, int) { return 2 * s; };
  heed::attention_backward(q, q, q, q, result, {}, heed::score::with_derivative(square, slope));
#elif HEED_WRONG == 1
  heed::attention_backward(q, q, q, q, result, {}, [](float s, int, int) { return s * s; });
#elif HEED_WRONG == 2
  heed::attention_backward(heed::Tensor4<double>(1, 2, 3, 4), q, q, q, result);
#elif HEED_WRONG == 3
  heed::attention_backward(heed::Tensor3<float>(2, 3, 4), q, q, q, result);
#elif HEED_WRONG == 4
  heed::attention_backward(q.data(), q, q, q, result);
#endif
}
