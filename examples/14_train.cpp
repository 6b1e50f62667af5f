// Train a small transformer: does the first token of a sequence occur in it again?
#include <heed/heed.hpp>

#include <cstdio>
#include <vector>

namespace nn = heed::nn;
namespace train = heed::train;
using heed::Index;

using Model = nn::SimpleTransformer<float>;

using Batch = train::Batch<heed::Tensor2<int>, std::vector<int>>;  // ids [B, L], labels [B]

constexpr Index sequence_length = 8, vocabulary = 8, steps = 300;

// Sequences that depend on the number of the batch alone.
Batch batch_of(std::uint32_t number, Index size) {
  Batch batch{heed::Tensor2<int>(size, sequence_length), {}};
  for (Index b = 0; b < size; ++b) {
    int repeats = 0;
    for (Index i = 0; i < sequence_length; ++i) {
      const auto at = static_cast<std::uint32_t>(b * sequence_length + i);
      batch.input(b, i) = static_cast<int>(heed::philox(42, {at, number, 0, 0})[0] % vocabulary);
      if (i > 0 && batch.input(b, i) == batch.input(b, 0)) repeats = 1;
    }
    batch.target.push_back(repeats);
  }
  return batch;
}

double accuracy(const Model& model, const Batch& batch) {
  const auto logits = model.forward(batch.input);
  double right = 0;
  for (Index b = 0; b < logits.dimension(0); ++b) {
    const int answer = logits(b, 1) > logits(b, 0) ? 1 : 0;
    right += answer == batch.target[static_cast<std::size_t>(b)] ? 1 : 0;
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
  train::Adam optimizer(model, train::adam_w());
  const auto batches = [](Index n) { return batch_of(static_cast<std::uint32_t>(n), 32); };
  const Batch unseen = batch_of(1u << 20, 512);
  train::train(
      model, optimizer, batches, train::classification(),
      {.steps = steps,
       .learning_rate = train::CosineWithWarmup{.peak = 3e-3, .warmup = 20, .total = steps},
       .clip = 1,
       .seed = 42,
       .threads = 1},
      {.on_step = {train::progress_bar(stdout)}});
  const double right = accuracy(model, unseen);
  std::printf("right on sequences it has never seen: %.1f %%\n", 100 * right);
  return right > 0.9 ? 0 : 1;
}
