// Training steps that any other program can make too, on made-up ids: the documents' classifier and
// GPT-2's smallest model.
#pragma once

#include <heed/heed.hpp>
#include <string_view>
#include <vector>

namespace heed::bench {

struct TrainingRow {
  std::string_view name;
  Index B, L, features, heads, layers;
  double dropout;
  int threads;
  bool peers = true;  // stands in the table against the peers too
  Compute compute = Compute::full;
};

// clang-format off
inline const TrainingRow training_rows[] = {
//                          B    L  feat heads layers dropout threads
{"train_l64",              32,  64, 128, 4, 2, 0.0, 1},
{"train_l64_dropout",      32,  64, 128, 4, 2, 0.1, 1},
{"train_l256",              4, 256, 256, 8, 4, 0.0, 1},
{"train_l256_dropout",      4, 256, 256, 8, 4, 0.1, 1},
{"train_l512",              2, 512, 512, 8, 2, 0.0, 1},
{"train_l512_dropout",      2, 512, 512, 8, 2, 0.1, 1},
{"train_l64_2threads",     32,  64, 128, 4, 2, 0.1, 2},
{"train_l256_2threads",     4, 256, 256, 8, 4, 0.1, 2},
{"train_l512_2threads",     2, 512, 512, 8, 2, 0.1, 2},
{"train_l64_bf16",         32,  64, 128, 4, 2, 0.1, 1, false, Compute::bfloat16},
{"train_l256_bf16",         4, 256, 256, 8, 4, 0.1, 1, false, Compute::bfloat16},
{"train_l512_bf16",         2, 512, 512, 8, 2, 0.1, 1, false, Compute::bfloat16}};
// clang-format on

inline TrainingRow shrunk(TrainingRow row) {
  row.B = 2;
  row.L = 16;
  return row;
}

// Multiply-adds of the products of a step, counted twice: forward's, and two of backward's for
// each; attention has five products backward.
inline double useful_flops(const TrainingRow& row) {
  const double tokens = static_cast<double>(row.B * row.L),
               width = static_cast<double>(row.features);
  const double maps = 12 * width * width, pairs = static_cast<double>(row.L) * width;
  return static_cast<double>(row.layers) * tokens * (6 * maps + 14 * pairs);
}

// Forward, loss, backward, clipped gradients and AdamW on one batch.
class TrainingStep {
 public:
  static constexpr int vocabulary = 1000, classes = 2;

  explicit TrainingStep(const TrainingRow& row)
      : row_(row),
        model_({.vocabulary = vocabulary,
                .features = row.features,
                .heads = row.heads,
                .layers = row.layers,
                .classes = classes,
                .dropout = row.dropout}),
        ids_(row.B, row.L) {
    nn::initialise(model_, nn::Init::xavier_uniform, 1);
    gradients_ = nn::gradients_of(model_);
    for (Index b = 0; b < row.B; ++b) {
      labels_.push_back(static_cast<int>(b % classes));
      for (Index i = 0; i < row.L; ++i) {
        ids_(b, i) = static_cast<int>((7919 * b + 104729 * i) % vocabulary);
      }
    }
  }

  // The loss before the step.
  double operator()() {
    const nn::Options options{
        .mode = nn::Mode::train, .seed = ++step_, .threads = row_.threads, .compute = row_.compute};
    const auto [logits, saved] = model_.forward_train(ids_, options);
    const auto [loss, d_logits] = train::cross_entropy(logits, labels_);
    nn::zero(gradients_);
    model_.backward(d_logits, saved, gradients_, options);
    train::clip_global_norm(gradients_, 1.0);
    optimizer_.step(model_, gradients_, options);
    return loss;
  }

  const nn::SimpleTransformer<float>& model() const { return model_; }

 private:
  TrainingRow row_;
  nn::SimpleTransformer<float> model_;
  nn::SimpleTransformer<float> gradients_ = model_;
  train::Adam<nn::SimpleTransformer<float>> optimizer_{model_, train::adam_w(1e-4)};
  Tensor2<int> ids_;
  std::vector<int> labels_;
  std::uint64_t step_ = 0;
};

// Forward, loss, backward and AdamW of a language model on one batch, as llm.c has them.
class LanguageModelStep {
 public:
  using Model = nn::CausalLanguageModel<float, nn::GeluTanh>;

  LanguageModelStep(const nn::CausalLanguageModelOptions& options, Index B, Index L, int threads)
      : options_(options), threads_(threads), model_(options), ids_(B, L), targets_(B, L) {
    nn::initialise(model_, nn::Init::xavier_uniform, 1);
    gradients_ = nn::gradients_of(model_);
    for (Index b = 0; b < B; ++b) {
      for (Index i = 0; i < L; ++i) ids_(b, i) = id(b, i), targets_(b, i) = id(b, i + 1);
    }
  }

  // The loss before the step.
  double operator()() {
    const nn::Options options{.mode = nn::Mode::train, .threads = threads_};
    auto [logits, saved] = model_.forward_train(ids_, options);
    const auto [loss, d_logits] = train::cross_entropy(logits, targets_, {}, options);
    logits = Tensor3<float>();
    nn::zero(gradients_);
    model_.backward(d_logits, saved, gradients_, options);
    optimizer_.step(model_, gradients_, options);
    return loss;
  }

  double tokens() const { return static_cast<double>(ids_.size()); }
  // As useful_flops of a classifier; a token sees half of the others, and itself.
  double flops() const {
    const double width = static_cast<double>(options_.features),
                 layers = static_cast<double>(options_.layers);
    const double maps =
        layers * 12 * width * width + static_cast<double>(options_.vocabulary) * width;
    const double pairs = 0.5 * static_cast<double>(ids_.dimension(1) + 1) * width;
    return tokens() * (6 * maps + 14 * layers * pairs);
  }

 private:
  int id(Index b, Index i) const {
    return static_cast<int>((7919 * b + 104729 * i) % options_.vocabulary);
  }

  nn::CausalLanguageModelOptions options_;
  int threads_;
  Model model_;
  Model gradients_ = model_;
  train::Adam<Model> optimizer_{model_, train::adam_w(1e-4, 0)};
  Tensor2<int> ids_, targets_;
};

}  // namespace heed::bench
