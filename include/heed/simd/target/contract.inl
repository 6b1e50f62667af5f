// Part of kernels.inl: the operations that a target provides, checked where they are missing and
// not where they are used.
//
//   target_isa                     the instruction set that the tables name
//   Vec<R>, vl<R>                  a register and how many R it holds, for R float and double
//   mr<R>, vectors<R>              the shape of a tile: mr rows × vectors registers
//   fma(a, b, c)                   a·b + c, rounded once where the machine can
//   maximum(a, b)                  the larger one, b where either is NaN
//   square_root(v)                 rounded once
//   multiply_words(a, b)           products of the low halves of 64-bit lanes
//   opaque(v)                      v, opaque to the optimiser (-ffast-math folds x + m − m)
//   from_half(p), to_half(v, p)    vl<float> half-precision elements, in and out
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

static_assert(target_isa >= Isa::portable, "a target names its instruction set: target_isa");
static_assert(sizeof(Vec<float>) == vl<float> * sizeof(float) &&
                  sizeof(Vec<double>) == vl<double> * sizeof(double),
              "a target provides Vec<R>, a register of vl<R> numbers");
static_assert(mr<float> <= max_mr && mr<double> <= max_mr && vectors<float> <= 4 &&
                  vectors<double> <= 4,
              "a target's tiles have at most max_mr rows and 4 registers of columns");

template <class R, class V = Vec<R>>
concept HasFma = requires(const V& v) {
  { fma(v, v, v) } -> std::same_as<V>;
};
template <class R, class V = Vec<R>>
concept HasMaximum = requires(const V& v) {
  { maximum(v, v) } -> std::same_as<V>;
};
template <class R, class V = Vec<R>>
concept HasSquareRoot = requires(const V& v) {
  { square_root(v) } -> std::same_as<V>;
};
template <class V = typename Register<std::uint64_t, vl<double>>::type>
concept HasMultiplyWords = requires(const V& v) {
  { multiply_words(v, v) } -> std::same_as<V>;
};
template <class R, class V = Vec<R>>
concept HasOpaque = requires(const V& v) {
  { opaque(v) } -> std::same_as<V>;
};
template <class Bits, class V = Vec<float>>
concept HasHalf = requires(Bits* p, const Bits* from, const V& v) {
  { from_half(from) } -> std::same_as<V>;
  to_half(v, p);
};
static_assert(HasFma<float> && HasFma<double>, "a target provides Vec<R> fma(a, b, c)");
static_assert(HasMaximum<float> && HasMaximum<double>, "a target provides Vec<R> maximum(a, b)");
static_assert(HasSquareRoot<float> && HasSquareRoot<double>,
              "a target provides Vec<R> square_root(v)");
static_assert(HasMultiplyWords<>, "a target provides multiply_words(a, b) of 64-bit lanes");
static_assert(HasOpaque<float> && HasOpaque<double>, "a target provides Vec<R> opaque(v)");
static_assert(HasHalf<std::uint16_t>,
              "a target provides Vec<float> from_half(p) and void to_half(v, p)");

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
