// A classifier of token sequences: embedding, learned positions, encoder blocks, the mean over the
// tokens, a linear map to classes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "heed/mask/padding.hpp"
#include "heed/nn/embedding.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/nn/learned_positions.hpp"
#include "heed/nn/mean_pool.hpp"

namespace heed::nn {

// The defaults are the documents'.
struct SimpleTransformerOptions {
  Index vocabulary = 1000;
  Index features = 128;
  Index heads = 4;
  Index layers = 2;
  Index classes = 2;
  Index positions = 512;
  Index hidden = 0;         // of the feed-forward parts; 0: 4 · features
  double dropout = 0.1;     // in Mode::train, of the weights and of the feed-forward parts, twice
  bool checkpoint = false;  // of every block, as EncoderBlockOptions has it
};

inline namespace HEED_ABI {

template <class T, Activation<T> F = Gelu>
class SimpleTransformer {
 public:
  struct Saved {
    typename Embedding<T>::Saved embedding;
    std::vector<typename EncoderBlock<T, F>::Saved> blocks;
    Tensor3<T> pooled;         // [B, 1, features]
    std::vector<int> lengths;  // [B], or none
  };

  // Throws heed::Error where the features do not divide among the heads.
  explicit SimpleTransformer(const SimpleTransformerOptions& options = {}, const F& activation = {})
      : embedding_(options.vocabulary, options.features),
        positions_(options.features, options.positions),
        classifier_(options.features, options.classes) {
    const EncoderBlockOptions block{
        .attention = {.heads = options.heads, .dropout = options.dropout},
        .hidden = options.hidden,
        .dropout = options.dropout,
        .checkpoint = options.checkpoint};
    for (Index n = 0; n < options.layers; ++n) {
      blocks_.emplace_back(options.features, block, activation);
    }
  }

  const std::vector<EncoderBlock<T, F>>& blocks() const { return blocks_; }
  Index features() const { return embedding_.features(); }
  Index classes() const { return classifier_.out(); }

  // Logits of token ids [B, L] -> [B, classes], of ids' kind. Block n drops with
  // layer_seed(options.seed, n). Throws heed::Error for an id outside the vocabulary or more tokens
  // than positions. With L = 0 the mean is 0.
  template <TokenIds Ids>
  auto forward(const Ids& ids, const Options& options = {}) const {
    auto logits = make_logits(ids);
    run(logits_view<Ids>(logits), ids, {}, mask::None{}, options);
    return logits;
  }

  // The same for sequences that are padded to L: ids behind lengths[b] are neither attended to nor
  // part of the mean. They must be in the vocabulary all the same.
  template <TokenIds Ids>
  auto forward(const Ids& ids, std::span<const int> lengths, const Options& options = {}) const {
    auto logits = make_logits(ids);
    run(logits_view<Ids>(logits), ids, lengths, mask::padding(lengths), options);
    return logits;
  }

  // forward into logits [B, classes]. Allocates nothing where options.workspace has
  // workspace_bytes(ids, options).
  template <class Out, TokenIds Ids>
  void forward_into(Out&& logits, const Ids& ids, const Options& options = {}) const {
    run(mutable_view_of(logits), ids, {}, mask::None{}, options);
  }
  template <class Out, TokenIds Ids>
  void forward_into(Out&& logits, const Ids& ids, std::span<const int> lengths,
                    const Options& options = {}) const {
    run(mutable_view_of(logits), ids, lengths, mask::padding(lengths), options);
  }

  // {logits, saved}, of all tokens or of `lengths[b]` each.
  template <TokenIds Ids>
  auto forward_train(const Ids& ids, const Options& options = {}) const {
    return train(ids, {}, mask::None{}, options);
  }
  template <TokenIds Ids>
  auto forward_train(const Ids& ids, std::span<const int> lengths,
                     const Options& options = {}) const {
    return train(ids, lengths, mask::padding(lengths), options);
  }

  // Adds to the gradients; ids have none. Throws heed::Error where d_logits [B, classes] or the
  // gradients are not of the saved call.
  template <TensorLike D>
  requires(rank_of<D> == 2) void backward(const D& d_logits, const Saved& saved,
                                          SimpleTransformer& gradients,
                                          const Options& options = {}) const {
    if (saved.lengths.empty()) {
      run_backward(view_of(d_logits), saved, gradients, mask::None{}, options);
    } else {
      run_backward(view_of(d_logits), saved, gradients, mask::padding(saved.lengths), options);
    }
  }

  // Of forward with lengths as without.
  template <TokenIds Ids>
  std::size_t workspace_bytes(const Ids& ids, const Options& options = {}) const {
    const auto from = view_of(ids);
    const Memory memory(*this, nullptr, from.extent[0], from.extent[1]);
    return Scratch::with_slack(memory.bytes + parts_bytes(from.extent[0], from.extent[1], options));
  }

  // Names: embedding.weight, positions.table, blocks.0.…, blocks.1.…, classifier.…
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.embedding_, visit, prefix + "embedding.");
    nn::each_parameter(self.positions_, visit, prefix + "positions.");
    for (std::size_t n = 0; n < self.blocks_.size(); ++n) {
      nn::each_parameter(self.blocks_[n], visit, prefix + "blocks." + std::to_string(n) + ".");
    }
    nn::each_parameter(self.classifier_, visit, prefix + "classifier.");
  }

 private:
  struct Memory {
    View<T, 3> x;       // [B, L, features]
    View<T, 3> pooled;  // [B, 1, features]
    std::size_t bytes;

    Memory(const SimpleTransformer& self, std::byte* begin, Index B, Index L) {
      Carver carver(begin);
      x = carve_tokens<T>(carver, B, L, self.features());
      pooled = carve_tokens<T>(carver, B, 1, self.features());
      bytes = carver.used();
    }
  };

  template <TokenIds Ids>
  auto make_logits(const Ids& ids) const {
    return TraitsOf<Ids>::template make<T>({view_of(ids).extent[0], classes()});
  }
  template <TokenIds Ids, class Logits>
  static View<T, 2> logits_view(Logits& logits) {
    return TraitsOf<Ids>::template owned_view<T>(logits);
  }

  // Masks of no step need the same.
  std::size_t parts_bytes(Index B, Index L, const Options& options) const {
    std::size_t bytes = classifier_.scratch_bytes(B, options);
    for (const auto& block : blocks_) {
      bytes = std::max(bytes, block.scratch_bytes(B, L, mask::None{}, score::None{}, options));
    }
    return bytes;
  }

  template <TokenIds Ids, class M>
  void run(const View<T, 2>& logits, const Ids& ids, std::span<const int> lengths, const M& mask,
           const Options& options) const {
    constexpr const char* call = "heed::nn::SimpleTransformer::forward";
    const auto from = view_of(ids);
    const Index B = from.extent[0], L = from.extent[1];
    require(logits.extent[0] == B && logits.extent[1] == classes(), call,
            "logits are not [B,classes]",
            [&] { return "logits " + to_string(logits) + ", ids " + to_string(from); });
    mask::check(mask, Shape{.B = B, .Lq = L, .Lk = L});
    const Memory sizes(*this, nullptr, B, L);
    const Workspace workspace(sizes.bytes, parts_bytes(B, L, options), options);
    const Memory memory(*this, workspace.begin(), B, L);
    embedding_.forward_into(memory.x, ids);
    positions_.forward_into(memory.x, memory.x.as_const());
    for (std::size_t n = 0; n < blocks_.size(); ++n) {
      blocks_[n].forward_into(memory.x, memory.x.as_const(), mask, score::None{},
                              layer_options(workspace.parts(), static_cast<Index>(n)));
    }
    mean_into(memory.pooled, memory.x.as_const(), lengths);
    affine_into(class_tokens(logits), memory.pooled.as_const(), classifier_.affine(),
                workspace.parts());
  }

  template <TokenIds Ids, class M>
  auto train(const Ids& ids, std::span<const int> lengths, const M& mask,
             const Options& options) const {
    const Index B = view_of(ids).extent[0], L = view_of(ids).extent[1];
    mask::check(mask, Shape{.B = B, .Lq = L, .Lk = L});
    auto [x, embedding] = embedding_.forward_train(ids);
    Saved saved{std::move(embedding),
                {},
                make_tensor3<T>(B, 1, features()),
                {lengths.begin(), lengths.end()}};
    positions_.forward_into(mutable_view_of(x), mutable_view_of(x).as_const());
    for (std::size_t n = 0; n < blocks_.size(); ++n) {
      auto block = blocks_[n].forward_train(std::move(x), mask, score::None{},
                                            layer_options(options, static_cast<Index>(n)));
      x = std::move(block.out);
      saved.blocks.push_back(std::move(block.saved));
    }
    mean_into(mutable_view_of(saved.pooled), view_of(x), lengths);
    auto logits = make_logits(ids);
    affine_into(class_tokens(logits_view<Ids>(logits)), view_of(saved.pooled), classifier_.affine(),
                options);
    return OutWithSaved{std::move(logits), std::move(saved)};
  }

  template <class M>
  void run_backward(const View<const T, 2>& d_logits, const Saved& saved,
                    SimpleTransformer& gradients, const M& mask, const Options& options) const {
    const bool same =
        gradients.blocks_.size() == blocks_.size() && saved.blocks.size() == blocks_.size();
    require(same, "heed::nn::SimpleTransformer::backward",
            "the gradients or saved are another module's",
            [&] { return "d " + to_string(d_logits); });
    const auto d_pooled = classifier_.backward(class_tokens(d_logits), {saved.pooled},
                                               gradients.classifier_, options);
    const auto& ids = saved.embedding.ids;
    Tensor3<T> d = mean_gradient(d_pooled, ids.dimension(1), saved.lengths);
    for (std::size_t n = blocks_.size(); n-- > 0;) {
      d = blocks_[n].backward(d, saved.blocks[n], gradients.blocks_[n], mask, score::None{},
                              options);
    }
    positions_.backward(d, {0}, gradients.positions_);
    embedding_.backward(d, saved.embedding, gradients.embedding_, options);
  }

  // Logits [B, classes] as one token a sequence.
  template <class X>
  static View<X, 3> class_tokens(const View<X, 2>& logits) {
    return {logits.data,
            {logits.extent[0], 1, logits.extent[1]},
            {logits.stride[0], 0, logits.stride[1]}};
  }

  Embedding<T> embedding_;
  LearnedPositions<T> positions_;
  std::vector<EncoderBlock<T, F>> blocks_;
  Linear<T> classifier_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
