// A score with memory for the gradient of what it holds: a bias, slopes, a table, or the parameters
// of a user's own score.
//
// A score has this gradient where it says
//   parameters(shape)                a View [B | 1, Hq | 1, m, n]; an extent of 1 is shared
// and where it says, bound to a head,
//   add_gradient(sums, d, s, i, j)   sums [m, n]: sums(…) += d · ∂value(s, i, j)/∂parameter(…)
// where d is the gradient of the value. Pairs whose d is 0, the masked ones among them, are left
// out. Two more members make it faster. With a last argument `keys`, add_gradient takes rows of d
// and s, from key j on; d is 0 where masked, and s may be anything there. pairs_apart(shape) is
// true where pair (i, j) has parameter (i, j) to itself in its head: its sum is then kept where the
// gradient lies, not in scratch.
#pragma once

#include <array>
#include <optional>
#include <span>  // and concepts of ranges
#include <string>
#include <tuple>
#include <type_traits>

#include "heed/core/check.hpp"
#include "heed/core/tensor.hpp"
#include "heed/score/score.hpp"

namespace heed::score {

template <class S>
concept ParametricScore = BindableScore<S> &&
    requires(const S& score, const Shape& shape, const View<double, 2>& sums) {
  score.parameters(shape).extent[3];
  score.bind(shape, 0, 0).add_gradient(sums, 0.0, 0.0, 0, 0);
};

template <class S>
concept CanKeepPairsApart = requires(const S& score, const Shape& shape) {
  { score.pairs_apart(shape) } -> std::same_as<bool>;
};

// A gradient of a call, of numbers of P, and the parameters it belongs to, of X.
template <class P, class X, bool CanBeApart>
struct ParameterGradient {
  static constexpr bool can_be_apart = CanBeApart;

  View<P, 4> to;                // [B | 1, Hq | 1, m, n]
  View<const X, 4> parameters;  // [B | 1, Hq | 1, m, n]
  bool pairs_apart;
};

inline namespace HEED_ABI {

// The extents other than 1, in order; 1s follow.
template <class T>
constexpr std::array<Index, 4> long_extents(const View<T, 4>& x) {
  std::array<Index, 4> found{1, 1, 1, 1};
  std::size_t next = 0;
  for (const Index extent : x.extent) {
    if (extent != 1) found[next++] = extent;
  }
  return found;
}

// Memory `given`, of a tensor of `rank`, in the shape of the parameters; nothing where it does not
// fit. It fits with the same extents, which rank 4 must have exactly and others but for extents of
// 1, or as a list of as many numbers, row-major.
template <class P, class X>
std::optional<View<P, 4>> memory_like(const View<P, 4>& given, int rank,
                                      const View<const X, 4>& parameters) {
  View<P, 4> to{given.data, {}, {}};
  bool same = true;
  Index size = 1;
  for (int n = 0; n < 4; ++n) {
    to.extent[n] = parameters.extent[n];
    same = same && given.extent[n] == to.extent[n];
    size *= to.extent[n];
  }
  const auto has = long_extents(given);
  if (rank == 4 ? same : has == long_extents(parameters)) {
    for (int n = 0, from = -1; n < 4; ++n) {
      if (to.extent[n] == 1) continue;
      do ++from;
      while (given.extent[from] == 1);
      to.stride[n] = given.stride[from];
    }
    return to;
  }
  if (has[0] != size || has[1] != 1) return {};
  for (int n = 0; n < 4; ++n) {
    if (given.extent[n] != 1) size = given.stride[n];
  }
  for (int n = 3; n >= 0; size *= to.extent[n--]) to.stride[n] = size;
  return to;
}

}  // namespace HEED_ABI

// In every other call it is the score inside.
template <ParametricScore S, class P>
struct WithGradient {
  S inside;
  View<P, 4> memory;  // leading extents that the user's tensor lacks are 1
  int rank;           // of the user's tensor

  HEED_DEVICE auto bind(const Shape& shape, Index b, Index h) const {
    return inside.bind(shape, b, h);
  }
  template <class Arena>
  auto to_device(Arena& arena) const {
    return bindable::to_device(inside, arena);
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    constexpr const char* call = "heed::score::with_gradient";
    score::check(inside, shape);
    const auto parameters = inside.parameters(shape);
    const auto one_of = [](Index extent, Index whole) { return extent == 1 || extent == whole; };
    require(one_of(parameters.extent[0], shape.B) && one_of(parameters.extent[1], shape.Hq), call,
            "a score's parameters must be [B | 1, Hq | 1, m, n]", [&] {
              return "parameters " + to_string(parameters) + ", B " + std::to_string(shape.B) +
                     ", Hq " + std::to_string(shape.Hq);
            });
    require(memory_like(memory, rank, parameters).has_value(), call,
            "the gradient must have the shape of the parameters", [&] {
              return "gradient " + to_string(memory) + ", parameters " + to_string(parameters);
            });
  }

  // Of a checked call.
  [[gnu::always_inline]] auto gradients(const Shape& shape) const {
    const auto parameters = inside.parameters(shape);
    using X = typename std::remove_cvref_t<decltype(parameters)>::Scalar;
    constexpr bool can_be_apart = CanKeepPairsApart<S>;
    bool apart = false;
    if constexpr (can_be_apart) apart = inside.pairs_apart(shape);
    return std::tuple{ParameterGradient<P, X, can_be_apart>{*memory_like(memory, rank, parameters),
                                                            parameters, apart}};
  }
};

inline namespace HEED_ABI {

// The ParameterGradients that a score asks for, in a tuple, from left to right in a chain.
template <class S>
auto gradients(const S& score, const Shape& shape) {
  if constexpr (requires { score.gradients(shape); }) {
    return score.gradients(shape);
  } else {
    return std::tuple<>{};
  }
}

template <class S>
inline constexpr std::size_t gradient_count =
    std::tuple_size_v<decltype(gradients(std::declval<const S&>(), Shape{}))>;

template <class G>
concept WritableTensor = TensorLike<G> && requires(G& gradient) {
  TraitsOf<G>::mutable_view(gradient);
};

template <class G>
concept NumberList = !TensorLike<G> && std::ranges::contiguous_range<G>;

// The memory that a gradient is written to, as a view of rank 4, and the user's rank.
template <class G>
requires WritableTensor<G> || NumberList<G>
auto gradient_memory(G& gradient) {
  if constexpr (TensorLike<G>) {
    const auto x = TraitsOf<G>::mutable_view(gradient);
    constexpr int rank = rank_of<G>;
    static_assert(rank >= 1 && rank <= 4,
                  "heed::score::with_gradient: the gradient has a rank of 1 to 4");
    View<std::remove_pointer_t<decltype(x.data)>, 4> whole{x.data, {1, 1, 1, 1}, {0, 0, 0, 0}};
    for (int n = 0; n < rank; ++n) {
      whole.extent[4 - rank + n] = x.extent[n];
      whole.stride[4 - rank + n] = x.stride[n];
    }
    return std::pair{whole, rank};
  } else {
    const std::span list(gradient);
    const auto count = static_cast<Index>(list.size());
    return std::pair{
        View<typename decltype(list)::element_type, 4>{list.data(), {1, 1, 1, count}, {0, 0, 0, 1}},
        1};
  }
}

template <class G>
using GradientScalar =
    std::remove_pointer_t<decltype(gradient_memory(std::declval<G&>()).first.data)>;

// True where S holds parameters and a G takes their gradient; else a compile error.
template <class S, class G>
consteval bool check_with_gradient() {
  constexpr bool parametric = ParametricScore<S>;
  constexpr bool lasting =
      LastingTensor<G> || std::ranges::enable_borrowed_range<std::remove_cvref_t<G>>;
  static_assert(parametric,
                "heed::score::with_gradient: this score holds nothing that has a gradient: in a "
                "chain wrap the score that does; your own needs parameters(shape) and, bound, "
                "add_gradient(sums, d, s, i, j)");
  static_assert(lasting,
                "heed::score::with_gradient: refers to the gradient, and this one is gone when the "
                "expression ends: give it a name");
  if constexpr (requires(std::remove_reference_t<G> & g) { gradient_memory(g); }) {
    constexpr bool element = AttentionElement<GradientScalar<std::remove_reference_t<G>>>;
    static_assert(element,
                  "heed::score::with_gradient: the gradient must hold float, double, Half or "
                  "BFloat16, and not be const");
    return parametric && lasting && element;
  } else {
    static_assert(!parametric,
                  "heed::score::with_gradient: the gradient must be a tensor, a vector or a span "
                  "that can be written to");
    return false;
  }
}

template <class S, class G>
concept RightGradient = check_with_gradient<S, G>();

// The score, and where attention_backward writes the gradient of what it holds, summed over every
// batch entry, head, query and key that share a number. Forward calls take it as the score it is.
//
//   score     score::bias, score::alibi, score::relative, or a score with parameters of your own;
//             in a chain each score has its own: soft_cap(30) >> with_gradient(bias(t), d_t)
//   gradient  of the shape of what the score was given, in float, double, Half or BFloat16; a
//             tensor, vector or span; overwritten
//
// Refers to the gradient: it must outlive the score, and a temporary one is a compile error. A call
// throws heed::Error where it has another shape, or overlaps q, k, v, the result, another gradient
// or parameters that have one. Sums are double, or in place the sums of the call, in an order that
// goes by the shape alone.
template <ScoreLike S, class G>
requires RightGradient<S, G>
auto with_gradient(const S& score, G&& gradient) {
  const auto [memory, rank] = gradient_memory(gradient);
  require_sane(memory, "heed::score::with_gradient", "the gradient");
  return WithGradient<S, GradientScalar<std::remove_reference_t<G>>>{score, memory, rank};
}

}  // namespace HEED_ABI
}  // namespace heed::score
