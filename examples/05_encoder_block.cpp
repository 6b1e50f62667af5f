// A transformer encoder of two blocks on a padded batch of token ids: embeddings, positions,
// blocks, and the mean over each sentence's own tokens. The weights are random but seeded.
#include <cmath>
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

std::vector<double> mean(const heed::Tensor3<float>& states, Index b, Index length) {
  std::vector<double> result(static_cast<std::size_t>(states.dimension(2)), 0.0);
  for (Index i = 0; i < length; ++i) {
    for (std::size_t d = 0; d < result.size(); ++d) {
      result[d] += states(b, i, static_cast<Index>(d)) / static_cast<double>(length);
    }
  }
  return result;
}

}  // namespace

int main() {
  Encoder encoder(20, 32, 4);
  nn::initialise(encoder, nn::Init::xavier_uniform, 42);
  std::printf("%lld parameters\n", static_cast<long long>(nn::parameter_count(encoder)));

  // the same three tokens, alone and beside a longer sentence; 0 pads
  const auto alone = encoder.forward({{7, 3, 11}}, {3});
  const auto batch = encoder.forward({{7, 3, 11, 0, 0}, {5, 2, 9, 14, 1}}, {3, 5});
  const auto a = mean(alone, 0, 3), b = mean(batch, 0, 3), other = mean(batch, 1, 5);
  std::printf("sentence 0 alone and in the batch: %s\n", a == b ? "the same bits" : "different");

  double dot = 0, aa = 0, oo = 0;
  for (std::size_t d = 0; d < a.size(); ++d) {
    dot += a[d] * other[d];
    aa += a[d] * a[d];
    oo += other[d] * other[d];
  }
  std::printf("cosine of sentences 0 and 1: %.4f\n", dot / std::sqrt(aa * oo));
  return a == b ? 0 : 1;
}
