// A row of a learned table for each token id.
#pragma once

#include <concepts>
#include <string>
#include <utility>

#include "heed/core/check.hpp"
#include "heed/nn/parameter.hpp"
#include "heed/nn/tokens.hpp"

namespace heed::nn {

// Token ids: integers [B, L], of any strides.
template <class X>
concept TokenIds = TensorLike<X> && rank_of<X>
== 2 && std::integral<ScalarOf<X>>;

inline namespace HEED_ABI {

template <class T>
class Embedding {
 public:
  Embedding(Index vocabulary, Index features)
      : weight_(Parameter<T>::table(vocabulary, features)) {}

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

  // Names: weight.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    visit(prefix + "weight", self.weight_);
  }

 private:
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
