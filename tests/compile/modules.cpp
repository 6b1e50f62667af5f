// expect: heed::nn: a tensor is not a mask: where nonzero attends, pass mask::dense
// expect: heed::nn: a tensor is not a mask: where nonzero attends, pass mask::dense
// expect: heed::nn: a tensor is not a score: where it is added to the scores, pass score::bias
#include "heed/mask/dense.hpp"
#include "heed/nn/encoder_block.hpp"

int main() {
  namespace nn = heed::nn;
  const nn::MultiHeadAttention<float> attention(4);
  const nn::EncoderBlock<float> block(4);
  const heed::Tensor3<float> x(1, 2, 4), seen(1, 1, 2);
#if HEED_WRONG == 0
  attention.forward(x, heed::mask::dense(seen));
#elif HEED_WRONG == 1
  attention.forward(x, seen);
#elif HEED_WRONG == 2
  block.forward(x, seen);
#elif HEED_WRONG == 3
  attention.forward(x, heed::mask::None{}, seen);
#endif
}
