// expect: this score has no derivative
// expect: d_out must have the element type of q
// expect: d_out must have the rank of q
// expect: d_out must be a tensor
// expect: this score holds nothing that has a gradient
// expect: refers to the gradient, and this one is gone when the expression ends
// expect: the gradient must hold float, double, Half or BFloat16, and not be const
// expect: the gradient must be a tensor, a vector or a span that can be written to
// expect: result.out must have the element type of q
// expect: d_out must have the order of q.s dimensions
// expect: a source of keys, such as a cache, has no gradients
#include "heed/heed.hpp"

int main() {
  namespace score = heed::score;
  using score::operator>>;
  const heed::Tensor4<float> q(1, 2, 3, 4);
  const auto result = heed::attention(q, q, q);
  const std::vector<float> slopes(2);
  std::vector<double> d_slopes(2);
#if HEED_WRONG == 0
  const auto square = [](float s, int, int) { return s * s; };
  const auto slope = [](float s, int, int) { return 2 * s; };
  heed::attention_backward(q, q, q, q, result, {}, score::with_derivative(square, slope));
  score::with_gradient(score::alibi(slopes), d_slopes);
  score::with_gradient(score::alibi(slopes), std::span(d_slopes));
  score::with_gradient(score::bias(q), heed::view(d_slopes.data(), {1, 2, 3, 4}));
#elif HEED_WRONG == 1
  heed::attention_backward(q, q, q, q, result, {}, [](float s, int, int) { return s * s; });
#elif HEED_WRONG == 2
  heed::attention_backward(heed::Tensor4<double>(1, 2, 3, 4), q, q, q, result);
#elif HEED_WRONG == 3
  heed::attention_backward(heed::Tensor3<float>(2, 3, 4), q, q, q, result);
#elif HEED_WRONG == 4
  heed::attention_backward(q.data(), q, q, q, result);
#elif HEED_WRONG == 5
  score::with_gradient(score::soft_cap(30) >> score::alibi(slopes), d_slopes);
#elif HEED_WRONG == 6
  score::with_gradient(score::alibi(slopes), std::vector<double>(2));
#elif HEED_WRONG == 7
  score::with_gradient(score::bias(q), heed::view(slopes.data(), {1, 2, 3, 4}));
#elif HEED_WRONG == 8
  score::with_gradient(score::bias(q), q);  // const
#elif HEED_WRONG == 9
  const heed::Tensor4<double> out(1, 2, 3, 4);
  heed::attention_backward(q, q, q, q, heed::Result{out, result.lse});
#elif HEED_WRONG == 10
  heed::attention_backward(q, heed::blhd(q), heed::blhd(q), heed::blhd(q), result);
#elif HEED_WRONG == 11
  const heed::kv::Cache<heed::kv::K4V4> cache({1, 2, 4, 4});
  heed::attention_backward(q, q, cache, result);
#endif
}
