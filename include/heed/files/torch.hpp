// Weights under PyTorch's names and in its shapes. In Python:
//   module.load_state_dict(safetensors.torch.load_file(path))
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "heed/files/model.hpp"

namespace heed::files {
inline namespace HEED_ABI {

// PyTorch's name of a parameter of torch.nn.MultiheadAttention, TransformerEncoderLayer,
// TransformerDecoderLayer or a stack of them; any other stays. The inverse of nn::name_from_torch.
inline std::string torch_name(std::string name) {
  using Pair = std::pair<std::string_view, std::string_view>;
  constexpr std::array<Pair, 9> parts{{{"cross_attention.", "multihead_attn."},
                                       {"attention.", "self_attn."},
                                       {"feed_forward.first.", "linear1."},
                                       {"feed_forward.second.", "linear2."},
                                       {"blocks.", "layers."},
                                       {"qkv.", "in_proj_"},
                                       {"output.", "out_proj."},
                                       {"bias_key", "bias_k"},
                                       {"bias_value", "bias_v"}}};
  for (std::size_t at = 0; at < name.size();) {
    const std::string_view rest = std::string_view(name).substr(at);
    for (const auto& [from, to] : parts) {
      if (!rest.starts_with(from)) continue;
      name.replace(at, from.size(), to);
      at += to.size() - 1;
      break;
    }
    at = std::min(name.find('.', at), name.size() - 1) + 1;
  }
  return name;
}

// A tensor to be written: one parameter, or the rows of several.
struct TorchTensor {
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::function<std::vector<std::byte>()>> parts;
};
using TorchTensors = std::map<std::string, TorchTensor>;

// The parameters of a module, with heed's names and shapes.
template <class Module>
TorchTensors torch_tensors_of(const Module& module) {
  TorchTensors all;
  nn::each_parameter(module, [&](const std::string& name, const auto& parameter) {
    using T = typename std::remove_cvref_t<decltype(parameter.value)>::Scalar;
    all[name] = {dtype_of<T>, file_shape(parameter.shape()), {[&value = parameter.value] {
                   return row_major_bytes<T>(value);
                 }}};
  });
  return all;
}

// PyTorch's projections give as many features as the query has.
inline void check_rows(const std::string& name, const TorchTensor& tensor,
                       const std::vector<std::uint64_t>& query, std::uint64_t parts) {
  if (tensor.shape[0] == parts * query.back()) return;
  throw Error("heed::files::save_torch: " + name + " is " + shape_text(tensor.shape) +
              " but PyTorch has " + std::to_string(parts * query.back()) +
              " rows in it: head sizes of features / heads, and as many key heads as query heads");
}

// Query, key and value become one in_proj tensor, as PyTorch has where all three take and give as
// many features, and of the biases always; else q_proj_weight, k_proj_weight and v_proj_weight.
//   stem  of the names, up to "query."
inline void join_projections(TorchTensors& all, const std::string& stem, const std::string& kind) {
  std::vector<TorchTensors::node_type> parts;
  for (const char* part : {"query.", "key.", "value."}) {
    std::string name = stem;
    name.append(part).append(kind);
    auto node = all.extract(name);
    if (node.empty()) throw Error("heed::files::save_torch: nothing is named " + name);
    parts.push_back(std::move(node));
  }
  bool same = true;
  for (const auto& part : parts) {
    check_rows(part.key(), part.mapped(), parts[0].mapped().shape, 1);
    same = same && part.mapped().shape == parts[0].mapped().shape;
  }
  if (!same) {
    for (auto& part : parts) {
      part.key() = stem + part.key()[stem.size()] + "_proj_weight";
      all.insert(std::move(part));
    }
    return;
  }
  TorchTensor joined = std::move(parts[0].mapped());
  joined.shape[0] *= 3;
  for (std::size_t n = 1; n < 3; ++n) joined.parts.push_back(parts[n].mapped().parts[0]);
  all[stem + "qkv." + kind] = std::move(joined);
}

// torch.nn.MultiheadAttention has an output projection, and no gate, sinks or norms of its own.
inline void check_attention(const TorchTensors& all, const std::string& stem) {
  const auto refuse = [&](const std::string& why) {
    throw Error("heed::files::save_torch: PyTorch's attention has no place for " + stem + why);
  };
  for (const char* name : {"gate.weight", "query_norm.weight", "key_norm.weight", "sinks"}) {
    if (all.contains(stem + name)) refuse(name);
  }
  if (!all.contains(stem + "output.weight")) refuse("query without output.weight");
}

// Every attention's projections, joined.
inline void join_projections(TorchTensors& all) {
  std::vector<std::pair<std::string, std::string>> found;  // stem and kind
  for (const auto& [name, tensor] : all) {
    for (const std::string end : {"query.weight", "qkv.weight"}) {
      if (name.ends_with(end)) check_attention(all, name.substr(0, name.size() - end.size()));
    }
    if (name.ends_with("qkv.weight")) check_rows(name, tensor, tensor.shape, 3);
    for (const char* kind : {"weight", "bias"}) {
      const std::string end = std::string("query.") + kind;
      if (name.ends_with(end)) found.emplace_back(name.substr(0, name.size() - end.size()), kind);
    }
  }
  for (const auto& [stem, kind] : found) join_projections(all, stem, kind);
}

inline std::vector<std::byte> joined_bytes(const TorchTensor& tensor) {
  std::vector<std::byte> bytes;
  for (const auto& part : tensor.parts) {
    const auto more = part();
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  return bytes;
}

// Writes a module's weights as PyTorch's state_dict() has them: prefix + its name and its shape.
// load_torch reads them again. Throws heed::Error for heads, gates and norms that PyTorch's modules
// don't have, and where the file cannot be written. Rotary position is no parameter: whoever reads
// the file has to know of it.
template <class Module>
void save_torch(const Module& module, const std::filesystem::path& path,
                const std::string& prefix = {}) {
  TorchTensors all = torch_tensors_of(module);
  join_projections(all);
  SafetensorsWriter writer;
  for (const auto& [name, tensor] : all) {
    auto shape = tensor.shape;
    if (name.ends_with("bias_key") || name.ends_with("bias_value")) {
      shape.insert(shape.begin(), {1, 1});
    }
    writer.add(prefix + torch_name(name), tensor.dtype, std::move(shape),
               [&one = tensor] { return joined_bytes(one); });
  }
  writer.describe("format", "pt");
  writer.write(path);
}

}  // namespace HEED_ABI
}  // namespace heed::files
