// A transformer encoder of two blocks on a padded batch of token ids: embeddings, positions,
// blocks, and the mean over each sentence's own tokens. The weights are random but seeded.
#include <cstdio>
#include <string>
#include <vector>

#include <heed/mask/padding.hpp>
#include <heed/nn/encoder_block.hpp>
#include <heed/nn/initialise.hpp>
#include <heed/position/learned.hpp>
#include <heed/position/sinusoidal.hpp>

namespace mask = heed::mask;
namespace nn = heed::nn;
using heed::Index;

namespace {

// A user's own module: parts, and one function that reaches their parameters.
struct Encoder {
  nn::Linear<float> words;  // the weight's column n is word n
  nn::EncoderBlock<float> first, second;

  Encoder(Index vocabulary, Index features, Index heads)
      : words(vocabulary, features, nn::Bias::no),
        first(features, {.attention = {.heads = heads}}),
        second(features, {.attention = {.heads = heads}}) {}

  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.words, visit, prefix + "words.");
    nn::each_parameter(self.first, visit, prefix + "blocks.0.");
    nn::each_parameter(self.second, visit, prefix + "blocks.1.");
  }

  // [B, L] ids, sentence b has lengths[b] of them -> [B, L, features]
  heed::Tensor3<float> forward(const std::vector<std::vector<Index>>& ids,
                               const std::vector<int>& lengths) const {
    const auto B = static_cast<Index>(ids.size());
    const auto L = static_cast<Index>(ids[0].size());
    heed::Tensor3<float> x(B, L, words.out());
    for (Index b = 0; b < B; ++b) {
      for (Index i = 0; i < L; ++i) {
        const Index id = ids[static_cast<std::size_t>(b)][static_cast<std::size_t>(i)];
        for (Index d = 0; d < words.out(); ++d) x(b, i, d) = words.weight().value(d, id);
      }
    }
    heed::position::add_into(x, heed::position::sinusoidal(L, words.out()));
    const auto own = mask::padding(lengths);
    return second.forward(first.forward(x, own), own);
  }
};

Eigen::VectorXd mean(const heed::Tensor3<float>& states, Index b, Index length) {
  Eigen::VectorXd sum = Eigen::VectorXd::Zero(states.dimension(2));
  for (Index i = 0; i < length; ++i) {
    for (Index d = 0; d < sum.size(); ++d) sum[d] += states(b, i, d);
  }
  return sum / static_cast<double>(length);
}

}  // namespace

int main() {
  Encoder encoder(20, 32, 4);
  nn::initialise(encoder, nn::Init::xavier_uniform, 42);
  std::printf("%lld parameters\n", static_cast<long long>(nn::parameter_count(encoder)));

  // the same three tokens, alone and beside a longer sentence; 0 pads
  const auto alone = encoder.forward({{7, 3, 11}}, {3});
  const auto batch = encoder.forward({{7, 3, 11, 0, 0}, {5, 2, 9, 14, 1}}, {3, 5});
  const Eigen::VectorXd a = mean(alone, 0, 3), b = mean(batch, 0, 3), other = mean(batch, 1, 5);
  std::printf("sentence 0 alone and in the batch: %s\n", a == b ? "the same bits" : "different");

  std::printf("cosine of sentences 0 and 1: %.4f\n", a.normalized().dot(other.normalized()));
  return a == b ? 0 : 1;
}
