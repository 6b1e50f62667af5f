// An objective: forward, loss and backward of one batch, as train() calls it.
//
//   double objective(const Model& model, const Batch& batch, Model& gradients, const Pass& pass)
//
// adds the gradients of pass.scale · loss to `gradients` and returns the loss. Any callable of this
// form will do, for a model of any kind; the functions below make those of common losses.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "heed/core/copy.hpp"
#include "heed/core/error.hpp"
#include "heed/core/random.hpp"
#include "heed/nn/options.hpp"
#include "heed/train/cross_entropy.hpp"
#include "heed/train/mean_squared_error.hpp"

namespace heed::train {

// Of a call: its options, in Mode::train and with the batch's own seed, and the factor of the
// loss's gradient.
struct Pass {
  nn::Options options = {};
  double scale = 1;
};

// A batch for the objectives below. Batches of other types serve objectives of one's own.
template <class Input, class Target>
struct Batch {
  Input input;    // the model's: token ids [B, L] or features [B, L, F]
  Target target;  // the loss's
};
template <class Input, class Target>
Batch(Input, Target) -> Batch<Input, Target>;  // clang 14 does not deduce it by itself

inline namespace HEED_ABI {

// The dropout seed of a batch.
constexpr std::uint64_t batch_seed(std::uint64_t seed, Index batch) {
  const auto number = static_cast<std::uint64_t>(batch);
  return low_half(philox(seed, {static_cast<std::uint32_t>(number),
                                static_cast<std::uint32_t>(number >> 32), 0, 0xFFFFFFFEu}));
}

// x = scale · x, of any strides.
template <class X>
void scale_tensor(X& x, double scale) {
  if (scale == 1) return;
  const auto all = lift(mutable_view_of(x));
  using T = std::remove_reference_t<decltype(all(0, 0, 0, 0))>;
  for_each_row(all, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < all.extent[3]; ++d) all(b, h, i, d) *= static_cast<T>(scale);
  });
}

// criterion(out, target, options), or criterion(out, target) where it takes no options.
template <class Criterion, class Out, class Target>
auto call_criterion(const Criterion& criterion, const Out& out, const Target& target,
                    const nn::Options& options) {
  if constexpr (requires { criterion(out, target, options); }) {
    return criterion(out, target, options);
  } else {
    return criterion(out, target);
  }
}

// The objective of a criterion, which gives the Loss of a model's out.
template <class Criterion>
auto objective(Criterion criterion) {
  return [criterion = std::move(criterion)](const auto& model, const auto& batch, auto& gradients,
                                            const Pass& pass) {
    auto trained = model.forward_train(batch.input, pass.options);
    auto loss = [&] {
      const auto out = std::move(trained.out);  // freed before backward: logits can be large
      return call_criterion(criterion, out, batch.target, pass.options);
    }();
    scale_tensor(loss.gradient, pass.scale);
    model.backward(loss.gradient, trained.saved, gradients, pass.options);
    return loss.loss;
  };
}

// Of a classifier, or of a model of the next token.
inline auto cross_entropy_criterion(const CrossEntropyOptions& options = {}) {
  return [options](const auto& logits, const auto& targets, const nn::Options& call) {
    return cross_entropy(logits, targets, options, call);
  };
}
inline auto classification(const CrossEntropyOptions& options = {}) {
  return objective(cross_entropy_criterion(options));
}

// Of a regression.
inline auto mean_squared_error_criterion() {
  return [](const auto& y, const auto& target) { return mean_squared_error(y, target); };
}
inline auto regression() { return objective(mean_squared_error_criterion()); }

// The mean loss of batches(0), …, batches(count − 1) in Mode::eval, whatever the options say: for
// data that is held out. Throws heed::Error where count is below 1.
template <class Model, class Batches, class Criterion>
double mean_loss(const Model& model, const Batches& batches, Index count,
                 const Criterion& criterion, nn::Options options = {}) {
  if (count < 1) throw Error("heed::train::mean_loss: " + std::to_string(count) + " batches");
  options.mode = nn::Mode::eval;
  double sum = 0;
  for (Index n = 0; n < count; ++n) {
    const auto& batch = batches(n);
    const auto out = model.forward(batch.input, options);
    sum += call_criterion(criterion, out, batch.target, options).loss;
  }
  return sum / static_cast<double>(count);
}

// Tokens of a batch: batch.tokens() where it has that, else B · L of batch.input, else 0.
template <class B>
Index tokens_of_batch(const B& batch) {
  if constexpr (requires { static_cast<Index>(batch.tokens()); }) {
    return static_cast<Index>(batch.tokens());
  } else if constexpr (requires { requires TensorLike<decltype(batch.input)>; }) {
    const auto view = view_of(batch.input);
    return rank_of<decltype(batch.input)> < 2 ? 0 : view.extent[0] * view.extent[1];
  } else {
    return 0;
  }
}

}  // namespace HEED_ABI
}  // namespace heed::train
