// Random attention problems with known memory around them, and the rule that judges a result.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "heed/heed.hpp"
#include "support/catch.hpp"
#include "support/layout.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"

namespace heed::test {

// A [B, H, L, D] tensor whose memory is NaN wherever no element lies: gaps and margins.
template <class T>
class Buffer {
 public:
  Buffer(Index B, Index H, Index L, Index D, Layout layout = Layout::packed) {
    const Index row = strides_of(layout, L, D).row;
    const Index rows = L + (layout == Layout::gaps ? 2 : 0);
    view_ = {nullptr, {B, H, L, D}, {H * rows * row, rows * row, row, 1}};
    if (layout == Layout::blhd) {
      view_.stride[1] = row;
      view_.stride[2] = H * row;
    }
    memory_.assign(static_cast<std::size_t>(2 * margin + B * H * rows * row), poison());
    view_.data = memory_.data() + margin;
  }

  Buffer& fill(std::uint64_t seed, double scale = 1) {
    Index n = 0;
    each([&](T& x) { x = static_cast<T>(static_cast<float>(scale * uniform(seed, n++))); });
    return *this;
  }

  View<T, 4> view() const { return view_; }
  View<const T, 4> cview() const { return view_.as_const(); }

  // True where memory between and around the elements is as it was.
  bool margins_intact() const {
    std::vector<T> blank = memory_;
    Buffer copy = *this;
    copy.memory_.swap(blank);
    copy.view_.data = copy.memory_.data() + margin;
    copy.each([](T& x) { x = poison(); });
    return std::all_of(copy.memory_.begin(), copy.memory_.end(),
                       [](T x) { return is_nan(static_cast<double>(x)); });
  }

  Buffer(const Buffer& other) : memory_(other.memory_), view_(other.view_) {
    view_.data = memory_.data() + margin;
  }
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() = default;

 private:
  static constexpr Index margin = 16;
  static T poison() { return std::numeric_limits<T>::quiet_NaN(); }

  template <class F>
  void each(F&& f) {
    for (Index b = 0; b < view_.extent[0]; ++b) {
      for (Index h = 0; h < view_.extent[1]; ++h) {
        for (Index i = 0; i < view_.extent[2]; ++i) {
          for (Index d = 0; d < view_.extent[3]; ++d) f(view_(b, h, i, d));
        }
      }
    }
  }

  std::vector<T> memory_;
  View<T, 4> view_;
};

// Rows [first, first + count) of x [B, H, L, D], of batch entries [b, b + entries).
template <class T>
View<const T, 4> part(const View<const T, 4>& x, Index b, Index entries, Index first, Index count) {
  return {&x(b, 0, first, 0),
          {entries, x.extent[1], count, x.extent[3]},
          {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}};
}

template <class T>
struct Inputs {
  Buffer<T> q, k, v;

  Inputs(const Shape& s, Layout layout, std::uint64_t seed, double size = 1)
      : q(s.B, s.Hq, s.Lq, s.D, layout),
        k(s.B, s.Hkv, s.Lk, s.D, layout),
        v(s.B, s.Hkv, s.Lk, s.Dv, layout) {
    q.fill(3 * seed, size);
    k.fill(3 * seed + 1, size);
    v.fill(3 * seed + 2);
  }
};

inline std::string name_of(const Shape& s) {
  const auto dim = [](Index n) { return std::to_string(n) + " "; };
  return "B Hq Hkv Lq Lk D Dv = " + dim(s.B) + dim(s.Hq) + dim(s.Hkv) + dim(s.Lq) + dim(s.Lk) +
         dim(s.D) + dim(s.Dv);
}

// Half the distance from 1 to the next number of T. Not from epsilon(): Eigen 3.4's for half is an
// eighth of the true one.
template <class T>
double unit_roundoff() {
  return std::ldexp(1.0, -std::numeric_limits<T>::digits);
}

template <class A, class B>
double max_difference(const A& a, const B& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (Index n = 0; n < a.size(); ++n) {
    const double x = static_cast<double>(a.data()[n]);
    const double y = static_cast<double>(b.data()[n]);
    if (std::isinf(x) && x == y) continue;
    const double difference = std::abs(x - y);
    worst = difference <= worst ? worst : difference;  // a NaN stays
  }
  return worst;
}

template <class A>
double max_magnitude(const A& a) {
  double worst = 0;
  for (Index n = 0; n < a.size(); ++n) {
    worst = std::max(worst, std::abs(static_cast<double>(a.data()[n])));
  }
  return worst;
}

// A path in T may be at most twice as far from the truth as the obvious code in T, plus the
// rounding that any order of summation may cost: u·(8 + 4·max|s|)·max|v| in the type of the sums,
// and half a step of T where the result is rounded.
template <class T, class Out, class Naive, class Truth>
void require_accurate(const Out& out, const Naive& naive, const Truth& truth) {
  const double sums = unit_roundoff<Accum<T>>() * (8 + 4 * max_magnitude(truth.scores));
  const double rounding = sizeof(T) < 4 ? unit_roundoff<T>() * max_magnitude(truth.out) : 0.0;
  REQUIRE(max_difference(out.out, truth.out) <=
          2 * max_difference(naive.out, truth.out) + sums + rounding);
  REQUIRE(max_difference(out.lse, truth.lse) <=
          2 * max_difference(naive.lse, truth.lse) + sums * (1 + max_magnitude(truth.scores)));
}

}  // namespace heed::test
