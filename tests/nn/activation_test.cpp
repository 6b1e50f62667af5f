// The activations against their formulas.
#include "heed/nn/activation.hpp"

#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
namespace nn = heed::nn;

TEMPLATE_TEST_CASE("activations: equal their formulas", "", float, double) {
  const double tolerance = sizeof(TestType) == 4 ? 4e-7 : 1e-15;
  std::vector<TestType> x;
  for (int n = -600; n <= 600; ++n) x.push_back(static_cast<TestType>(n) / 100);
  auto exact = x, tanh = x, relu = x, same = x, square = x, bare = x, silu = x;
  const Index size = static_cast<Index>(x.size());
  nn::activate(nn::Gelu{}, exact.data(), size);
  nn::activate(nn::GeluTanh{}, tanh.data(), size);
  nn::activate(nn::Relu{}, relu.data(), size);
  nn::activate(nn::Silu{}, silu.data(), size);
  nn::activate(nn::Tanh{}, bare.data(), size);
  nn::activate(nn::Identity{}, same.data(), size);
  nn::activate([](TestType value) { return value * value; }, square.data(), size);
  for (std::size_t n = 0; n < x.size(); ++n) {
    const double v = static_cast<double>(x[n]);
    const double cubic = std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
    CHECK(std::abs(static_cast<double>(exact[n]) - gelu(v)) <=
          tolerance * std::max(1.0, std::abs(v)));
    CHECK(std::abs(static_cast<double>(tanh[n]) - 0.5 * v * (1 + std::tanh(cubic))) <=
          tolerance * std::max(1.0, std::abs(v)));
    CHECK(std::abs(static_cast<double>(bare[n]) - std::tanh(v)) <= tolerance);
    CHECK(std::abs(static_cast<double>(silu[n]) - v / (1 + std::exp(-v))) <=
          tolerance * std::max(1.0, std::abs(v)));
    CHECK(relu[n] == (v > 0 ? x[n] : 0));
    CHECK(same[n] == x[n]);
    CHECK(square[n] == x[n] * x[n]);
  }
}

#if !defined(__FAST_MATH__)  // which promises no NaN
TEST_CASE("activations: NaN stays NaN") {
  for (const Index at : {0, 5, 17}) {
    std::vector<float> x(18, 1.0f);
    x[static_cast<std::size_t>(at)] = std::nanf("");
    auto exact = x, tanh = x, relu = x;
    nn::activate(nn::Gelu{}, exact.data(), 18);
    nn::activate(nn::GeluTanh{}, tanh.data(), 18);
    nn::activate(nn::Relu{}, relu.data(), 18);
    for (const auto& y : {exact, tanh, relu}) {
      for (Index n = 0; n < 18; ++n)
        CHECK(heed::is_nan(y[static_cast<std::size_t>(n)]) == (n == at));
    }
  }
}
#endif
