// A dense tensor over scores: which of its axes stand for batch, head, query and key.
//
// By default rank 2 is [Lq, Lk], rank 4 is [B, H, Lq, Lk], and rank 3 over rank-3 inputs is
// [B, Lq, Lk]. For rank-4 inputs a rank-3 tensor is ambiguous: pass the meaning.
//
//   axes::batch   rank 3 is [B, Lq, Lk]
//   axes::heads   rank 3 is [H, Lq, Lk]
//   axes::keys    rank 2 is [B, Lk]
//
// An extent of 1 broadcasts.
#pragma once

#include <string>

#include "heed/core/error.hpp"
#include "heed/core/shape.hpp"
#include "heed/core/tensor.hpp"
#include "heed/core/view.hpp"

namespace heed {

enum class axes { by_rank, batch, heads, keys };

// Keys of the call that a tensor does not have: an error, or masked (ONNX's rule).
enum class missing { refused, masked };

inline constexpr int all_keys = 0x7fffffff;

template <class T>
struct Broadcast {
  View<const T, 4> view;  // [B | 1, H | 1, Lq | 1, Lk | 1]
  int rank;
  axes meaning;
  missing rest = missing::refused;

  // Throws heed::Error unless every extent is 1 or the call's.
  [[gnu::always_inline]] void check(const char* what, const Shape& shape) const {
    if (rank == 3 && meaning == axes::by_rank && shape.rank == 4) {
      throw Error(std::string(what) +
                  ": a rank-3 tensor over rank-4 inputs may mean [B, Lq, Lk] or [H, Lq, Lk]; say "
                  "axes::batch or axes::heads (tensor " +
                  to_string(view) + ")");
    }
    const Index wanted[4] = {shape.B, shape.Hq, shape.Lq, shape.Lk};
    for (int d = 0; d < 4; ++d) {
      if (view.extent[d] == 1 || view.extent[d] == wanted[d]) continue;
      if (d == 3 && rest == missing::masked && view.extent[d] < wanted[d]) continue;
      const View<const T, 4> scores{nullptr, {wanted[0], wanted[1], wanted[2], wanted[3]}, {}};
      throw Error(std::string(what) + ": the tensor, as [B,H,Lq,Lk] " + to_string(view) +
                  ", does not broadcast to the scores " + to_string(scores) +
                  (d == 3 && view.extent[d] < wanted[d]
                       ? "; where the keys that it lacks are to be masked, say missing::masked"
                       : ""));
    }
    if (view.data == nullptr && !view.empty()) throw Error(std::string(what) + ": no data");
  }

  // Keys [0, …) that the matrix of a head has.
  HEED_DEVICE constexpr int keys_of(const Shape& shape) const {
    const Index keys = view.extent[3];
    return keys == 1 || keys >= shape.Lk ? all_keys : static_cast<int>(keys);
  }

  template <class Arena>
  Broadcast to_device(Arena& arena) const {
    return {arena.copy(view), rank, meaning, rest};
  }

  // The [Lq, Lk] matrix of one head; an extent of 1 has stride 0.
  HEED_DEVICE View<const T, 2> at(Index b, Index h) const {
    const Index offset = (view.extent[0] == 1 ? 0 : b) * view.stride[0] +
                         (view.extent[1] == 1 ? 0 : h) * view.stride[1];
    return {view.data == nullptr ? nullptr : view.data + offset,
            {view.extent[2], view.extent[3]},
            {view.extent[2] == 1 ? 0 : view.stride[2], view.extent[3] == 1 ? 0 : view.stride[3]}};
  }
};

inline namespace HEED_ABI {

// Names the axes of a tensor. Throws heed::Error where `meaning` and its rank do not fit.
template <TensorLike X>
Broadcast<ScalarOf<X>> broadcast(const char* what, const X& x, axes meaning,
                                 missing rest = missing::refused) {
  using T = ScalarOf<X>;
  const auto v = view_of(x);
  constexpr int rank = rank_of<X>;
  const auto refuse = [&](const char* text) {
    throw Error(std::string(what) + ": " + text + " (tensor " + to_string(v) + ")");
  };
  if constexpr (rank == 4) {
    if (meaning != axes::by_rank) refuse("a rank-4 tensor is [B, H, Lq, Lk]");
    return {v, rank, meaning, rest};
  } else if constexpr (rank == 3) {
    if (meaning == axes::keys) refuse("axes::keys wants [B, Lk]");
    const View<const T, 4> by_batch{v.data,
                                    {v.extent[0], 1, v.extent[1], v.extent[2]},
                                    {v.stride[0], 0, v.stride[1], v.stride[2]}};
    const View<const T, 4> by_head{v.data,
                                   {1, v.extent[0], v.extent[1], v.extent[2]},
                                   {0, v.stride[0], v.stride[1], v.stride[2]}};
    return {meaning == axes::heads ? by_head : by_batch, rank, meaning, rest};
  } else {
    static_assert(rank == 2, "heed: a dense mask or bias has rank 2, 3 or 4");
    if (meaning == axes::batch || meaning == axes::heads)
      refuse("a rank-2 tensor is [Lq, Lk], or [B, Lk] with axes::keys");
    const View<const T, 4> by_key{
        v.data, {v.extent[0], 1, 1, v.extent[1]}, {v.stride[0], 0, 0, v.stride[1]}};
    return {meaning == axes::keys ? by_key : lift(v), rank, meaning, rest};
  }
}

}  // namespace HEED_ABI
}  // namespace heed
