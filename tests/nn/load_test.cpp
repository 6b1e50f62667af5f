// Weights by name, and everything that can be wrong with them.
#include "heed/nn/load.hpp"

#include "heed/nn/layer_norm.hpp"
#include "heed/nn/linear.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
namespace nn = heed::nn;

namespace {

// A user's own module.
struct Pair {
  nn::Linear<float> map{3, 4};
  nn::LayerNorm<float> norm{4};

  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.map, visit, prefix + "map.");
    nn::each_parameter(self.norm, visit, prefix + "norm.");
  }
};

// Tensors "net.…" for every parameter of a Pair, numbered 1, 2, 3 … in row-major order.
struct Source {
  std::map<std::string, std::vector<double>> memory;
  nn::NamedTensors<double> tensors;

  Source() {
    double next = 0;
    const Pair pair;
    nn::each_parameter(pair, [&](const std::string& name, const auto& parameter) {
      auto& data = memory["net." + name];
      for (Index n = 0; n < parameter.size(); ++n) data.push_back(next += 1);
      tensors["net." + name] = {data.data(), parameter.shape()};
    });
  }
};

const nn::LoadOptions options{.rename = [](const std::string& name) { return "net." + name; }};

}  // namespace

TEST_CASE("load: by name, through a map of names, row by row, from another element type") {
  const Source source;
  Pair pair;
  nn::load(pair, source.tensors, options);
  CHECK(nn::parameter_count(pair) == 24);
  const Weights w = weights_of(pair);
  REQUIRE(w.size() == 4);
  CHECK(w.at("map.weight")(0, 1) == 2);
  CHECK(w.at("map.weight")(1, 0) == 4);
  CHECK(w.at("map.bias")(3, 0) == 16);
  CHECK(w.at("norm.weight")(0, 0) == 17);
  CHECK(w.at("norm.bias")(3, 0) == 24);
}

TEST_CASE("load: whatever does not fit is an error with names and shapes, and writes nothing") {
  Source source;
  Pair pair;
  scatter(pair, 1, 3);
  const Weights before = weights_of(pair);
  const auto complaint = [&](const nn::LoadOptions& with) {
    return error_of([&] { nn::load(pair, source.tensors, with); });
  };
  SECTION("a tensor is missing") {
    source.tensors.erase("net.norm.weight");
    CHECK(complaint(options) ==
          "heed::nn::load: nothing is named norm.weight (net.norm.weight in the source), which "
          "must be [4]");
  }
  SECTION("no map of names") {
    CHECK(complaint({}) == "heed::nn::load: nothing is named map.weight, which must be [4,3]");
  }
  SECTION("a tensor has another shape") {
    source.tensors["net.map.weight"].shape = {3, 4};
    CHECK(complaint(options) ==
          "heed::nn::load: map.weight (net.map.weight in the source) is [3,4] but the parameter "
          "is [4,3]");
  }
  SECTION("a tensor has another rank") {
    source.tensors["net.norm.bias"].shape = {4, 1};
    CHECK(complaint(options) ==
          "heed::nn::load: norm.bias (net.norm.bias in the source) is [4,1] but the parameter is "
          "[4]");
  }
  SECTION("a tensor has no data") {
    source.tensors["net.norm.bias"].data = nullptr;
    CHECK(complaint(options) ==
          "heed::nn::load: norm.bias (net.norm.bias in the source) [4] has no data");
  }
  SECTION("a tensor is left over") {
    source.tensors["net.pooler.weight"] = source.tensors["net.norm.bias"];
    CHECK(complaint(options) ==
          "heed::nn::load: no parameter is loaded from net.pooler.weight [4] (options.ignore says "
          "which names may be left over)");
  }
  CHECK(weights_of(pair) == before);
}

TEST_CASE("load: names that may be left over") {
  Source source;
  Pair pair;
  source.tensors["net.pooler.weight"] = source.tensors["net.norm.bias"];
  nn::load(pair, source.tensors, {.rename = options.rename, .ignore = {"other.", "net.pooler."}});
  CHECK(weights_of(pair).at("norm.bias")(3, 0) == 24);
}
