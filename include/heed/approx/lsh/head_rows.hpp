// Keys and values of one head of a source of numbers, row by row, as hashing reads them.
#pragma once

#include "heed/approx/kernels.hpp"
#include "heed/kv/row_runs.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// The keys and values of a head, of elements U.
template <class U, class Bound>
struct HeadRows {
  using R = Accum<U>;

  Bound source;
  Index D, Dv;
  const CallKernels<U>& kernels;

  // to [end - begin, D] = keys [begin, end).
  void copy_keys(Index begin, Index end, R* to) const {
    for_each_run(begin, end, [&](Index first, const auto& k, const auto&) {
      kernels.copy_rows(k, R(1), to + (first - begin) * D);
    });
  }
  // k [D] and v [Dv] = those of a token.
  void copy(Index token, R* k, R* v) const {
    for_each_run(token, token + 1, [&](Index, const auto& key, const auto& value) {
      kernels.copy_rows(key, R(1), k);
      kernels.copy_rows(value, R(1), v);
    });
  }

 private:
  template <class F>
  void for_each_run(Index begin, Index end, F&& f) const {
    kv::for_each_row_run<U>(source, {D, Dv, kernels.of_tensors.tile_shape.nr}, begin, end, f);
  }
};

}  // namespace HEED_ABI
}  // namespace heed::approx
