// A learned row for each position, added to the tokens. Vaswani et al. (2017), section 3.5.
#pragma once

#include <span>
#include <string>

#include "heed/nn/gradients.hpp"
#include "heed/nn/workspace.hpp"
#include "heed/position/learned.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

template <class T>
class LearnedPositions {
 public:
  struct Saved {
    Index first;  // position of token 0
  };

  // The documents have 512 positions. Rows begin as N(0, deviation²).
  explicit LearnedPositions(Index features, Index positions = 512, double deviation = 1)
      : table_(Parameter<T>::table(positions, features, deviation)) {}

  Index features() const { return table_.value.cols(); }
  Index positions() const { return table_.value.rows(); }
  const Parameter<T>& table() const { return table_; }  // [positions, features]

  // x[b, i] + table[first + i]
  //
  //   x        [B, L, features] or [L, features]
  //   first    position of token 0, as in decoding with a cache
  //   returns  as x
  //
  // Throws heed::Error where x has other features, or a position is not in the table.
  template <Tokens X>
  auto forward(const X& x, Index first = 0) const {
    auto y = make_tokens(x, features());
    run("heed::nn::LearnedPositions::forward", made_view<X>(y), x, {&first, 1});
    return y;
  }

  // forward into y, of x's shape; y may be x. Allocates nothing.
  template <class Out, Tokens X>
  void forward_into(Out&& y, const X& x, Index first = 0) const {
    run("heed::nn::LearnedPositions::forward_into", out_view<X>(y), x, {&first, 1});
  }
  // The same with a position of token 0 for each sequence: first [B].
  template <class Out, Tokens X>
  void forward_into(Out&& y, const X& x, std::span<const Index> first) const {
    run("heed::nn::LearnedPositions::forward_into", out_view<X>(y), x, first);
  }

  // {y, saved}
  template <Tokens X>
  auto forward_train(const X& x, Index first = 0) const {
    return OutWithSaved{forward(x, first), Saved{first}};
  }

  // gradients: row first + i += Σ_b dy(b, i), b ascending. dx is dy itself. Throws heed::Error
  // where the gradients are another module's.
  template <Tokens D>
  void backward(const D& dy, const Saved& saved, LearnedPositions& gradients) const {
    constexpr const char* call = "heed::nn::LearnedPositions::backward";
    check_trainable<T>();
    const auto d = tokens_of(dy, features(), call, "dy");
    require(
        gradients.features() == features() && saved.first + d.extent[1] <= gradients.positions(),
        call, "the gradients are another module's", [&] { return "dy " + to_string(d); });
    for (Index b = 0; b < d.extent[0]; ++b) {
      for (Index i = 0; i < d.extent[1]; ++i) {
        for (Index j = 0; j < features(); ++j) {
          gradients.table_.value(saved.first + i, j) += d(b, i, j);
        }
      }
    }
  }

  // Names: table.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    visit(prefix + "table", self.table_);
  }

 private:
  //   first  [B] or [1]
  template <Tokens X>
  void run(const char* call, const View<T, 3>& y, const X& x, std::span<const Index> first) const {
    const auto from = tokens_of(x, features(), call);
    check_out(call, y, from, "x", features(), {}, true);
    if (first.size() != 1) {
      require_equal(std::ssize(first), from.extent[0], "first has batch", "x has batch", call,
                    [&] { return "x " + to_string(from); });
    }
    const auto rows_of = [&](std::size_t b) {
      return position::learned(table_.value, from.extent[1], first[first.size() == 1 ? 0 : b]);
    };
    for (std::size_t b = 0; b < first.size(); ++b) rows_of(b);  // checked before y is written
    for (Index b = 0; b < from.extent[0]; ++b) {
      const auto rows = rows_of(static_cast<std::size_t>(b));
      for (Index i = 0; i < from.extent[1]; ++i) {
        for (Index d = 0; d < features(); ++d) {
          const auto sum = static_cast<Accum<T>>(from(b, i, d)) + static_cast<Accum<T>>(rows(i, d));
          y(b, i, d) = static_cast<T>(sum);
        }
      }
    }
  }

  Parameter<T> table_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
