// The mainloop without tensor cores: exact attention in float and double, every product an ordinary
// multiply-add in the inputs' own type.
//
// In the second pass, values of masked keys are left out of p·v. Sums of values near the largest
// number overflow where their mean does not: then a third time, with weights so small, by a power
// of 2, that they don't.
#pragma once

#include <cmath>
#include <limits>

#include "heed/cuda/kernel/forward_call.cuh"
#include "heed/cuda/kernel/kv_tile_iterator.cuh"
#include "heed/cuda/kernel/scheduler.cuh"
#include "heed/cuda/kernel/softmax.cuh"

namespace heed::cuda {

// As many elements as one load of 16 bytes brings.
template <class R>
struct alignas(16) Lane16 {
  static constexpr int count = 16 / static_cast<int>(sizeof(R));
  R x[static_cast<std::size_t>(count)];
};

template <class KernelTraits, class R>
class MainloopSimt {
 public:
  using Traits = KernelTraits;
  using Element = R;
  using Fragments = SimtFragments<KernelTraits, R>;
  using State = SoftmaxState<Fragments>;
  using Scores = typename Fragments::Scores;
  template <bool Plain_score>
  using Powers = PowersOfE<R>;

  HEED_GPU MainloopSimt(const ForwardParams<R, R>& params, const Task& task)
      : params_(params),
        task_(task),
        q_(params.q.matrix(task.b, task.h).data),
        k_(params.k.matrix(task.b, task.h / params.shape.group()).data),
        v_(params.v.matrix(task.b, task.h / params.shape.group()).data) {}

  HEED_GPU void begin_pass() const {}
  HEED_GPU void end_pass() const {}

  HEED_GPU bool last_pass() const { return shrink_ != R(1); }
  HEED_GPU void next_pass() {
    for (Index keys = leaves_out_ ? 2 * params_.shape.Lk : 0; keys > 0; keys /= 2) shrink_ /= 2;
    leaves_out_ = true;
  }

  template <class Weigh>
  HEED_GPU void attend(State& state, const KvTileIterator<KernelTraits>& kv_tiles, int first,
                       const Weigh& weigh) {
    for (int tile = kv_tiles.next(0); tile < KvTileIterator<KernelTraits>::span;
         tile = kv_tiles.next(tile + 1)) {
      const int k_begin = (first + tile) * KernelTraits::keys;
      Scores scores;
      dots(scores, k_begin);
      weigh(scores, tile);
      store_weights(scores);
      load<KernelTraits::keys, KernelTraits::width>(KernelTraits::v_at, KernelTraits::width, v_,
                                                    params_.v, k_begin, task_.v_begin);
      ptx::barrier();
      leaves_out_ ? add_unmasked_values(state) : add_values(state);
    }
  }

  HEED_GPU void keep_unmasked(const Scores& scores) {
    if (leaves_out_) unmasked_ = unmasked_of<Fragments>(scores);
  }

  HEED_GPU void begin_store() const {}
  HEED_GPU void store_row(const typename Fragments::Out& out, int r,
                          const FinishedRow<R>& end) const {
    const int i = task_.q_begin + end.row;
    if (i >= params_.shape.Lq) return;
#pragma unroll
    for (int c = 0; c < values; ++c) {
      const Index d = task_.v_begin + value_column(c);
      if (d >= params_.shape.Dv) continue;
      ptx::store_global(&params_.out(task_.b, task_.h, i, d),
                        end.fully_masked ? R(0) : mean(out[r][c], end.sum) * end.keep_scale);
    }
  }
  HEED_GPU void end_store() const {}

  // Of the value's dimensions, the first of this block.
  HEED_GPU int value_begin() const { return task_.v_begin; }

 private:
  static constexpr int per = KernelTraits::per_thread;
  static constexpr int values = KernelTraits::width / 16;            // columns of a thread
  static constexpr R largest_value = std::numeric_limits<R>::max();  // nvcc refuses it in a kernel
  template <class X>
  using EachRow = X[static_cast<std::size_t>(per)];

  // scores = q · kᵀ, `depth` dimensions at a time.
  HEED_GPU void dots(Scores& scores, int k_begin) {
    for_each(scores, [](R& s) { s = 0; });
#pragma unroll 1
    for (int d = 0; d < static_cast<int>(params_.shape.D); d += KernelTraits::depth) {
      ptx::barrier();  // the pieces before have been read
      load<KernelTraits::queries, KernelTraits::depth>(KernelTraits::q_at, KernelTraits::dot_row,
                                                       q_, params_.q, task_.q_begin, d);
      load<KernelTraits::keys, KernelTraits::depth>(KernelTraits::k_at, KernelTraits::dot_row, k_,
                                                    params_.k, k_begin, d);
      ptx::barrier();
      add_dots(scores);
    }
  }

  HEED_GPU void add_dots(Scores& scores) {
    using Piece = Lane16<R>;
#pragma unroll 1
    for (int d = 0; d < KernelTraits::depth; d += Piece::count) {
      EachRow<Piece> q;
      EachRow<Piece> k;
#pragma unroll
      for (int r = 0; r < per; ++r) {
        q[r] = ptx::load_shared<Piece>(KernelTraits::q_at +
                                       KernelTraits::bytes(row(r) * KernelTraits::dot_row + d));
        k[r] = ptx::load_shared<Piece>(KernelTraits::k_at +
                                       KernelTraits::bytes(column(r) * KernelTraits::dot_row + d));
      }
#pragma unroll
      for (int n = 0; n < Piece::count; ++n) {
#pragma unroll
        for (int r = 0; r < per; ++r) {
#pragma unroll
          for (int c = 0; c < per; ++c) scores[r][c] += q[r].x[n] * k[c].x[n];
        }
      }
    }
  }

  // Weights to shared memory; −1 stands there for a masked key that is left out.
  HEED_GPU void store_weights(Scores& weights) {
    int n = 0;
    for_each(weights, [&](R p) {
      const bool left_out = leaves_out_ && (unmasked_ >> n & 1u) == 0;
      ptx::store_shared(
          KernelTraits::p_at +
              KernelTraits::bytes(row(n / per) * KernelTraits::weight_row + column(n % per)),
          left_out ? R(-1) : p * shrink_);
      ++n;
    });
  }

  HEED_GPU void add_values(State& state) {
    using Piece = Lane16<R>;
    constexpr int n = Piece::count;
#pragma unroll 1
    for (int key = 0; key < KernelTraits::keys; key += n) {
      EachRow<Piece> p;
#pragma unroll
      for (int r = 0; r < per; ++r) {
        p[r] = ptx::load_shared<Piece>(
            KernelTraits::p_at + KernelTraits::bytes(row(r) * KernelTraits::weight_row + key));
      }
#pragma unroll
      for (int k = 0; k < n; ++k) {
#pragma unroll
        for (int c = 0; c < values; c += n) {
          const auto v = ptx::load_shared<Piece>(
              KernelTraits::v_at +
              KernelTraits::bytes((key + k) * KernelTraits::width + value_column(c)));
#pragma unroll
          for (int r = 0; r < per; ++r) {
#pragma unroll
            for (int e = 0; e < n; ++e) state.out[r][c + e] += p[r].x[k] * v.x[e];
          }
        }
      }
    }
  }

  HEED_GPU void add_unmasked_values(State& state) {
#pragma unroll 1
    for (int key = 0; key < KernelTraits::keys; ++key) {
#pragma unroll
      for (int r = 0; r < per; ++r) {
        const R p = ptx::load_shared<R>(
            KernelTraits::p_at + KernelTraits::bytes(row(r) * KernelTraits::weight_row + key));
        if (p == R(-1)) continue;
#pragma unroll
        for (int c = 0; c < values; ++c) {
          state.out[r][c] +=
              p *
              ptx::load_shared<R>(KernelTraits::v_at +
                                  KernelTraits::bytes(key * KernelTraits::width + value_column(c)));
        }
      }
    }
  }

  // shared[r][c] = x(row_begin + r, column_begin + c), zero outside x.
  template <int Rows, int Columns>
  HEED_GPU static void load(ptx::Shared to, int stride, const R* data, const View<const R, 4>& x,
                            int row_begin, int column_begin) {
    constexpr int rows_at_once = KernelTraits::threads / Columns;
    int r = ptx::thread() / Columns;
    const int c = ptx::thread() % Columns;
    const int rows = column_begin + c < x.extent[3] ? static_cast<int>(x.extent[2]) - row_begin : 0;
    const R* from = data + (row_begin + static_cast<Index>(r)) * x.stride[2] +
                    (column_begin + static_cast<Index>(c)) * x.stride[3];
#pragma unroll 2
    for (; r < Rows; r += rows_at_once, from += rows_at_once * x.stride[2]) {
      ptx::store_shared(to + KernelTraits::bytes(r * stride + c),
                        r < rows ? ptx::load_global(from) : R(0));
    }
  }

  // A mean of finite values is finite: rounding alone does not make it infinite.
  HEED_GPU R mean(R weighted, R sum) const {
    const R x = weighted / sum / shrink_;
    const bool rounded = shrink_ != R(1) && !is_finite(x) && is_finite(weighted) && !is_nan(x);
    return rounded ? std::copysign(largest_value, weighted) : x;
  }

  HEED_GPU static int row(int r) { return Fragments::first_row() + r; }
  HEED_GPU static int column(int c) { return Fragments::first_column() + 16 * c; }
  // Column c of a thread, c counting in whole loads.
  HEED_GPU static int value_column(int c) {
    constexpr int n = Lane16<R>::count;
    return (ptx::thread() % 16 + c / n * 16) * n + c % n;
  }

  const ForwardParams<R, R>& params_;
  Task task_;
  const R *q_, *k_, *v_;  // of this head
  std::uint32_t unmasked_ = 0;
  bool leaves_out_ = false;  // values of masked keys
  R shrink_ = 1;             // of weights, before values are added
};

}  // namespace heed::cuda
