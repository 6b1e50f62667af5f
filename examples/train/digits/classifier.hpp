// A module of one's own: patches of an image through an encoder to a class.
//
// It joins initialise, optimizers, clipping and files by writing each_parameter, and training by
// forward_train and backward, as the modules that it is made of do. Dosovitskiy et al., "An Image
// is Worth 16x16 Words" (2021), with the mean over the patches in place of a class token.
#pragma once

#include <heed/heed.hpp>

#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace digits {

namespace nn = heed::nn;
using heed::Index;
using heed::Tensor3;

struct ClassifierOptions {
  Index patches, pixels;  // of an image; of a patch
  Index classes = 10;
  Index features = 64, heads = 4, layers = 2;
  double dropout = 0.1;
};

class Classifier {
 public:
  struct Saved {
    nn::Linear<float>::Saved patches;
    nn::LearnedPositions<float>::Saved positions;
    std::vector<nn::EncoderBlock<float>::Saved> blocks;
    nn::Linear<float>::Saved classes;
  };

  explicit Classifier(const ClassifierOptions& o)
      : patches_(o.pixels, o.features),
        positions_(o.features, o.patches, 0.3),
        classes_(o.features, o.classes) {
    auto block = nn::tutorial_block(o.heads, 2 * o.features, o.dropout);
    block.norm = nn::NormPlace::pre;
    for (Index n = 0; n < o.layers; ++n) blocks_.emplace_back(o.features, block);
  }

  // x [B, patches, pixels] -> {logits [B, 1, classes], saved}
  auto forward_train(const Tensor3<float>& x, const nn::Options& options) const {
    auto patches = patches_.forward_train(x, options);
    auto [tokens, positions] = positions_.forward_train(patches.out);
    Saved saved{std::move(patches.saved), positions, {}, {}};
    for (std::size_t n = 0; n < blocks_.size(); ++n) {
      auto block = blocks_[n].forward_train(tokens, {}, {}, block_options(options, n));
      tokens = std::move(block.out);
      saved.blocks.push_back(std::move(block.saved));
    }
    auto classes = classes_.forward_train(mean(tokens), options);
    saved.classes = std::move(classes.saved);
    return nn::OutWithSaved{std::move(classes.out), std::move(saved)};
  }

  // The parts of forward_train, last first; adds to the gradients. The image needs none.
  void backward(const Tensor3<float>& d_logits, const Saved& saved, Classifier& gradients,
                const nn::Options& options) const {
    const auto d_mean = classes_.backward(d_logits, saved.classes, gradients.classes_, options);
    Tensor3<float> d = nn::mean_gradient(d_mean, positions_.positions(), {});
    for (std::size_t n = blocks_.size(); n-- > 0;) {
      d = blocks_[n].backward(d, saved.blocks[n], gradients.blocks_[n], {}, {}, options);
    }
    positions_.backward(d, saved.positions, gradients.positions_);
    patches_.backward(d, saved.patches, gradients.patches_, options);
  }

  // Logits [B, 1, classes].
  Tensor3<float> forward(const Tensor3<float>& x, const nn::Options& options = {}) const {
    return run(x, options, nn::AttendHere{});
  }

  // The attention weights [B, heads, patches, patches] of each block: forward with attention of
  // one's own in place of heed's.
  std::vector<heed::Tensor4<float>> weights(const Tensor3<float>& x) const {
    std::vector<heed::Tensor4<float>> found;
    std::vector<Index> rows(static_cast<std::size_t>(positions_.positions()));
    std::iota(rows.begin(), rows.end(), Index{0});
    run(x, {}, [&](auto&& out, const auto& q, const auto& k, const auto&... rest) {
      found.push_back(heed::attention_weights(q, k, rows));
      nn::AttendHere{}(out, q, k, rest...);
    });
    return found;
  }

  // Names: patches.…, positions.…, blocks.0.…, blocks.1.…, classes.…
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.patches_, visit, prefix + "patches.");
    nn::each_parameter(self.positions_, visit, prefix + "positions.");
    for (std::size_t n = 0; n < self.blocks_.size(); ++n) {
      nn::each_parameter(self.blocks_[n], visit, prefix + "blocks." + std::to_string(n) + ".");
    }
    nn::each_parameter(self.classes_, visit, prefix + "classes.");
  }

 private:
  // Each block drops other weights.
  static nn::Options block_options(const nn::Options& options, std::size_t n) {
    return nn::layer_options(options, static_cast<Index>(n));
  }

  template <class Attend>
  Tensor3<float> run(const Tensor3<float>& x, const nn::Options& options,
                     const Attend& attend) const {
    Tensor3<float> tokens = positions_.forward(patches_.forward(x, options));
    for (std::size_t n = 0; n < blocks_.size(); ++n) {
      tokens = blocks_[n].forward(tokens, heed::mask::None{}, heed::score::None{},
                                  block_options(options, n), attend);
    }
    return classes_.forward(mean(tokens), options);
  }

  // [B, patches, features] -> [B, 1, features]
  static Tensor3<float> mean(const Tensor3<float>& tokens) {
    Tensor3<float> pooled(tokens.dimension(0), 1, tokens.dimension(2));
    nn::mean_into(heed::mutable_view_of(pooled), heed::view_of(tokens), {});
    return pooled;
  }

  nn::Linear<float> patches_;
  nn::LearnedPositions<float> positions_;
  std::vector<nn::EncoderBlock<float>> blocks_;
  nn::Linear<float> classes_;
};

}  // namespace digits
