// A row of a learned table for each token id.
#pragma once

#include <concepts>
#include <string>
#include <utility>

#include "heed/core/check.hpp"
#include "heed/core/parallel.hpp"
#include "heed/nn/gradients.hpp"
#include "heed/nn/product_gradient.hpp"
#include "heed/nn/tokens.hpp"

namespace heed::nn {

// Token ids: integers [B, L], of any strides.
template <class X>
concept TokenIds = TensorLike<X> && rank_of<X>
== 2 && std::integral<ScalarOf<X>>;

struct EmbeddingOptions {
  double deviation = 1;  // rows begin as N(0, deviation²)
  bool tied = false;     // the table is an output layer's weight too. Press and Wolf, "Using the
                         // Output Embedding to Improve Language Models" (2017)
};

inline namespace HEED_ABI {

template <class T>
class Embedding {
 public:
  struct Saved {
    Tensor2<std::int64_t> ids;  // [B, L]
  };

  Embedding(Index vocabulary, Index features, const EmbeddingOptions& options = {})
      : weight_(Parameter<T>::table(vocabulary, features, options.deviation)) {
    weight_.tied = options.tied;
  }

  Index vocabulary() const { return weight_.value.rows(); }
  Index features() const { return weight_.value.cols(); }
  const Parameter<T>& weight() const { return weight_; }  // [vocabulary, features]

  // ids [B, L] -> [B, L, features]. Throws heed::Error for an id outside [0, vocabulary).
  template <TokenIds Ids>
  Tensor3<T> forward(const Ids& ids) const {
    const auto from = view_of(ids);
    Tensor3<T> out =
        make_tensor<T, 3, Eigen::RowMajor>({from.extent[0], from.extent[1], features()});
    forward_into(out, ids);
    return out;
  }

  // forward into out [B, L, features]; allocates nothing. Nothing is written where it throws.
  template <class Out, TokenIds Ids>
  void forward_into(Out&& out, const Ids& ids) const {
    constexpr const char* call = "heed::nn::Embedding::forward";
    const auto from = view_of(ids);
    const View<T, 3> to = mutable_view_of(out);
    require_sane(from, call, "ids");
    require_sane(to, call, "out");
    check_ids(call, from);
    require(to.extent[0] == from.extent[0] && to.extent[1] == from.extent[1] &&
                to.extent[2] == features(),
            call, "out is not [B,L,features]",
            [&] { return "out " + to_string(to) + ", ids " + to_string(from); });
    for (Index b = 0; b < from.extent[0]; ++b) {
      for (Index i = 0; i < from.extent[1]; ++i) {
        const auto id = static_cast<Index>(from(b, i));
        for (Index d = 0; d < features(); ++d) to(b, i, d) = weight_.value(id, d);
      }
    }
  }

  // {rows, saved}
  template <TokenIds Ids>
  auto forward_train(const Ids& ids, const Options& = {}) const {
    auto out = forward(ids);
    const auto from = view_of(ids);
    Saved saved{make_tensor<std::int64_t, 2, Eigen::RowMajor>({from.extent[0], from.extent[1]})};
    for (Index b = 0; b < from.extent[0]; ++b) {
      for (Index i = 0; i < from.extent[1]; ++i) {
        saved.ids(b, i) = static_cast<std::int64_t>(from(b, i));
      }
    }
    return OutWithSaved{std::move(out), std::move(saved)};
  }

  // gradients: row ids(b, i) += dy(b, i), tokens in ascending order. Ids have no gradient. Throws
  // heed::Error where dy or the gradients are not of the saved call.
  template <Tokens D>
  void backward(const D& dy, const Saved& saved, Embedding& gradients,
                const Options& options = {}) const {
    constexpr const char* call = "heed::nn::Embedding::backward";
    constexpr Index width = 16;  // features of a task
    const Index L = saved.ids.dimension(1);
    const auto d = gradient_of(dy, features(),
                               View<const T, 3>{nullptr, {saved.ids.dimension(0), L, 0}, {}}, call);
    check_gradients(call, gradients, d);
    check_trainable<T>();
    for (Index n = 0; n < saved.ids.size(); ++n) {
      require(saved.ids.data()[n] < vocabulary(), call, "saved is another module's", [&] {
        return "id " + std::to_string(saved.ids.data()[n]) + " of " + std::to_string(vocabulary());
      });
    }
    const Index tasks = (features() + width - 1) / width;
    const int workers = worker_count(tasks, options.threads, options.executor);
    parallel_for(tasks, workers, options.executor, [&](Index task, int) {
      for (Index n = 0; n < token_count(d); ++n) {
        const T* row = token(d, n);
        for (Index j = task * width; j < std::min(features(), (task + 1) * width); ++j) {
          gradients.weight_.value(saved.ids.data()[n], j) += row[j * d.stride[2]];
        }
      }
    });
  }

  // The table as the map from features to the logits of every id.
  Affine<T> output() const {
    return {weight_.view(), nullptr, weight_.packed ? weight_.packed->rows(0) : PackedRows<T>()};
  }

  // dx of d_logits [B, L, vocabulary], x what output() was given; gradients: weight += d_logitsᵀ x.
  // Throws heed::Error as backward does.
  Tensor3<T> output_backward(const View<const T, 3>& d_logits, const Tensor3<T>& x,
                             Embedding& gradients, const Options& options) const {
    constexpr const char* call = "heed::nn::Embedding::output_backward";
    const View<const T, 3> in = view_of(x);
    check_saved(in, features(), call);
    const auto d = gradient_of(d_logits, vocabulary(), in, call);
    check_gradients(call, gradients, d);
    add_affine_gradient({mutable_view_of(gradients.weight_.value)}, d, in, options);
    auto dx = make_tensor3<T>(in.extent[0], in.extent[1], features());
    input_gradient_into(mutable_view_of(dx), d, output(), options);
    return dx;
  }

  // Names: weight.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    if constexpr (!std::is_const_v<Self>) self.weight_.packed.reset();
    visit(prefix + "weight", self.weight_);
  }

 private:
  void check_gradients(const char* call, const Embedding& gradients,
                       const View<const T, 3>& d) const {
    require(gradients.vocabulary() == vocabulary() && gradients.features() == features(), call,
            "the gradients are another module's", [&] { return "dy " + to_string(d); });
  }

  template <class I>
  void check_ids(const char* call, const View<const I, 2>& ids) const {
    for (Index b = 0; b < ids.extent[0]; ++b) {
      for (Index i = 0; i < ids.extent[1]; ++i) {
        if (std::cmp_greater_equal(ids(b, i), 0) && std::cmp_less(ids(b, i), vocabulary())) {
          continue;
        }
        throw Error(std::string(call) + ": id " + std::to_string(ids(b, i)) + " at (" +
                    std::to_string(b) + ", " + std::to_string(i) + ") is outside [0, " +
                    std::to_string(vocabulary()) + ") (ids " + to_string(ids) + ")");
      }
    }
  }

  Parameter<T> weight_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
