// Part of kernels.inl: layers of floats whose operands are rounded to a half type H, where no
// instruction multiplies these.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// x = H(x).
template <class H>
void round_to(float* x, Index size) {
  Array<H, vl<float>> some;
  Index n = 0;
  for (; n + vl<float> <= size; n += vl<float>) {
    store_as<float>(load(x + n), some);
    store(x + n, load_as<float>(some));
  }
  for (; n < size; ++n) x[n] = static_cast<float>(static_cast<H>(x[n]));
}

// to = H(x), as the bits of H.
template <class H>
void narrow(const float* x, std::uint16_t* to, Index size) {
  static_assert(sizeof(H) == sizeof(std::uint16_t));
  Array<H, vl<float>> some;
  for (Index n = 0; n < size; n += vl<float>) {
    store_as<float>(load_some_as<float>(x + n, Index{1}, size - n), some);
    const Index left = size - n;
    __builtin_memcpy(to + n, some,
                     sizeof(H) * static_cast<std::size_t>(left < vl<float> ? left : vl<float>));
  }
}

template <class H>
void widen(const std::uint16_t* x, float* to, Index size) {
  Array<H, vl<float>> some = {};
  Index n = 0;
  for (; n + vl<float> <= size; n += vl<float>) {
    __builtin_memcpy(static_cast<void*>(some), x + n, sizeof some);
    store(to + n, load_as<float>(some));
  }
  __builtin_memcpy(static_cast<void*>(some), x + n, sizeof(H) * static_cast<std::size_t>(size - n));
  for (Index at = 0; n < size; ++n, ++at) to[n] = static_cast<float>(some[at]);
}

template <class H>
void pack_weight_rounded(const View<const float, 2>& w, const PackedB<float>& to) {
  pack_weight(w, to);
  round_to<H>(to.data, to.k * nr<float>);
}

template <class H>
void pack_rows_rounded(const View<const float, 2>& x, Index at, const BlockedA<float>& to) {
  pack_rows(x, at, to);
  for (Index begin = 0; begin < to.k; begin += depth_block<float>) {
    const Index left = to.k - begin;
    const Index length = left < depth_block<float> ? left : depth_block<float>;
    round_to<H>(to.block(begin) + at * length, x.extent[0] * length);
  }
}

template <class H>
void pack_columns_rounded(const View<const float, 2>& x, const BlockedA<float>& to) {
  pack_columns(x, to);
  const Index rows = (x.extent[1] + mr<float> - 1) / mr<float> * mr<float>;
  for (Index begin = 0; begin < to.k; begin += depth_block<float>) {
    const Index left = to.k - begin;
    const Index length = left < depth_block<float> ? left : depth_block<float>;
    round_to<H>(to.block(begin), rows * length);
  }
}

template <class H>
inline constexpr LayerKernels<float> rounded_layer_table = [] {
  LayerKernels<float> rounded = layer_table<float>;
  rounded.pack_weight = &pack_weight_rounded<H>;
  rounded.pack_rows = &pack_rows_rounded<H>;
  rounded.pack_columns = &pack_columns_rounded<H>;
  rounded.rounding = {.round = &round_to<H>, .narrow = &narrow<H>, .widen = &widen<H>};
  return rounded;
}();

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
