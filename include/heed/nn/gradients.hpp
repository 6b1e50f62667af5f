// Training by explicit calls: nothing is taped.
//
//   auto [y, saved] = module.forward_train(x, options);        // y as forward's, bit for bit
//   auto dx = module.backward(dy, saved, gradients, options);  // adds to gradients
//
// Positions take their first position where others take options; what has ids for its input
// returns no dx. `gradients` is a module of the same type. A user's module joins by writing
// each_parameter and these two; inspect::gradcheck checks them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/nn/options.hpp"
#include "heed/nn/parameter.hpp"
#include "heed/nn/tokens.hpp"

namespace heed::nn {

// The result of a forward_train call, and what its backward call needs.
template <class Out, class Saved>
struct OutWithSaved {
  Out out;
  Saved saved;
};
template <class Out, class Saved>
OutWithSaved(Out, Saved) -> OutWithSaved<Out, Saved>;  // clang 14 does not deduce it by itself

// The dropout of a forward_train call: backward draws it again.
struct SavedDropout {
  Mode mode;
  std::uint64_t seed;

  explicit SavedDropout(const Options& options = {}) : mode(options.mode), seed(options.seed) {}
  // Backward's options with this dropout.
  Options with(Options options) const {
    options.mode = mode;
    options.seed = seed;
    return options;
  }
};

// A parameter of a module, whatever its element type.
struct ParameterAddress {
  std::string name;
  std::vector<Index> shape;
  const void* parameter;
};

inline namespace HEED_ABI {

template <class Module>
std::vector<ParameterAddress> parameter_addresses(Module& module) {
  std::vector<ParameterAddress> found;
  each_parameter(module, [&](const std::string& name, auto& parameter) {
    found.push_back({name, parameter.shape(), &parameter});
  });
  return found;
}

// Parameter n of `Module` at an address, const where the module is.
template <class T, class Module>
auto& parameter_at(const void* address) {
  if constexpr (std::is_const_v<Module>) {
    return *static_cast<const Parameter<T>*>(address);
  } else {
    return *static_cast<Parameter<T>*>(const_cast<void*>(address));
  }
}

// f(name, parameter of first, parameter of others …) for every parameter of modules of one type: a
// model, its gradients, an optimizer's moments. Throws heed::Error, with the name, where they were
// made with different options.
template <class F, class Module, class... Others>
void for_each_parameter(const F& f, Module& first, Others&... others) {
  static_assert((std::is_same_v<std::remove_const_t<Module>, std::remove_const_t<Others>> && ...),
                "heed::nn: for_each_parameter takes modules of one type");
  const auto own = parameter_addresses(first);
  const std::vector<std::vector<ParameterAddress>> found = {parameter_addresses(others)...};
  for (const auto& addresses : found) {
    for (std::size_t n = 0; n < std::max(own.size(), addresses.size()); ++n) {
      const bool both = n < own.size() && n < addresses.size();
      if (both && own[n].name == addresses[n].name && own[n].shape == addresses[n].shape) continue;
      throw Error("heed::nn: two modules of a call differ at " +
                  (n < own.size() ? own[n] : addresses[n]).name +
                  ", as of other options: gradients come from gradients_of(module)");
    }
  }
  std::size_t n = 0;
  each_parameter(first, [&](const std::string& name, auto& parameter) {
    using T = typename std::remove_reference_t<decltype(parameter.value)>::Scalar;
    [&]<std::size_t... Other>(std::index_sequence<Other...>) {
      f(name, parameter, parameter_at<T, Others>(found[Other][n].parameter)...);
    }
    (std::index_sequence_for<Others...>{});
    ++n;
  });
}

// Every parameter 0.
template <class Module>
void zero(Module& gradients) {
  each_parameter(gradients, [](const std::string&, auto& g) { g.value.setZero(); });
}

// Zeros with the names and shapes of a module's parameters: the module's own type.
template <class Module>
Module gradients_of(const Module& module) {
  Module gradients = module;
  zero(gradients);
  return gradients;
}

// Gradients are summed in their own type, which has to be wide enough.
template <class T>
consteval void check_trainable() {
  static_assert(std::is_same_v<T, Accum<T>>,
                "heed::nn: gradients of modules are float or double; half types have none");
}

// dy as tokens. Throws heed::Error unless it is [B, L, features] of the saved tokens x.
template <Tokens D>
View<const ScalarOf<D>, 3> gradient_of(const D& dy, Index features,
                                       const View<const ScalarOf<D>, 3>& x, const char* call) {
  const auto d = tokens_of(dy, features, call, "dy");
  require(d.extent[0] == x.extent[0] && d.extent[1] == x.extent[1], call,
          "dy is not of the saved call",
          [&] { return "dy " + to_string(d) + ", saved x " + to_string(x); });
  return d;
}

// Throws heed::Error where a saved x has other features than the module takes.
template <class T>
void check_saved(const View<const T, 3>& x, Index features, const char* call) {
  require(x.extent[2] == features, call, "saved is another module's", [&] {
    return "saved x " + to_string(x) + ", the module's features " + std::to_string(features);
  });
}

template <class T>
Tensor3<T> make_tensor3(Index B, Index L, Index features) {
  return make_tensor<T, 3, Eigen::RowMajor>({B, L, features});
}

// A packed copy of tokens, kept for backward.
template <class T>
Tensor3<T> kept(const View<const T, 3>& x) {
  auto copy = make_tensor3<T>(x.extent[0], x.extent[1], x.extent[2]);
  for (Index n = 0; n < token_count(x); ++n) read_token(x, n, copy.data() + n * x.extent[2]);
  return copy;
}

// x as a packed tensor: itself where it is one, else a copy.
//   view  [B, L, features], of x
template <Tokens X, class T>
decltype(auto) packed_tokens(const X& x, const View<const T, 3>& view) {
  if constexpr (std::is_same_v<X, Tensor3<T>>) {
    return (x);
  } else {
    return kept(view);
  }
}

// y of x's kind: itself where x is such a tensor.
template <Tokens X, class T>
auto of_kind(const X& x, Tensor3<T>&& y) {
  if constexpr (std::is_same_v<X, Tensor3<T>>) {
    return std::move(y);
  } else {
    auto out = make_tokens(x, y.dimension(2));
    copy_tokens(made_view<X>(out), view_of(y));
    return out;
  }
}

}  // namespace HEED_ABI
}  // namespace heed::nn
