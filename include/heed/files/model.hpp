// The weights of a model in a safetensors file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
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

// The floating-point tensors of a file, in memory, as S: those whose names begin with `prefix`.
template <class S>
class TensorStore {
 public:
  // Throws heed::Error for a file that is not valid, or a tensor of integers among them.
  explicit TensorStore(const Safetensors& file, const std::string& prefix = {}) {
    for (const auto& [name, entry] : file.tensors()) {
      if (!name.starts_with(prefix)) continue;
      const std::vector<S>& values = values_[name] = file.rounded<S>(name, entry.shape);
      tensors_[name] = {values.data(), {entry.shape.begin(), entry.shape.end()}};
      if (values.empty()) tensors_[name].data = &empty;
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

// f(NamedTensors of float), or of double where the file has F64.
template <class F>
void with_tensors(const std::filesystem::path& path, const std::string& prefix, const F& f) {
  const Safetensors file(path);
  bool wide = false;
  for (const auto& [name, entry] : file.tensors()) wide = wide || entry.dtype == "F64";
  try {
    if (wide) {
      f(TensorStore<double>(file, prefix).tensors());
    } else {
      f(TensorStore<float>(file, prefix).tensors());
    }
  } catch (const Error& error) {
    const std::string why = error.what();
    if (why.find(file.path()) != std::string::npos) throw;
    throw Error(why + " (" + file.path() + ")");
  }
}

// nn::load from a file of F64, F32, F16 or BF16 tensors, rounded to the module's type as PyTorch's
// load_state_dict does. Throws heed::Error as nn::load does and for a file that is not valid; then
// nothing has been written.
template <class Module>
void load(Module& module, const std::filesystem::path& path, const nn::LoadOptions& options = {}) {
  with_tensors(path, "", [&](const auto& tensors) { nn::load(module, tensors, options); });
}

// nn::load_torch from a file: under the names of PyTorch's state_dict().
template <class Module>
void load_torch(Module& module, const std::filesystem::path& path,
                const nn::TorchOptions& options = {}) {
  with_tensors(path, options.prefix,
               [&](const auto& tensors) { nn::load_torch(module, tensors, options); });
}

}  // namespace HEED_ABI
}  // namespace heed::files
