// The weights of a model in a safetensors file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "heed/files/safetensors.hpp"
#include "heed/files/safetensors_writer.hpp"
#include "heed/nn/load.hpp"
#include "heed/nn/torch_names.hpp"

namespace heed::files {
inline namespace HEED_ABI {

inline std::vector<std::uint64_t> file_shape(const std::vector<Index>& shape) {
  return {shape.begin(), shape.end()};
}

// The elements of a matrix, row by row.
template <class T>
std::vector<std::byte> row_major_bytes(const nn::Matrix<T>& matrix) {
  std::vector<T> rows;
  rows.reserve(static_cast<std::size_t>(matrix.size()));
  for (Index i = 0; i < matrix.rows(); ++i) {
    for (Index j = 0; j < matrix.cols(); ++j) rows.push_back(matrix(i, j));
  }
  return bytes_of<T>(std::span<const T>(rows));
}

// Adds the parameters of a module, named prefix + its own name. Refers to the module until written.
template <class Module>
void add_parameters(SafetensorsWriter& writer, const Module& module, const std::string& prefix) {
  nn::each_parameter(module, [&](const std::string& name, const auto& parameter) {
    using T = typename std::remove_cvref_t<decltype(parameter.value)>::Scalar;
    writer.add(prefix + name, dtype_of<T>, file_shape(parameter.shape()),
               [&value = parameter.value] { return row_major_bytes<T>(value); });
  });
}

// Writes the parameters of a module under their names, in their own type. Killed at any moment, the
// path has the old file or the new one. Throws heed::Error, with the path, where it cannot.
template <class Module>
void save(const Module& module, const std::filesystem::path& path) {
  SafetensorsWriter writer;
  add_parameters(writer, module, "");
  writer.describe("format", "pt");
  writer.write(path);
}

// Names and shapes of a file's tensors; those that are `used` have data too, in memory, as S.
template <class S>
class TensorStore {
 public:
  // Throws heed::Error for one that is used and is not of floating-point numbers.
  TensorStore(const Safetensors& file, const std::set<std::string>& used) {
    for (const auto& [name, entry] : file.tensors()) {
      tensors_[name].shape = {entry.shape.begin(), entry.shape.end()};
      if (!used.contains(name)) continue;
      const std::vector<S>& values = values_[name] = file.rounded<S>(name, entry.shape);
      tensors_[name].data = values.empty() ? &empty : values.data();
    }
  }
  TensorStore(const TensorStore&) = delete;
  TensorStore& operator=(const TensorStore&) = delete;
  TensorStore(TensorStore&&) = delete;
  TensorStore& operator=(TensorStore&&) = delete;
  ~TensorStore() = default;

  const nn::NamedTensors<S>& tensors() const { return tensors_; }

 private:
  static constexpr S empty{};
  std::map<std::string, std::vector<S>> values_;
  nn::NamedTensors<S> tensors_;
};

// Reads those tensors of a file that a module uses, once names, types and shapes have been checked.
//   used(tensors)   their names
//   check(tensors)  throws heed::Error where names or shapes are wrong; the tensors have no data
//   load(tensors)   of float, or of double where one that is used is F64
template <class Used, class Check, class Load>
void load_used(const std::filesystem::path& path, const Used& used, const Check& check,
               const Load& load) {
  const Safetensors file(path);
  try {
    const TensorStore<float> header(file, {});
    const std::set<std::string> names = used(header.tensors());
    bool wide = false;
    for (const std::string& name : names) {
      const auto found = file.tensors().find(name);
      if (found == file.tensors().end()) continue;
      file.check_rounded(name);
      wide = wide || found->second.dtype == "F64";
    }
    check(header.tensors());
    if (wide) {
      load(TensorStore<double>(file, names).tensors());
    } else {
      load(TensorStore<float>(file, names).tensors());
    }
  } catch (const Error& error) {
    const std::string why = error.what();
    if (why.find(file.path()) != std::string::npos) throw;
    throw Error(why + " (" + file.path() + ")");
  }
}

// nn::load from a file of F64, F32, F16 or BF16 tensors, rounded to the module's type as PyTorch's
// load_state_dict does. Tensors that the module does not use are not read, and may be of any type.
// Throws heed::Error as nn::load does and for a file that is not valid; then nothing has been
// written.
template <class Module>
void load(Module& module, const std::filesystem::path& path, const nn::LoadOptions& options = {}) {
  const auto used = [&](const auto&) {
    std::set<std::string> names;
    nn::each_parameter(std::as_const(module), [&](const std::string& name, const auto&) {
      names.insert(nn::source_name(name, options));
    });
    return names;
  };
  load_used(
      path, used,
      [&](const auto& tensors) { nn::check_load(std::as_const(module), tensors, options); },
      [&](const auto& tensors) { nn::load(module, tensors, options); });
}

// nn::load_torch from a file: under the names of PyTorch's state_dict(). As load otherwise.
template <class Module>
void load_torch(Module& module, const std::filesystem::path& path,
                const nn::TorchOptions& options = {}) {
  load_used(
      path,
      [&](const auto& tensors) {
        return nn::names_used_of_torch(std::as_const(module), tensors, options.prefix);
      },
      [&](const auto& tensors) {
        nn::check_load(std::as_const(module),
                       nn::from_torch(std::as_const(module), tensors, options.prefix),
                       {.ignore = options.ignore});
      },
      [&](const auto& tensors) { nn::load_torch(module, tensors, options); });
}

}  // namespace HEED_ABI
}  // namespace heed::files
