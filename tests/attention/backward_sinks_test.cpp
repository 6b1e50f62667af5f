// The gradient of a sink is −Σ p_sink·delta of its head's rows, in double and in ascending order.
#include "heed/attention/flash/backward_sinks.hpp"

#include <cmath>
#include <vector>

#include "attention/one_backward.hpp"
#include "support/contract.hpp"

namespace heed {
namespace {

const Shape shape{2, 4, 2, 9, 20, 4, 5};
const std::vector<float> sinks{0.5F, -1, -INFINITY, 2};

// lse and delta of every row of the wave are known.
template <class Of>
void fill(const Of& of) {
  for (Index head = 0; head < 4; ++head) {
    for (Index g = 0; g < 2; ++g) {
      for (Index i = 0; i < shape.Lq; ++i) {
        of.wave.lse_of(head, g)[i] = 3 + test::number_of(head, 10 * g + i);
        of.wave.delta_of(head, g)[i] = test::number_of(7 + head, 10 * g + i);
      }
    }
  }
}

template <class Of>
double expected(const Of& of, Index head, Index g) {
  const float sink = sinks[static_cast<std::size_t>(2 * (head % 2) + g)];
  double sum = 0;
  for (Index i = 0; i < shape.Lq && std::isfinite(sink); ++i) {
    sum -= std::exp(static_cast<double>(sink) - static_cast<double>(of.wave.lse_of(head, g)[i])) *
           static_cast<double>(of.wave.delta_of(head, g)[i]);
  }
  return sum;
}

}  // namespace

TEST_CASE("backward sinks: each head by one worker, then added over the batch") {
  test::OneBackward<> of(shape, test::no_mask, test::no_score, {.sinks = sinks});
  fill(of);
  find_d_sinks(4, 2, 1, nullptr, [&](Index head, int) { return of.task(head); });
  for (Index head = 0; head < 4; ++head) {
    for (Index g = 0; g < 2; ++g) {
      const Index at = head / 2 * shape.Hq + 2 * (head % 2) + g;
      CAPTURE(head, g);
      CHECK(std::abs(of.wave.d_sinks[at] - expected(of, head, g)) < 1e-6);
    }
  }
  CHECK(of.wave.d_sinks[2] == 0);  // no sink
  std::vector<double> total(4, -1);
  store_d_sinks(of.wave.d_sinks, shape, HeadNumbers<true>(std::span(total)));
  for (std::size_t h = 0; h < 4; ++h) {
    CHECK(total[h] == of.wave.d_sinks[h] + of.wave.d_sinks[4 + h]);
  }
}

#if !defined(__FAST_MATH__)  // which promises nothing of NaN
TEST_CASE("backward sinks: NaN in a row that sees no key is not part of it, in another row it is") {
  test::OneBackward<> of(shape, test::no_mask, test::no_score, {.sinks = sinks});
  fill(of);
  Tensor4<float> out(2, 4, shape.Lq, 5);
  out.setConstant(1);
  of.call.out = view_of(out);
  const auto task = of.task(0);
  of.wave.lse_of(0, 0)[4] = sinks[0];  // all of the row's weight, or rounded to it
  of.wave.delta_of(0, 0)[4] = test::nan;
  CHECK(std::isnan(d_sink(task, 0)));
  for (Index d = 0; d < 5; ++d) out(0, 0, 4, d) = 0;
  const double without = d_sink(task, 0);
  of.wave.delta_of(0, 0)[4] = 0;
  CHECK(without == d_sink(task, 0));
  of.wave.delta_of(0, 0)[4] = 1;  // a number counts, whatever out is
  CHECK(std::abs(d_sink(task, 0) - (without - 1)) < 1e-6);
  of.call.out.data = nullptr;  // not known: NaN stays
  of.wave.delta_of(0, 0)[4] = test::nan;
  CHECK(std::isnan(d_sink(task, 0)));
}
#endif

}  // namespace heed
