// Train a small transformer: does the first token of a sequence occur in it again?
#include <heed/heed.hpp>

#include <cstdio>
#include <vector>

namespace nn = heed::nn;
namespace train = heed::train;
using heed::Index;

using Model = nn::SimpleTransformer<float>;

struct Batch {
  heed::Tensor2<int> ids;   // [B, L]
  std::vector<int> labels;  // [B]
};

constexpr Index sequence_length = 8, vocabulary = 8, steps = 300;

// Sequences that depend on the number of the batch alone.
Batch batch_of(std::uint32_t number, Index size) {
  Batch batch{heed::Tensor2<int>(size, sequence_length), {}};
  for (Index b = 0; b < size; ++b) {
    int repeats = 0;
    for (Index i = 0; i < sequence_length; ++i) {
      const auto at = static_cast<std::uint32_t>(b * sequence_length + i);
      batch.ids(b, i) = static_cast<int>(heed::philox(42, {at, number, 0, 0})[0] % vocabulary);
      if (i > 0 && batch.ids(b, i) == batch.ids(b, 0)) repeats = 1;
    }
    batch.labels.push_back(repeats);
  }
  return batch;
}

double accuracy(const Model& model, const Batch& batch) {
  const auto logits = model.forward(batch.ids);
  double right = 0;
  for (Index b = 0; b < logits.dimension(0); ++b) {
    const int answer = logits(b, 1) > logits(b, 0) ? 1 : 0;
    right += answer == batch.labels[static_cast<std::size_t>(b)] ? 1 : 0;
  }
  return right / static_cast<double>(logits.dimension(0));
}

int main() {
  Model model({.vocabulary = vocabulary,
               .features = 32,
               .heads = 4,
               .positions = sequence_length,
               .dropout = 0.02});
  nn::initialise(model, nn::Init::xavier_uniform, 42);
  auto gradients = nn::gradients_of(model);
  train::Adam optimizer(model, train::adam_w());
  const train::CosineWithWarmup rate{.peak = 3e-3, .warmup = 20, .total = steps};

  for (Index step = 0; step < steps; ++step) {
    const Batch batch = batch_of(static_cast<std::uint32_t>(step), 32);
    const nn::Options training{
        .mode = nn::Mode::train, .seed = static_cast<std::uint64_t>(step), .threads = 1};
    const auto [logits, saved] = model.forward_train(batch.ids, training);
    const auto [loss, d_logits] = train::cross_entropy(logits, batch.labels);
    nn::zero(gradients);
    model.backward(d_logits, saved, gradients, training);
    train::clip_global_norm(gradients, 1.0);
    optimizer.options().learning_rate = rate(step);
    optimizer.step(model, gradients);
    if (step % (steps / 5) == 0) std::printf("step %4td  loss %.3f\n", step, loss);
  }
  const double right = accuracy(model, batch_of(1u << 20, 512));  // never seen
  std::printf("right on sequences it has never seen: %.1f %%\n", 100 * right);
  return right > 0.9 ? 0 : 1;
}
