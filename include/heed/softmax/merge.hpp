// Two results over disjoint keys become the result over all of them: attention over shards of the
// keys, a prefix that a batch shares, or a cache that lies in pieces.
#pragma once

#include <string>
#include <utility>

#include "heed/core/check.hpp"
#include "heed/core/copy.hpp"
#include "heed/core/eigen.hpp"
#include "heed/softmax/online.hpp"

namespace heed {

// A Result, or any other type with its two members.
template <class X>
concept HasOutAndLse = requires(X& x) {
  requires TensorLike<decltype(x.out)>;
  rows_view(x.lse);
};

inline namespace HEED_ABI {

// Row by row: out = Σ softmax weight of a part · its out, lse = log(e^lse_a + e^lse_b).
template <class T, class R>
void merge_rows(const View<T, 4>& out, const View<R, 3>& lse, const View<const T, 4>& other_out,
                const View<const R, 3>& other_lse) {
  const auto state = [](R of_row) {
    return is_masked(of_row) ? softmax::Row<R>{} : softmax::Row<R>{of_row, R(1)};
  };
  for_each_row(out, [&](Index b, Index h, Index i) {
    if (is_masked(other_lse(b, h, i))) return;
    const auto [row, of_a, of_b] = softmax::merge(state(lse(b, h, i)), state(other_lse(b, h, i)));
    const bool alone = is_masked(lse(b, h, i));
    for (Index d = 0; d < out.extent[3]; ++d) {
      const T& of_other = other_out(b, h, i, d);
      T& x = out(b, h, i, d);
      x = alone ? of_other
                : static_cast<T>((of_a * static_cast<R>(x) + of_b * static_cast<R>(of_other)) /
                                 row.sum);
    }
    lse(b, h, i) = alone ? other_lse(b, h, i) : row.lse();
  });
}

template <class T, class R>
void check_parts(const char* call, const View<T, 4>& out, const View<R, 3>& lse,
                 const View<const T, 4>& other_out, const View<const R, 3>& other_lse) {
  const auto shapes = [&] {
    return "a.out " + to_string(out) + ", a.lse " + to_string(lse) + ", b.out " +
           to_string(other_out) + ", b.lse " + to_string(other_lse);
  };
  bool same = out.extent[3] == other_out.extent[3];
  for (int d = 0; d < 3; ++d) {
    same = same && out.extent[d] == other_out.extent[d] && lse.extent[d] == other_lse.extent[d];
    require(lse.extent[d] == out.extent[d], call,
            "lse must be [B, Hq, Lq] of out; pass heed::blhd(out) where out is [B, L, H, D]",
            shapes);
  }
  require(same, call, "the two results differ in shape", shapes);
  require(!may_overlap(out, other_out), call, "a.out overlaps b.out", shapes);
  require(!may_overlap(lse, other_lse), call, "a.lse overlaps b.lse", shapes);
}

// merge_into with the tensors apart: for out in another layout, heed::blhd(out) among them.
template <class Out, class Lse, TensorLike Other>
void merge_into(Out&& out, Lse& lse, const Other& other_out, const Lse& other_lse) {
  constexpr const char* call = "heed::merge_into";
  const auto a = lift(mutable_view_of(out));
  const auto of_a = lift_rows(rows_view(lse));
  const auto b = lift(view_of(other_out));
  const auto of_b = lift_rows(rows_view(const_cast<Lse&>(other_lse)).as_const());
  check_parts(call, a, of_a, b, of_b);
  merge_rows(a, of_a, b, of_b);
}

// a becomes the result over the keys of both.
//
//   a, b  results {out, lse} of the same queries over keys that no row counts in both;
//         out [B, Hq, Lq, Dv], lse [B, Hq, Lq] (natural log), or rank 3 or 2
//
// A row that sees no key in one part keeps the other part's bits; one that sees none in both has
// out 0 and lse −inf. Each merge rounds out once to its element type. Throws heed::Error where the
// shapes differ or the tensors overlap. Allocates nothing. Time O(B·Hq·Lq·Dv), one thread.
// Dao et al., "FlashAttention" (2022), section 3.1.
template <HasOutAndLse X>
void merge_into(X& a, const X& b) {
  merge_into(a.out, a.lse, b.out, b.lse);
}

// merge_into a copy of a.
template <HasOutAndLse X>
X merge(X a, const X& b) {
  merge_into(a, b);
  return a;
}

}  // namespace HEED_ABI
}  // namespace heed
