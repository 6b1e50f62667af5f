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

namespace heed::nn {

// The defaults are the documents'.
struct SimpleTransformerOptions {
  Index vocabulary = 1000;
  Index features = 128;
  Index heads = 4;
  Index layers = 2;
  Index classes = 2;
  Index positions = 512;
  Index hidden = 0;      // of the feed-forward parts; 0: 4 · features
  double dropout = 0.1;  // in Mode::train, of the weights and of the feed-forward parts, twice
};

inline namespace HEED_ABI {

template <class T, Activation<T> F = Gelu>
class SimpleTransformer {
 public:
  // Throws heed::Error where the features do not divide among the heads.
  explicit SimpleTransformer(const SimpleTransformerOptions& options = {}, const F& activation = {})
      : embedding_(options.vocabulary, options.features),
        positions_(options.features, options.positions),
        classifier_(options.features, options.classes) {
    const EncoderBlockOptions block{
        .attention = {.heads = options.heads, .dropout = options.dropout},
        .hidden = options.hidden,
        .dropout = options.dropout};
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
    affine_into<T>({logits.data, {B, 1, classes()}, {logits.stride[0], 0, logits.stride[1]}},
                   memory.pooled.as_const(), classifier_.affine(), workspace.parts());
  }

  // The mean over each sequence's own tokens, summed in double.
  static void mean_into(const View<T, 3>& pooled, const View<const T, 3>& x,
                        std::span<const int> lengths) {
    for (Index b = 0; b < x.extent[0]; ++b) {
      const Index own = lengths.empty() ? x.extent[1] : lengths[static_cast<std::size_t>(b)];
      for (Index d = 0; d < x.extent[2]; ++d) {
        double sum = 0;
        for (Index i = 0; i < own; ++i) sum += static_cast<double>(x(b, i, d));
        pooled(b, 0, d) = static_cast<T>(own == 0 ? 0.0 : sum / static_cast<double>(own));
      }
    }
  }

  Embedding<T> embedding_;
  LearnedPositions<T> positions_;
  std::vector<EncoderBlock<T, F>> blocks_;
  Linear<T> classifier_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
