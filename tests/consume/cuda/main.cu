#include <cmath>
#include <heed/cuda.hpp>
#include <heed/heed.hpp>
#include <iostream>

// One backend on a call: 0 where it averages the values, or cannot and says so.
int run(heed::Backend backend, bool available) {
  heed::Tensor4<float> x(1, 2, 8, 4);
  x.setConstant(0.5f);
  heed::CallReport report;
  const heed::Options options{.backend = backend, .report = &report};
  try {
    const auto result = heed::dispatch::attention(x, x, x, heed::mask::causal(), {}, options);
    const bool right = std::abs(result.out(0, 1, 7, 3) - 0.5f) < 1e-6f;
    return available && right && report.backend == std::string(heed::name_of(backend)) ? 0 : 1;
  } catch (const heed::Error& error) {
    std::cout << error.what() << '\n';
    const bool said = std::string(error.what()).find("no CUDA device") != std::string::npos;
    return !available && said ? 0 : 1;
  }
}

int main() {
  int failures = 0;
  for (const heed::BackendInfo& offer : heed::backends()) {
    std::cout << heed::name_of(offer.backend) << ": " << offer.why << '\n';
    failures += run(offer.backend, offer.available());
  }
  return failures;
}
