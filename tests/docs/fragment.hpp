// Names that a fragment on a page uses without declaring them: heed, the standard
// library's usual headers, these namespaces, and q, k, v, a sequence of 100 tokens in a batch of 2
// whose 8 query heads share 2 key heads. pages.py makes a function of each fragment.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <heed/heed.hpp>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace approx = heed::approx;
namespace inspect = heed::inspect;
namespace mask = heed::mask;
namespace nn = heed::nn;
namespace position = heed::position;
namespace score = heed::score;

namespace heed_docs {

// [2, heads, 100, 64]
inline heed::Tensor4<float> tokens(heed::Index heads) {
  heed::Tensor4<float> x(2, heads, 100, 64);
  x.setRandom();
  return x;
}

}  // namespace heed_docs
