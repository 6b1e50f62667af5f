// Weights by name: from tensors that somebody else holds into the parameters of a module.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/nn/parameter.hpp"

namespace heed::nn {

// A row-major tensor in somebody's memory, such as a mapped file.
template <class S>
struct NamedTensor {
  const S* data = nullptr;
  std::vector<Index> shape = {};
};

template <class S>
using NamedTensors = std::map<std::string, NamedTensor<S>>;

struct LoadOptions {
  // The source's name of a parameter, from the module's; default: the same.
  std::function<std::string(const std::string&)> rename = {};
  // Tensors that no parameter asks for are an error unless their name begins with one of these.
  std::vector<std::string> ignore = {};
};

inline namespace HEED_ABI {

template <class T, class S>
void check_source(const std::string& parameter, const Parameter<T>& wanted, const std::string& name,
                  const NamedTensors<S>& source) {
  const auto found = source.find(name);
  const std::string what = parameter == name ? name : parameter + " (" + name + " in the source)";
  if (found == source.end()) {
    throw Error("heed::nn::load: nothing is named " + what + ", which must be " +
                to_string(wanted.shape()));
  }
  if (found->second.shape != wanted.shape()) {
    throw Error("heed::nn::load: " + what + " is " + to_string(found->second.shape) +
                " but the parameter is " + to_string(wanted.shape()));
  }
}

template <class S>
void check_unused(const NamedTensors<S>& source, const std::set<std::string>& used,
                  const std::vector<std::string>& ignore) {
  for (const auto& [name, tensor] : source) {
    if (used.contains(name)) continue;
    bool ignored = false;
    for (const std::string& prefix : ignore) ignored = ignored || name.starts_with(prefix);
    if (ignored) continue;
    throw Error("heed::nn::load: no parameter is loaded from " + name + " " +
                to_string(tensor.shape) + " (options.ignore says which names may be left over)");
  }
}

inline std::string source_name(const std::string& parameter, const LoadOptions& options) {
  return options.rename ? options.rename(parameter) : parameter;
}

// The check of load, of names and shapes alone: the source needs no data.
template <class Module, class S>
void check_load(const Module& module, const NamedTensors<S>& source, const LoadOptions& options) {
  std::set<std::string> used;
  each_parameter(module, [&](const std::string& name, const auto& parameter) {
    const std::string from = source_name(name, options);
    check_source(name, parameter, from, source);
    used.insert(from);
  });
  check_unused(source, used, options.ignore);
}

// Copies a tensor of the source into every parameter of a module.
// Throws heed::Error, with the names and both shapes, where a parameter has no tensor or one of
// another shape, or where a tensor is left over; then nothing has been written.
template <class Module, class S>
void load(Module& module, const NamedTensors<S>& source, const LoadOptions& options = {}) {
  check_load(std::as_const(module), source, options);
  each_parameter(std::as_const(module), [&](const std::string& name, const auto& parameter) {
    const std::string from = source_name(name, options);
    if (source.at(from).data != nullptr || parameter.size() == 0) return;
    throw Error(
        "heed::nn::load: " + (from == name ? name : name + " (" + from + " in the source)") + " " +
        to_string(parameter.shape()) + " has no data");
  });
  each_parameter(module, [&](const std::string& name, auto& parameter) {
    using T = typename std::remove_reference_t<decltype(parameter.value)>::Scalar;
    const S* from = source.at(source_name(name, options)).data;
    for (Index i = 0; i < parameter.value.rows(); ++i) {
      for (Index j = 0; j < parameter.value.cols(); ++j) {
        parameter.value(i, j) = static_cast<T>(*from++);
      }
    }
  });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
