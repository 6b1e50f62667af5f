// The cost of attention by length, and one call of it from inside.
#include <cmath>
#include <cstdint>
#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <iostream>
#include <string>

#include "tour.hpp"

void tour::cost() {
  namespace inspect = heed::inspect;
  for (const std::uint64_t heads : {std::uint64_t{8}, std::uint64_t{12}}) {
    headline("What a call costs: " + std::to_string(heads) + " heads of 64, float");
    const auto rows =
        inspect::complexity({128, 256, 512, 1024, 2048, 4096}, {.heads = heads, .head_size = 64});
    std::cout << inspect::complexity_table(rows);
  }
}

// Four queries over six keys, the last two switched off: right, then without its scale.
void tour::debug_report() {
  headline("A call from inside");
  heed::Tensor3<float> q(1, 4, 8), k(1, 6, 8), v(1, 6, 8), mask(1, 1, 6);
  mask.setValues({{{1, 1, 1, 1, 0, 0}}});
  const auto fill = [](auto& tensor, double phase) {
    for (int i = 0; i < tensor.size(); ++i) {
      tensor.data()[i] = static_cast<float>(2 * std::sin(phase + 1.3 * i));
    }
  };
  fill(q, 0.1), fill(k, 0.7), fill(v, 2.9);
  const auto visible = heed::mask::dense(mask);
  std::cout << heed::inspect::report(q, k, v, visible);
  std::cout << "\nThe same call with scale 1:\n";
  for (const auto& finding : heed::inspect::report(q, k, v, visible, {}, {.scale = 1}).findings) {
    std::cout << "  - " << finding << '\n';
  }
}
