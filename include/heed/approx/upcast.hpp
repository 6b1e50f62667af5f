// Attention over operands that a method computed in the type of sums: the call behind many of them.
#pragma once

#include <vector>

#include "heed/approx/kernels.hpp"
#include "heed/attention/run.hpp"
#include "heed/core/copy.hpp"
#include "heed/core/zeros.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// [B, H, L, D] as R: the tensor itself, or a copy.
template <class T, class R>
class Upcast {
 public:
  // With `copies` of each head, next to each other.
  explicit Upcast(const View<const T, 4>& x, Index copies = 1) : view_{nullptr, {}, {}} {
    if constexpr (std::is_same_v<T, R>) {
      view_ = x;
      if (copies == 1) return;
    }
    const Index heads = checked_product(x.extent[1], copies), L = x.extent[2], D = x.extent[3];
    copy_ = zeros<R>(checked_product(checked_product(x.extent[0], heads), checked_product(L, D)));
    view_ = heed::view(static_cast<const R*>(copy_.data()), {x.extent[0], heads, L, D});
    const CallKernels<T> kernels = call_kernels<T>(isa());
    for (Index n = 0; n < x.extent[0] * heads; ++n) {
      kernels.copy_rows(x.matrix(n / heads, n % heads / copies), R(1), copy_.data() + n * L * D);
    }
  }
  Upcast(const Upcast&) = delete;
  Upcast& operator=(const Upcast&) = delete;
  ~Upcast() = default;

  const View<const R, 4>& view() const { return view_; }

 private:
  std::vector<R> copy_;
  View<const R, 4> view_;
};

// [B, H, L, D] of R, zeros.
template <class R>
class OwnedTensor {
 public:
  OwnedTensor(Index B, Index H, Index L, Index D)
      : data_(zeros<R>(checked_product(checked_product(B, H), checked_product(L, D)))),
        view_(heed::view(data_.data(), {B, H, L, D})) {}
  OwnedTensor(const OwnedTensor&) = delete;
  OwnedTensor& operator=(const OwnedTensor&) = delete;
  ~OwnedTensor() = default;

  const View<R, 4>& view() const { return view_; }

 private:
  std::vector<R> data_;
  View<R, 4> view_;
};

// Exact attention of q, k and v in R, with the given scale, into out in T and, where it has data,
// lse. `shape` names the sizes of q, k and v; masks and scores are checked already.
template <class T, class R, class M, class S>
void attention_in(const View<const R, 4>& q, const View<const R, 4>& k, const View<const R, 4>& v,
                  const Shape& shape, double scale, const View<T, 4>& out, const View<R, 3>& lse,
                  const M& mask, const S& score, const heed::Options& options) {
  Problem<R> problem{q, k, v, {}, lse, {nullptr, {}, {}}, shape, scale, Dropout::of(0, 0)};
  if constexpr (std::is_same_v<T, R>) {
    problem.out = out;
    run(problem, mask, score, options);
  } else {
    const OwnedTensor<R> wide(shape.B, shape.Hq, shape.Lq, shape.Dv);
    problem.out = wide.view();
    run(problem, mask, score, options);
    copy(problem.out, out);
  }
}

}  // namespace HEED_ABI
}  // namespace heed::approx
