// heed's CUDA kernels on the emulator, called as the front door calls them on a device.
//
// Masks and scores are erased, which a host function may be: one instantiation a type serves every
// test. That they compile as they are is what compile/ is for.
#pragma once

#include <functional>

#include "cuda/simt/machine.hpp"
#include "support/problem.hpp"

namespace heed::test {

// A score with its type erased, bound to the shape it was made for.
using ErasedScore = std::function<double(double, int, int, int, int)>;

template <class R, class S>
ErasedScore erase(const S& score, const Shape& shape) {
  return [score, shape](double s, int b, int h, int i, int j) {
    return static_cast<double>(
        score::bind(score::as_score(score), shape, b, h).value(static_cast<R>(s), i, j));
  };
}

// Results as heed::attention has them, and what the emulator counted.
template <class T>
struct Emulated {
  Tensor4<T> out;
  Tensor3<Accum<T>> lse;
  simt::Counts counts;
};

// Instantiated in emulated.cpp for float, double, Half and BFloat16. No score: score::None, which
// has a path of its own.
template <class T>
simt::Counts emulate_into(const View<T, 4>& out, const View<Accum<T>, 3>& lse,
                          const View<const T, 4>& q, const View<const T, 4>& k,
                          const View<const T, 4>& v, const mask::any& mask,
                          const ErasedScore& score = {}, const Options& options = {},
                          bool backwards = false);

template <class T>
Emulated<T> emulate(const View<const T, 4>& q, const View<const T, 4>& k, const View<const T, 4>& v,
                    const mask::any& mask = {}, const ErasedScore& score = {},
                    const Options& options = {}, bool backwards = false) {
  Emulated<T> result{Tensor4<T>(q.extent[0], q.extent[1], q.extent[2], v.extent[3]),
                     Tensor3<Accum<T>>(q.extent[0], q.extent[1], q.extent[2]),
                     {}};
  result.counts = emulate_into<T>(mutable_view_of(result.out), rows_view(result.lse), q, k, v, mask,
                                  score, options, backwards);
  return result;
}

}  // namespace heed::test
