// The matrices of OneProduct and OneTf32Product, and their product by the definition.
#pragma once

#include <cstddef>
#include <vector>

namespace heed::test {

struct SmallIntegers {
  std::vector<float> a = std::vector<float>(16 * 16);  // [16, 16]
  std::vector<float> b = std::vector<float>(16 * 8);   // [16, 8]
  std::vector<float> c = std::vector<float>(16 * 8);   // [16, 8] = 1 + a · b, of the first `depth`

  explicit SmallIntegers(std::size_t depth = 16) {
    for (std::size_t n = 0; n < a.size(); ++n) {
      a[n] = static_cast<float>((n / 16 * 7 + n % 16 * 3) % 11) - 5;
    }
    for (std::size_t n = 0; n < b.size(); ++n) {
      b[n] = static_cast<float>((n / 8 * 5 + n % 8 * 2) % 13) - 6;
    }
    for (std::size_t n = 0; n < c.size(); ++n) {
      c[n] = 1;
      for (std::size_t k = 0; k < depth; ++k) c[n] += a[n / 8 * 16 + k] * b[k * 8 + n % 8];
    }
  }
};

}  // namespace heed::test
