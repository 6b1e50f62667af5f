// The two products of a tile on tensor cores, for one warp's rows.
#pragma once

#include <type_traits>

#include "heed/cuda/arch/copy_sm80.cuh"
#include "heed/cuda/arch/mma_sm80.cuh"
#include "heed/cuda/kernel/copy_tile.cuh"
#include "heed/cuda/kernel/softmax.cuh"

namespace heed::cuda {

inline namespace HEED_ABI {

// A fragment as ldmatrix loads it and a product takes it.
template <class T>
HEED_GPU void round_operands(std::uint32_t (&x)[4]) {
  if constexpr (std::is_same_v<T, Tf32>) {
#pragma unroll
    for (std::uint32_t& bits : x) bits = ptx::round_tf32(__builtin_bit_cast(float, bits));
  }
}

// scores += q · kᵀ over the columns of one tile of each.
template <class KernelTraits, class T>
HEED_GPU void add_dots(typename MmaFragments<KernelTraits>::Scores& scores, int columns) {
  const auto queries = left_address<KernelTraits>(
      KernelTraits::q_at, ptx::thread() / ptx::warp_lanes * KernelTraits::warp_queries);
  const auto keys = transposed_address<KernelTraits>(KernelTraits::k_at);
  const int end = used_columns<KernelTraits>(columns);
#pragma unroll KernelTraits::dot_steps
  for (int column = 0; column < end; column += KernelTraits::dot_columns) {
    std::uint32_t q[KernelTraits::row_blocks][4];
#pragma unroll
    for (int r = 0; r < KernelTraits::row_blocks; ++r) {
      ptx::ldmatrix(q[r], queries.at(16 * r, column));
      round_operands<T>(q[r]);
    }
#pragma unroll
    for (int key = 0; key < KernelTraits::keys; key += 16) {
      std::uint32_t k[4];
      ptx::ldmatrix(k, keys.at(key, column));
      round_operands<T>(k);
#pragma unroll
      for (int r = 0; r < KernelTraits::row_blocks; ++r) {
        ptx::mma<T>(scores[r][key / 8], q[r], k[0], k[1]);
        ptx::mma<T>(scores[r][key / 8 + 1], q[r], k[2], k[3]);
      }
    }
  }
}

// 16 keys by 16 queries or columns, as operands of one product, or of two for tf32.
template <class T>
using Operands = std::uint32_t[sizeof(T) / 2][4];

// The weights of 16 keys as left operands: a thread holds of a product's sums exactly what it must
// bring to the next product. For tf32 that makes keys 2·t and 2·t + 1 of eight the product's t and
// t + 4: the values come in the same order.
template <class KernelTraits, class T>
HEED_GPU void pack_weights(Operands<T>& p,
                           const typename MmaFragments<KernelTraits>::Scores& weights, int r,
                           int key) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto& x = weights[r][key / 8 + half];
    if constexpr (std::is_same_v<T, Tf32>) {
      p[half][0] = ptx::round_tf32(x[0]);
      p[half][1] = ptx::round_tf32(x[2]);
      p[half][2] = ptx::round_tf32(x[1]);
      p[half][3] = ptx::round_tf32(x[3]);
    } else {
      p[0][2 * half] = ptx::pack<T>(x[0], x[1]);
      p[0][2 * half + 1] = ptx::pack<T>(x[2], x[3]);
    }
  }
}

// The same for weights of 1 where a key is seen.
template <class KernelTraits, class T>
HEED_GPU void pack_ones(Operands<T>& p, std::uint64_t unmasked, int r, int key) {
  const auto eight =
      static_cast<std::uint32_t>(unmasked >> (4 * (r * (KernelTraits::keys / 8) + key / 8)));
  const std::uint32_t one = from_float<T>(1).bits;
#pragma unroll
  for (int n = 0; n < 8; n += 2) {
    const std::uint32_t low = (eight >> n & 1u) * one;
    const std::uint32_t high = (eight >> (n + 1) & 1u) * one;
    if constexpr (std::is_same_v<T, Tf32>) {
      p[n / 4][n % 4 / 2] = low;
      p[n / 4][n % 4 / 2 + 2] = high;
    } else {
      p[0][n / 2] = low | high << 16;
    }
  }
}

// Values as right operands, 16 keys and 16 columns at a time.
template <class KernelTraits, class T>
class Values {
 public:
  HEED_GPU Values() : corner_(right_address<KernelTraits>(KernelTraits::v_at)) {}
  HEED_GPU void load(Operands<T>& v, int key, int column) const {
    ptx::ldmatrix_transposed(v[0], corner_.at(key, column));
  }

 private:
  LdmatrixAddress<KernelTraits> corner_;
};

// ldmatrix transposes nothing but 16-bit elements: a word at a time. The four keys and eight
// columns of a warp's load lie in 32 banks.
template <class KernelTraits>
class Values<KernelTraits, Tf32> {
 public:
  HEED_GPU Values()
      : even_(word_address<KernelTraits>(KernelTraits::v_at, fragment_column(), fragment_row())),
        odd_(word_address<KernelTraits>(KernelTraits::v_at, fragment_column() + 1,
                                        fragment_row())) {}
  HEED_GPU void load(Operands<Tf32>& v, int key, int column) const {
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const LdmatrixAddress<KernelTraits>& keys = n % 2 == 0 ? even_ : odd_;
      const ptx::Shared at = keys.at(key + n / 4 * 8, column + n / 2 % 2 * 8);
      v[n / 4][n % 4] = ptx::round_tf32(__builtin_bit_cast(float, ptx::load_words(at)));
    }
  }

 private:
  LdmatrixAddress<KernelTraits> even_, odd_;
};

// low += p · v of the first eight columns, high += p · v of the others.
template <class T>
HEED_GPU void add_product(float (&low)[4], float (&high)[4], const Operands<T>& p,
                          const Operands<T>& v) {
#pragma unroll
  for (std::size_t n = 0; n < sizeof(T) / 2; ++n) {
    ptx::mma<T>(low, p[n], v[n][0], v[n][1]);
    ptx::mma<T>(high, p[n], v[n][2], v[n][3]);
  }
}

// state.out += weights · v, `columns` of it.
template <class KernelTraits, class T>
HEED_GPU void add_values(SoftmaxState<MmaFragments<KernelTraits>>& state,
                         const typename MmaFragments<KernelTraits>::Scores& weights, int columns) {
  const Values<KernelTraits, T> values;
  const int end = used_columns<KernelTraits>(columns);
#pragma unroll
  for (int key = 0; key < KernelTraits::keys; key += 16) {
    Operands<T> p[KernelTraits::row_blocks];
#pragma unroll
    for (int r = 0; r < KernelTraits::row_blocks; ++r)
      pack_weights<KernelTraits, T>(p[r], weights, r, key);
#pragma unroll
    for (int column = 0; column < KernelTraits::width; column += 16) {
      if (!KernelTraits::exact && column >= end) break;
      Operands<T> v;
      values.load(v, key, column);
#pragma unroll
      for (int r = 0; r < KernelTraits::row_blocks; ++r) {
        auto& out = state.out[r];
        add_product<T>(out[column / 8], out[column / 8 + 1], p[r], v);
      }
    }
  }
}

// state.out[…][n] = state.out[…][n + 2]; what was first comes last.
template <class KernelTraits>
HEED_GPU void rotate(SoftmaxState<MmaFragments<KernelTraits>>& state) {
  constexpr int last = KernelTraits::width / 8 - 2;
#pragma unroll
  for (int r = 0; r < KernelTraits::row_blocks; ++r) {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const float first = state.out[r][e / 4][e % 4];
#pragma unroll
      for (int n = e / 4; n < last; n += 2) state.out[r][n][e % 4] = state.out[r][n + 2][e % 4];
      state.out[r][last + e / 4][e % 4] = first;
    }
  }
}

// state.out += `infinite` where a row sees a key whose value is marked: the tile of values holds 1
// for a mark and 0 for none. Sums come round to where loops that are not unrolled find them: with
// 16 columns at a time no register is spilled.
template <class KernelTraits, class T>
HEED_GPU void add_marked(SoftmaxState<MmaFragments<KernelTraits>>& state, std::uint64_t unmasked,
                         int columns, float infinite) {
  const Values<KernelTraits, T> values;
  const int end = used_columns<KernelTraits>(columns);
#pragma unroll 1
  for (int column = 0; column < KernelTraits::width; column += 16, rotate(state)) {
    if (!KernelTraits::exact && column >= end) continue;
    float marks[KernelTraits::row_blocks][2][4] = {};
#pragma unroll 1
    for (int key = 0; key < KernelTraits::keys; key += 16) {
      Operands<T> v;
      values.load(v, key, column);
#pragma unroll
      for (int r = 0; r < KernelTraits::row_blocks; ++r) {
        Operands<T> p;
        pack_ones<KernelTraits, T>(p, unmasked, r, key);
        add_product<T>(marks[r][0], marks[r][1], p, v);
      }
    }
#pragma unroll
    for (int r = 0; r < KernelTraits::row_blocks; ++r) {
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        if (marks[r][e / 4][e % 4] != 0) state.out[r][e / 4][e % 4] += infinite;
      }
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
