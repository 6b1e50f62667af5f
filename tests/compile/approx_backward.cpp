// expect: heed::approx::nystrom has no backward call
// expect: heed::approx::low_rank has no backward call
// expect: heed::approx::lsh has no backward call
// expect: heed::approx::linear_backward: this map has no derivative
// expect: heed::approx::top_k_backward: gradients of what a score holds
#if HEED_WRONG == 5
#include "heed/approx/top_k/top_k_backward.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/chain_rule.hpp"
#elif HEED_WRONG == 0 || HEED_WRONG == 4
#include "heed/approx/linear/linear_backward.hpp"
#else
#include "heed/approx/no_backward.hpp"
#endif

int main() {
  namespace approx = heed::approx;
#if HEED_WRONG == 0
  const heed::Tensor4<float> q(1, 2, 3, 4);
  approx::linear_backward(q, q, q, q, approx::Relu{});
  approx::linear_backward(
      q, q, q, q,
      approx::with_derivative([](float x) { return x * x; }, [](float x) { return 2 * x; }));
#elif HEED_WRONG == 1
  approx::nystrom_backward(1, 2, 3, 4);
#elif HEED_WRONG == 2
  approx::low_rank_backward(1, 2, 3, 4);
#elif HEED_WRONG == 3
  approx::lsh_backward(1, 2, 3, 4);
#elif HEED_WRONG == 4
  const heed::Tensor4<float> q(1, 2, 3, 4);
  approx::linear_backward(q, q, q, q, [](float x) { return x * x; });
#elif HEED_WRONG == 5
  const heed::Tensor4<float> q(1, 2, 3, 4), bias(1, 2, 3, 3);
  heed::Tensor4<float> d_bias(1, 2, 3, 3);
  approx::top_k_backward(q, q, q, q, 2, heed::mask::None{},
                         heed::score::with_gradient(heed::score::bias(bias), d_bias));
#endif
}
