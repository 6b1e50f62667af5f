// Tensors between forward and backward in 16 bits, as options.compute has them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "heed/core/parallel.hpp"
#include "heed/nn/packed.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// Operands of backward's products lose no bit: those would round them. The values before an
// activation are rounded once, as in PyTorch's autocast; one beyond half's largest number becomes
// that, since the slope of an activation at infinity may be NaN.
template <class T>
class Halved {
 public:
  bool empty() const { return pieces_.empty(); }

  // Takes the tensors' numbers, half as many bytes; the tensors are empty then. Takes nothing under
  // Compute::full.
  void take(const std::vector<Tensor3<T>*>& tensors, const Options& options) {
    pieces_.clear();
    compute_ = options.compute;
    if (compute_ == Compute::full) return;
    const auto& kernels = layer_kernels<T>(options);
    for (Tensor3<T>* x : tensors) {
      Piece piece{x->dimensions(), std::vector<std::uint16_t>(static_cast<std::size_t>(x->size()))};
      for_each_part(x->size(), options, [&](Index first, Index count) {
        if (compute_.operands == Format::binary16) clamp_to_half(x->data() + first, count);
        kernels.rounding->narrow(x->data() + first, piece.numbers.data() + first, count);
      });
      *x = Tensor3<T>();
      pieces_.push_back(std::move(piece));
    }
  }

  // The tensors of take, in its order.
  void give(const std::vector<Tensor3<T>*>& tensors, Options options) const {
    HEED_ASSERT(tensors.size() == pieces_.size());
    options.compute = compute_;
    const auto& kernels = layer_kernels<T>(options);
    for (std::size_t n = 0; n < pieces_.size(); ++n) {
      const Piece& piece = pieces_[n];
      tensors[n]->resize(piece.extent);
      for_each_part(tensors[n]->size(), options, [&](Index first, Index count) {
        kernels.rounding->widen(piece.numbers.data() + first, tensors[n]->data() + first, count);
      });
    }
  }

 private:
  struct Piece {
    typename Tensor3<T>::Dimensions extent;
    std::vector<std::uint16_t> numbers;
  };

  static void clamp_to_half(T* x, Index count) {
    constexpr T most = 65504;
    for (Index n = 0; n < count; ++n) x[n] = std::clamp(x[n], -most, most);
  }

  // f(first, count) of 16384 numbers a task.
  template <class F>
  static void for_each_part(Index size, const Options& options, const F& f) {
    constexpr Index most = 16384;
    const Index tasks = (size + most - 1) / most;
    const int workers = worker_count(tasks, options.threads, options.executor);
    parallel_for(tasks, workers, options.executor,
                 [&](Index task, int) { f(task * most, std::min(most, size - task * most)); });
  }

  Compute compute_ = Compute::full;
  std::vector<Piece> pieces_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
