// The tensors of a row, filled with numbers that any other program can make too.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "heed/heed.hpp"
#include "support/problems.hpp"

namespace heed::bench {

// Uniform with variance 1, so that the scores are what layers see; the same bits in numpy.
inline float number(std::uint32_t seed, std::uint32_t n) {
  std::uint32_t x = (n + seed * 0x9e3779b9u) * 0x85ebca6bu;
  x = (x ^ (x >> 15)) * 0xc2b2ae35u;
  x ^= x >> 13;
  return (static_cast<float>(x >> 8) * 0x1p-23f - 1.0f) * 1.7320508f;
}

template <class T>
Tensor4<T> numbers(std::uint32_t seed, Index a, Index b, Index c, Index d) {
  Tensor4<T> tensor(a, b, c, d);
  for (Index n = 0; n < tensor.size(); ++n) {
    tensor.data()[n] = static_cast<T>(number(seed, static_cast<std::uint32_t>(n)));
  }
  return tensor;
}

// q, k, v and all the memory that a call needs, so that a measured call allocates nothing.
//   Out  elements of out: T, or float for backward of half types
template <class T, class Out = T>
struct Operands {
  Tensor4<T> q, k, v;  // [B, Hq, Lq, D], [B, Hkv, Lk, D], [B, Hkv, Lk, Dv]; v empty where latent
  View<const T, 4> values;  // v, or of k
  Result<Tensor4<Out>, Tensor3<Accum<T>>> result;
  std::vector<std::byte> workspace;
  CallReport report;

  explicit Operands(const Row& row)
      : q(numbers<T>(1, row.B, row.Hq, row.Lq, row.D)),
        k(numbers<T>(2, row.B, row.Hkv, row.Lk, row.D)),
        v(numbers<T>(3, row.latent ? 0 : row.B, row.Hkv, row.Lk, row.Dv)),
        values(view_of(row.latent ? k : v)),
        result{Tensor4<Out>(row.B, row.Hq, row.Lq, row.Dv),
               Tensor3<Accum<T>>(row.B, row.Hq, row.Lq)} {
    values.extent[3] = row.Dv;
  }
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;
  ~Operands() = default;

  template <class M, class S>
  void attend(int threads, const M& mask, const S& score) {
    Options options{.threads = threads, .report = &report};
    if (workspace.empty()) workspace.resize(workspace_bytes(q, k, values, mask, score, options));
    options.workspace = workspace;
    attention_into(result, q, k, values, mask, score, options);
  }
};

// The same for a backward call, whose forward call has been made.
template <class T>
struct BackwardOperands : Operands<T, Accum<T>> {
  Tensor4<T> d_out;  // [B, Hq, Lq, Dv]
  Gradients<Tensor4<T>, Tensor4<T>, Tensor4<T>> gradients;
  std::vector<std::byte> backward_workspace;

  explicit BackwardOperands(const Row& row)
      : Operands<T, Accum<T>>(row),
        d_out(numbers<T>(5, row.B, row.Hq, row.Lq, row.Dv)),
        gradients{this->q, this->k, this->v} {}

  template <class M, class S>
  void differentiate(int threads, const M& mask, const S& score) {
    Options options{.threads = threads, .report = &this->report};
    if (backward_workspace.empty()) {
      this->attend(threads, mask, score);
      backward_workspace.resize(
          backward_workspace_bytes(this->q, this->k, this->v, mask, score, options));
    }
    options.workspace = backward_workspace;
    attention_backward_into(gradients, d_out, this->q, this->k, this->v, this->result, mask, score,
                            options);
  }
};

}  // namespace heed::bench
