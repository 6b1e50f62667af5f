// What tests of approximations share: masks as twins see them, results in double, threads.
#pragma once

#include <thread>

#include "heed/approx/visible.hpp"
#include "support/contract.hpp"

namespace heed::test {

// [B, H, L, D] in double, packed.
using Oracle = Tensor4<double>;

// The masks of a prefix, chosen at run time for twins, at compile time for calls.
struct Prefix {
  bool causal = false;
  bool padded = false;
  mask::align alignment = mask::align::end;
  std::vector<int> lengths;  // [B]

  static Prefix of(const Shape& shape, bool causal, bool padded,
                   mask::align alignment = mask::align::end) {
    Prefix prefix{causal, padded, alignment, {}};
    for (Index b = 0; b < shape.B; ++b) {
      prefix.lengths.push_back(
          static_cast<int>(padded ? shape.Lk * (b + 1) / (shape.B + 1) : shape.Lk));
    }
    return prefix;
  }

  bool allows(const Shape& shape, Index b, Index i, Index j) const {
    if (j >= lengths[static_cast<std::size_t>(b)]) return false;
    return !causal || j <= i + (alignment == mask::align::end ? shape.end_offset() : 0);
  }

  // f(mask), the mask in its own type.
  template <class F>
  auto with(F&& f) const {
    using mask::operator&;
    if (causal && padded) return f(mask::causal(alignment) & mask::padding(lengths));
    if (causal) return f(mask::causal(alignment));
    if (padded) return f(mask::padding(lengths));
    return f(mask::None{});
  }
};

class ThreadPerWorker final : public Executor {
 public:
  int concurrency() const override { return 5; }
  void run(int workers, Job job) override {
    std::vector<std::thread> threads;
    for (int worker = 0; worker < workers; ++worker) threads.emplace_back(job, worker);
    for (auto& thread : threads) thread.join();
  }
};

// Largest difference of a result, rank 4, from an oracle.
template <class Out>
double distance(const Out& out, const Oracle& oracle) {
  return max_difference(out, oracle);
}

}  // namespace heed::test
