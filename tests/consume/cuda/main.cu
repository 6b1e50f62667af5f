#include <cmath>
#include <heed/cuda.hpp>
#include <iostream>
#include <vector>

// 0 where the device averages the values, or where there is none and the call says so.
int main() {
  std::vector<float> x(2 * 8 * 4, 0.5f);
  std::vector<float> out(x.size());
  const auto q = heed::view(x.data(), {1, 2, 8, 4});
  try {
    heed::cuda::attention_into(heed::view(out.data(), {1, 2, 8, 4}), q, q, q, heed::mask::causal());
  } catch (const heed::Error& error) {
    std::cout << error.what() << '\n';
    return std::string(error.what()).find("no CUDA device") == std::string::npos ? 1 : 0;
  }
  return std::abs(out[63] - 0.5f) < 1e-6f ? 0 : 1;
}
