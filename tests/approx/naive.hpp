// Shared by tests of approximations: masks as naive versions see them, results in double, threads.
#pragma once

#include <thread>

#include "heed/mask/key_limit.hpp"
#include "support/contract.hpp"

namespace heed::test {

// [B, H, L, D] in double, packed.
using Oracle = Tensor4<double>;

// The masks of a prefix, chosen at run time for naive versions, at compile time for calls.
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

// A problem at which lengths and determinants vanish or matrices lose their rank.
struct Degenerate {
  const char* name;
  Shape shape;
  double scale;
  bool level;  // a row's exact weights are all the same
  Inputs<float> in;
};

// One head pair of each, D = 12: zeros, one token, one feature, equal rows, equal columns, a score
// matrix of rank 1, and rows without a direction because they are tiny.
inline std::vector<Degenerate> degenerate_problems() {
  std::vector<Degenerate> all;
  const auto add = [&](const char* name, Index Lq, Index Lk, Index D, double scale, bool level,
                       auto&& edit) {
    const Shape shape{1, 2, 1, Lq, Lk, D, 5, 4};
    all.push_back({name, shape, scale, level, Inputs<float>(shape, Layout::packed, 11, 2)});
    edit(all.back().in);
  };
  const auto set = [](const Buffer<float>& x, auto&& f) {
    const View<float, 4> to = x.view();
    for (Index h = 0; h < to.extent[1]; ++h) {
      for (Index i = 0; i < to.extent[2]; ++i) {
        for (Index d = 0; d < to.extent[3]; ++d) to(0, h, i, d) = f(to, h, i, d);
      }
    }
  };
  using To = const View<float, 4>&;
  const auto zero = [](To, Index, Index, Index) { return 0.0f; };
  const auto first_row = [](To x, Index h, Index, Index d) { return x(0, h, 0, d); };
  const auto first_column = [](To x, Index h, Index i, Index) { return x(0, h, i, 0); };
  const auto tiny = [](To x, Index h, Index i, Index d) { return 1e-30f * x(0, h, i, d); };
  const auto same = [](const Inputs<float>&) {};
  add("q = 0", 20, 30, 12, 0.3, true, [&](auto& in) { set(in.q, zero); });
  add("k = 0", 20, 30, 12, 0.3, true, [&](auto& in) { set(in.k, zero); });
  add("q = k = 0", 20, 30, 12, 0.3, true, [&](auto& in) { set(in.q, zero), set(in.k, zero); });
  add("scale 0", 20, 30, 12, 0, true, same);
  add("one query", 1, 30, 12, 0.3, false, same);
  add("one key", 20, 1, 12, 0.3, true, same);
  add("one of each", 1, 1, 12, 0.3, true, same);
  add("one feature", 20, 30, 1, 0.3, false, same);
  add("equal queries", 20, 30, 12, 0.3, false, [&](auto& in) { set(in.q, first_row); });
  add("equal keys", 20, 30, 12, 0.3, true, [&](auto& in) { set(in.k, first_row); });
  add("equal features of k", 20, 30, 12, 0.3, false, [&](auto& in) { set(in.k, first_column); });
  add("rank 1", 20, 30, 12, 0.1, false,
      [&](auto& in) { set(in.q, first_column), set(in.k, first_column); });
  add("tiny keys", 20, 30, 12, 0.3, true, [&](auto& in) { set(in.k, tiny); });
  add("tiny queries and keys", 20, 30, 12, 0.3, true,
      [&](auto& in) { set(in.q, tiny), set(in.k, tiny); });
  return all;
}

// [2^31 − 1, 2^20, 0, 4]: more heads than can be gone through one by one, all empty.
inline View<const float, 4> uncountable_empty() {
  static constexpr float nothing = 0;
  return {&nothing, {max_length, 1 << 20, 0, 4}, {0, 0, 4, 1}};
}

// Largest difference of a result, rank 4, from an oracle.
template <class Out>
double distance(const Out& out, const Oracle& oracle) {
  return max_difference(out, oracle);
}

}  // namespace heed::test
