// Keys and values of one head, as top-k reads them from a source.
#pragma once

#include "heed/kv/source.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// The keys and values of a head, of elements U. As a source its values have no columns: scores do
// without.
template <class U, class Bound>
struct HeadKv {
  using Scalar = U;

  Bound source;
  Index length;  // keys that there are

  template <class F>
  void for_each_run(Index begin, Index end, F&& f) const requires kv::BoundSource<Bound, U> {
    source.for_each_run(begin, end, without_columns(f));
  }
  template <class F>
  void for_each_panel_run(Index begin, Index end, F&& f) const requires kv::PanelSource<Bound, U> {
    source.for_each_panel_run(begin, end, without_columns(f));
  }

 private:
  template <class F>
  static auto without_columns(F& f) {
    return [&f](Index first, const auto& k, const View<const U, 2>& v) {
      f(first, k, View<const U, 2>{v.data, {v.extent[0], 0}, {v.stride[0], v.stride[1]}});
    };
  }
};

}  // namespace HEED_ABI
}  // namespace heed::approx
