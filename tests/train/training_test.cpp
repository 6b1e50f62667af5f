// A model learns, and the same seed gives the same bits whatever the threads.
#include "heed/nn/initialise.hpp"
#include "heed/nn/simple_transformer.hpp"
#include "heed/train/adam.hpp"
#include "heed/train/clip.hpp"
#include "heed/train/cross_entropy.hpp"
#include "nn/gradients.hpp"

using namespace nn_test;
namespace nn = heed::nn;
namespace train = heed::train;
using Model = nn::SimpleTransformer<double>;

namespace {

Model small_model() {
  Model model({.vocabulary = 5,
               .features = 8,
               .heads = 2,
               .layers = 2,
               .classes = 3,
               .positions = 6,
               .hidden = 12,
               .dropout = 0.1});
  nn::initialise(model, nn::Init::xavier_uniform, 7);
  return model;
}

heed::Tensor2<int> token_ids(std::uint32_t batch) {
  heed::Tensor2<int> ids(12, 6);
  for (Index n = 0; n < ids.size(); ++n) {
    ids.data()[n] =
        static_cast<int>(heed::philox(42, {static_cast<std::uint32_t>(n), batch, 0, 0})[0] % 5);
  }
  return ids;
}

// The first token, 3 and 4 as 2.
std::vector<int> labels_of(const heed::Tensor2<int>& ids) {
  std::vector<int> labels;
  for (Index b = 0; b < ids.dimension(0); ++b) labels.push_back(std::min(2, ids(b, 0)));
  return labels;
}

struct Trained {
  Model model;
  double first, last;  // loss
};

Trained trained(int steps, int threads) {
  Trained result{small_model(), 0, 0};
  auto gradients = nn::gradients_of(result.model);
  train::Adam optimizer(result.model, train::adam_w(1e-2));
  for (int step = 0; step < steps; ++step) {
    const auto ids = token_ids(static_cast<std::uint32_t>(step));
    const nn::Options options{
        .mode = nn::Mode::train, .seed = static_cast<std::uint64_t>(step), .threads = threads};
    const auto run = result.model.forward_train(ids, options);
    const auto loss = train::cross_entropy(run.out, labels_of(ids), {}, options);
    nn::zero(gradients);
    result.model.backward(loss.gradient, run.saved, gradients, {.threads = threads});
    train::clip_global_norm(gradients, 1);
    optimizer.step(result.model, gradients, options);
    (step == 0 ? result.first : result.last) = loss.loss;
  }
  return result;
}

}  // namespace

TEST_CASE("training: gradients of a classifier, padded or not, equal central differences") {
  auto model = small_model();
  const auto ids = token_ids(0);
  const std::vector<int> lengths{6, 1, 2, 3, 4, 5, 6, 6, 6, 1, 2, 3};
  const nn::Options options{.mode = nn::Mode::train, .seed = 4};
  for (const bool padded : {false, true}) {
    const auto run =
        padded ? model.forward_train(ids, lengths, options) : model.forward_train(ids, options);
    const auto logits = padded ? model.forward(ids, lengths, options) : model.forward(ids, options);
    CHECK(same_bits(run.out, logits));
    auto gradients = nn::gradients_of(model);
    const auto loss = train::cross_entropy(run.out, labels_of(ids));
    model.backward(loss.gradient, run.saved, gradients);
    const auto again = [&] {
      return train::cross_entropy(
                 padded ? model.forward(ids, lengths, options) : model.forward(ids, options),
                 labels_of(ids))
          .loss;
    };
    const double least = least_gradient(gradients);
    for (const auto& input : heed::inspect::gradcheck_parameters(model, gradients)) {
      const auto check = heed::inspect::gradcheck(again, {input});
      INFO(check);
      CHECK((check.ok() || std::abs(check.gradient - check.difference) < 1e-6 * least));
    }
  }
}

TEST_CASE("training: the loss falls, and threads change no bit") {
  const auto one = trained(60, 1), two = trained(60, 2);
  CHECK(one.first > 0.9);
  CHECK(one.last < 0.5 * one.first);
  CHECK(one.last == two.last);
  CHECK(same_parameters(one.model, two.model));
  CHECK_FALSE(same_parameters(one.model, small_model()));
}
