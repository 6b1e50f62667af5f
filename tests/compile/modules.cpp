// expect: heed::nn: a tensor is not a mask: where nonzero attends, pass mask::dense
// expect: heed::nn: a tensor is not a mask: where nonzero attends, pass mask::dense
// expect: heed::nn: a tensor is not a score: where it is added to the scores, pass score::bias
// expect: heed::nn: gradients of modules are float or double
// expect: heed::nn: to be trained, an activation needs a member derivative
#include "heed/mask/dense.hpp"
#include "heed/nn/encoder_block.hpp"

struct Square {
  float operator()(float x) const { return x * x; }
#if HEED_WRONG != 5
  float derivative(float x) const { return 2 * x; }
#endif
};

int main() {
  namespace nn = heed::nn;
  const nn::MultiHeadAttention<float> attention(4);
  const nn::EncoderBlock<float> block(4);
  const heed::Tensor3<float> x(1, 2, 4), seen(1, 1, 2);
#if HEED_WRONG == 0 || HEED_WRONG == 5
  const nn::FeedForward<float, Square> part(4, 8);
  auto of_part = nn::gradients_of(part);
  part.backward(x, part.forward_train(x).saved, of_part);
  attention.forward(x, heed::mask::dense(seen));
#elif HEED_WRONG == 1
  attention.forward(x, seen);
#elif HEED_WRONG == 2
  block.forward(x, seen);
#elif HEED_WRONG == 3
  attention.forward(x, heed::mask::None{}, seen);
#elif HEED_WRONG == 4
  const nn::Linear<heed::Half> linear(4, 4);
  const heed::Tensor3<heed::Half> half(1, 2, 4);
  auto gradients = nn::gradients_of(linear);
  linear.backward(half, linear.forward_train(half).saved, gradients);
#endif
}
