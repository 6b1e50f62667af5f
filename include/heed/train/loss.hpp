// The result of a loss: its value and its gradient, where backward begins.
#pragma once

namespace heed::train {

template <class D>
struct Loss {
  double loss;
  D gradient;  // d loss / d input, of the input's shape and kind
};
template <class D>
Loss(double, D) -> Loss<D>;  // clang 14 does not deduce it by itself

}  // namespace heed::train
