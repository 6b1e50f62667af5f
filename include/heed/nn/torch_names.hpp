// Weights of modules that were trained in PyTorch, under the names that they have there.
//
//   torch                                          heed
//   self_attn.…, linear1.…, linear2.…              attention.…, feed_forward.first.…, .second.…
//   multihead_attn.…                               cross_attention.…
//   in_proj_weight, in_proj_bias                   qkv.…, or the rows of query, key and value
//   q_proj_weight, k_proj_weight, v_proj_weight    query.weight, key.weight, value.weight
//   W_q.…, W_k.…, W_v.…                            query.…, key.…, value.…
//   out_proj.…, W_o.…                              output.…
//   bias_k, bias_v [1, 1, E]                       bias_key, bias_value [E]
//   ff.0.…, ff.3.…                                 feed_forward.first.…, .second.…
//   pos_encoding [1, L, E], pos_embedding.weight   positions.table, table
//   layers.N.…                                     blocks.N.…
//
// torch.nn.MultiheadAttention, TransformerEncoderLayer and TransformerDecoderLayer and the modules
// of common tutorials are so covered; any other name stays, and LoadOptions::rename of nn::load has
// the last word.
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "heed/nn/load.hpp"

namespace heed::nn {

struct TorchOptions {
  std::string prefix = {};  // of the module's tensors in the state dict, as "encoder.layers.0.";
                            // tensors of other names are left alone
  std::vector<std::string> ignore = {};  // behind the prefix: as LoadOptions::ignore
};

inline namespace HEED_ABI {

// heed's name of a tensor. A pattern that ends in '.' or '_' is a beginning, any other the rest.
inline std::string name_from_torch(std::string name) {
  using Pair = std::pair<std::string_view, std::string_view>;
  constexpr std::array<Pair, 20> parts{{{"self_attn.", "attention."},
                                        {"multihead_attn.", "cross_attention."},
                                        {"linear1.", "feed_forward.first."},
                                        {"linear2.", "feed_forward.second."},
                                        {"ff.0.", "feed_forward.first."},
                                        {"ff.3.", "feed_forward.second."},
                                        {"layers.", "blocks."},
                                        {"in_proj_", "qkv."},
                                        {"q_proj_weight", "query.weight"},
                                        {"k_proj_weight", "key.weight"},
                                        {"v_proj_weight", "value.weight"},
                                        {"W_q.", "query."},
                                        {"W_k.", "key."},
                                        {"W_v.", "value."},
                                        {"W_o.", "output."},
                                        {"out_proj.", "output."},
                                        {"bias_k", "bias_key"},
                                        {"bias_v", "bias_value"},
                                        {"pos_encoding", "positions.table"},
                                        {"pos_embedding.weight", "table"}}};
  for (const auto& [from, to] : parts) {
    const bool begins = from.back() == '.' || from.back() == '_';
    for (std::size_t at = 0; at < name.size(); ++at) {
      if (at != 0 && name[at - 1] != '.') continue;
      const std::string_view rest = std::string_view(name).substr(at);
      if (begins ? !rest.starts_with(from) : rest != from) continue;
      name.replace(at, from.size(), to);
      at += to.size() - 1;
    }
  }
  return name;
}

// Takes a [query + key + value, …] tensor apart where the module has three in its place.
//   stem, kind  of its name: "…qkv." and "weight" or "bias"
template <class S, class Shapes>
void split_rows(NamedTensors<S>& to, const std::string& stem, const std::string& kind,
                const NamedTensor<S>& all, const Shapes& shapes) {
  Index width = 1, first = 0;
  for (std::size_t d = 1; d < all.shape.size(); ++d) width *= all.shape[d];
  for (const char* part : {"query.", "key.", "value."}) {
    std::string name = stem;
    name.append(part).append(kind);
    const auto wanted = shapes.find(name);
    if (wanted == shapes.end()) continue;
    NamedTensor<S> rows = all;
    rows.data = all.data == nullptr ? nullptr : all.data + first * width;
    rows.shape[0] = std::min(wanted->second[0], all.shape[0] - first);
    first += rows.shape[0];
    to[name] = rows;
  }
  if (first == all.shape[0]) return;
  throw Error("heed::nn::load_torch: " + stem + "qkv." + kind + " is " + to_string(all.shape) +
              " but query, key and value have " + std::to_string(first) + " rows");
}

// The tensors of a state dict under the names, and with the shapes, of a module's parameters.
template <class Module, class S>
NamedTensors<S> from_torch(const Module& module, const NamedTensors<S>& state,
                           const std::string& prefix) {
  std::map<std::string, std::vector<Index>> shapes;
  each_parameter(module, [&](const std::string& name, const auto& parameter) {
    shapes[name] = parameter.shape();
  });
  NamedTensors<S> result;
  for (const auto& [torch_name, tensor] : state) {
    if (!torch_name.starts_with(prefix)) continue;
    const std::string name = name_from_torch(torch_name.substr(prefix.size()));
    const std::size_t fused = name.rfind("qkv.");
    if (fused != std::string::npos && !shapes.contains(name) && !tensor.shape.empty()) {
      split_rows(result, name.substr(0, fused), name.substr(fused + 4), tensor, shapes);
      continue;
    }
    NamedTensor<S> kept = tensor;
    const auto wanted = shapes.find(name);
    while (wanted != shapes.end() && kept.shape.size() > wanted->second.size() &&
           kept.shape[0] == 1) {
      kept.shape.erase(kept.shape.begin());
    }
    result[name] = kept;
  }
  return result;
}

// Names of the tensors of a state dict that a module's parameters are loaded from.
template <class Module, class S>
std::set<std::string> names_used_of_torch(const Module& module, const NamedTensors<S>& state,
                                          const std::string& prefix) {
  std::set<std::string> parameters, used;
  each_parameter(module, [&](const std::string& name, const auto&) { parameters.insert(name); });
  for (const auto& [torch_name, tensor] : state) {
    if (!torch_name.starts_with(prefix)) continue;
    for (const auto& [name, part] : from_torch<Module, S>(module, {{torch_name, tensor}}, prefix)) {
      if (parameters.contains(name)) used.insert(torch_name);
    }
  }
  return used;
}

// load, from tensors named as PyTorch's state_dict() names them. Refers to them during the call.
// Throws heed::Error as load does; then nothing has been written.
template <class Module, class S>
void load_torch(Module& module, const NamedTensors<S>& state, const TorchOptions& options = {}) {
  load(module, from_torch(std::as_const(module), state, options.prefix),
       {.ignore = options.ignore});
}

}  // namespace HEED_ABI
}  // namespace heed::nn
