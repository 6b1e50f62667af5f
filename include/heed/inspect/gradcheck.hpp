// Gradients against central differences, for anything that a user wrote: a mask, a score, a module.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "heed/core/check.hpp"
#include "heed/core/copy.hpp"
#include "heed/core/tensor.hpp"

namespace heed::inspect {

// An input of a loss and the gradient that is claimed for it.
struct GradcheckInput {
  std::string name;
  View<double, 4> x;  // changed and put back, element by element
  View<const double, 4> gradient;
};

// The element that is furthest off, over all inputs.
struct Gradcheck {
  std::string input = {};
  Index b = 0, h = 0, i = 0, d = 0;
  double gradient = 0, difference = 0;  // claimed; (loss(x + δ) − loss(x − δ)) / 2δ
  double error = 0;    // |gradient − difference| / the input's largest of both, or infinite
  Index elements = 0;  // checked

  bool ok(double bound = 1e-6) const { return error <= bound; }
};

inline namespace HEED_ABI {

// x and its gradient, double tensors of one shape and rank 2, 3 or 4. Throws heed::Error where
// their shapes differ.
template <TensorLike X, TensorLike G>
GradcheckInput gradcheck_input(std::string name, X&& x, const G& gradient) {
  static_assert(std::is_same_v<ScalarOf<X>, double> && std::is_same_v<ScalarOf<G>, double>,
                "heed: gradcheck wants double tensors: float has too few digits for differences");
  GradcheckInput input{std::move(name), lift(mutable_view_of(x)), lift(view_of(gradient))};
  for (int n = 0; n < 4; ++n) {
    require(input.x.extent[n] == input.gradient.extent[n], "heed::inspect::gradcheck",
            "a gradient must have the shape of its input", [&] {
              return input.name + " " + to_string(input.x) + ", gradient " +
                     to_string(input.gradient);
            });
  }
  return input;
}

// NaN is further off than any number.
inline bool further_off(double error, double than) {
  return std::isnan(error) ? !std::isnan(than) : error > than;
}

template <class F>
double central_difference(const F& loss, double& x) {
  const double kept = x;
  const double delta = 6e-6 * std::max(1.0, std::abs(kept));  // ∛ε: truncation meets rounding
  x = kept + delta;
  const double above = loss();
  x = kept - delta;
  const double below = loss();
  x = kept;
  return (above - below) / (2 * delta);
}

// f(element of x, element of gradient, b, h, i, d) in ascending order.
template <class F>
void for_each_element(const GradcheckInput& input, F&& f) {
  for_each_row(input.x, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < input.x.extent[3]; ++d) {
      f(input.x(b, h, i, d), input.gradient(b, h, i, d), Gradcheck{input.name, b, h, i, d});
    }
  });
}

// The worst element of all inputs.
//
//   loss    loss() -> double, computed from the inputs' memory each time
//   inputs  {gradcheck_input("q", q, g.d_q), …}, or gradcheck_parameters(module, gradients)
//
// A loss with a step or a corner at x (top-k's choice) has no derivative there. Time: two losses an
// element.
template <class F>
Gradcheck gradcheck(const F& loss, const std::vector<GradcheckInput>& inputs) {
  Gradcheck worst;
  worst.error = -1;
  Index elements = 0;
  for (const GradcheckInput& input : inputs) {
    Gradcheck of_input;
    double largest = 0, furthest = -1;
    for_each_element(input, [&](double& x, double gradient, Gradcheck here) {
      here.gradient = gradient;
      here.difference = central_difference(loss, x);
      const double off = std::abs(gradient - here.difference);
      largest = std::max({largest, std::abs(gradient), std::abs(here.difference)});
      ++elements;
      if (!further_off(off, furthest)) return;
      furthest = off;
      of_input = here;
    });
    of_input.error = largest > 0 ? furthest / largest : std::max(furthest, 0.0);
    if (further_off(of_input.error, worst.error)) worst = of_input;
  }
  worst.elements = elements;
  return worst;
}

inline std::ostream& operator<<(std::ostream& to, const Gradcheck& check) {
  return to << check.input << "(" << check.b << ", " << check.h << ", " << check.i << ", "
            << check.d << "): gradient " << check.gradient << ", difference " << check.difference
            << ", relative error " << check.error << ", worst of " << check.elements
            << " elements\n";
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
