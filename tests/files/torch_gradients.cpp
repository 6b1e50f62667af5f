// Results and gradients of heed's modules for the weights and inputs of a file;
// torch_gradients.py compares them with PyTorch's.
//
//   torch_gradients KIND HEADS HIDDEN LAYERS IN OUT
//
// IN has the weights under "model." and PyTorch's names, and x, dy and memory or ids; OUT gets the
// gradients under PyTorch's names and OUT.results the results: out, d_x and d_memory.
#include <cstdlib>
#include <iostream>
#include <string>

#include "heed/files/torch.hpp"
#include "heed/nn/decoder_block.hpp"
#include "heed/nn/presets.hpp"
#include "heed/nn/simple_transformer.hpp"

namespace files = heed::files;
namespace nn = heed::nn;
using heed::Index;
using Tokens = heed::Tensor3<float>;

namespace {

struct Call {
  std::string kind;
  Index heads, hidden, layers;
  std::string in, out;
};

std::vector<std::uint64_t> shape_of(const files::Safetensors& file, const std::string& name) {
  return file.tensors().find(name)->second.shape;
}

Index size(const files::Safetensors& file, const std::string& name, std::size_t d) {
  return static_cast<Index>(shape_of(file, name).at(d));
}

Tokens tokens(const files::Safetensors& file, const std::string& name) {
  const auto values = file.values<float>(name, shape_of(file, name));
  auto x = nn::make_tensor3<float>(size(file, name, 0), size(file, name, 1), size(file, name, 2));
  std::copy(values.begin(), values.end(), x.data());
  return x;
}

void add(files::SafetensorsWriter& writer, const std::string& name, const auto& tensor) {
  writer.add_values(name, std::vector<float>(tensor.data(), tensor.data() + tensor.size()));
}

template <class Module>
Module loaded(Module module, const Call& call) {
  files::load_torch(module, call.in, {.prefix = "model."});
  return module;
}

template <class Module>
void write(const Module& gradients, const files::SafetensorsWriter& results, const Call& call) {
  files::save_torch(gradients, call.out);
  results.write(call.out + ".results");
}

void encoder(const files::Safetensors& file, const Call& call, nn::NormPlace norm) {
  auto options = nn::torch_block(call.heads, call.hidden, 0.0);
  options.norm = norm;
  const auto block = loaded(nn::EncoderBlock<float>(size(file, "x", 2), options), call);
  auto gradients = nn::gradients_of(block);
  const auto [out, saved] = block.forward_train(tokens(file, "x"));
  files::SafetensorsWriter results;
  add(results, "out", out);
  add(results, "d_x", block.backward(tokens(file, "dy"), saved, gradients));
  write(gradients, results, call);
}

void decoder(const files::Safetensors& file, const Call& call) {
  const auto block =
      loaded(nn::DecoderBlock<float>(size(file, "x", 2),
                                     nn::torch_decoder_block(call.heads, call.hidden, 0.0)),
             call);
  auto gradients = nn::gradients_of(block);
  const auto [out, saved] = block.forward_train(tokens(file, "x"), tokens(file, "memory"));
  const auto d = block.backward(tokens(file, "dy"), saved, gradients);
  files::SafetensorsWriter results;
  add(results, "out", out);
  add(results, "d_x", d.d_x);
  add(results, "d_memory", d.d_memory);
  write(gradients, results, call);
}

void classifier(const files::Safetensors& file, const Call& call) {
  const auto model =
      loaded(nn::SimpleTransformer<float>({.vocabulary = size(file, "model.embedding.weight", 0),
                                           .features = size(file, "model.embedding.weight", 1),
                                           .heads = call.heads,
                                           .layers = call.layers,
                                           .classes = size(file, "dy", 1),
                                           .positions = size(file, "model.positions.table", 0),
                                           .hidden = call.hidden,
                                           .dropout = 0}),
             call);
  auto gradients = nn::gradients_of(model);
  const auto values = file.values<std::int64_t>("ids", shape_of(file, "ids"));
  heed::Tensor2<std::int64_t> ids(size(file, "ids", 0), size(file, "ids", 1));
  std::copy(values.begin(), values.end(), ids.data());
  const auto d = file.values<float>("dy", shape_of(file, "dy"));
  heed::Tensor2<float> dy(size(file, "dy", 0), size(file, "dy", 1));
  std::copy(d.begin(), d.end(), dy.data());
  const auto [out, saved] = model.forward_train(ids);
  model.backward(dy, saved, gradients);
  files::SafetensorsWriter results;
  add(results, "out", out);
  write(gradients, results, call);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const Call call{argv[1], std::atol(argv[2]), std::atol(argv[3]), std::atol(argv[4]), argv[5],
                  argv[6]};
  try {
    const files::Safetensors file(call.in);
    if (call.kind == "encoder") encoder(file, call, nn::NormPlace::post);
    if (call.kind == "encoder_pre") encoder(file, call, nn::NormPlace::pre);
    if (call.kind == "decoder") decoder(file, call);
    if (call.kind == "classifier") classifier(file, call);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
