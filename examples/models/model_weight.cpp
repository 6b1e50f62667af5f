#include "models/model_weight.hpp"

#include <algorithm>

#include "heed/core/eigen.hpp"
#include "heed/core/parallel.hpp"
#include "heed/nn/product.hpp"
#include "heed/simd/kernels.hpp"
#include "models/code_panel.hpp"
#include "models/digit_products.hpp"
#include "models/parallel_ranges.hpp"

namespace heed::models {
namespace {

// Rows of x that are multiplied by words; more of them by the floats that words become once.
constexpr Index few_rows = 12;
constexpr Index most_columns = 64;  // NR of any instruction set

std::size_t at(Index n) { return static_cast<std::size_t>(n); }

// The sums of the blocks of each row, [rows, in / 32].
const float* sum_blocks(const View<const float, 2>& x, std::vector<float>& room) {
  const Index blocks = x.extent[1] / code_block;
  if (room.size() < at(x.extent[0] * blocks)) room.resize(at(x.extent[0] * blocks));
  for (Index n = 0; n < x.extent[0] * blocks; ++n) {
    const float* from = x.data + n / blocks * x.stride[0] + n % blocks * code_block;
    room[at(n)] = Eigen::Map<const Eigen::Array<float, code_block, 1>>(from).sum();
  }
  return room.data();
}

// The rows in digits, [rows, in / 32].
const DigitBlock* split_rows(const DigitKernels& kernels, const View<const float, 2>& x,
                             std::vector<float>& room) {
  const Index blocks = x.extent[1] / code_block;
  const std::size_t size = sizeof(DigitBlock) / sizeof(float) * at(x.extent[0] * blocks);
  if (room.size() < size) room.resize(size);
  auto* to = reinterpret_cast<DigitBlock*>(room.data());
  for (Index r = 0; r < x.extent[0]; ++r) {
    kernels.split(x.data + r * x.stride[0], x.extent[1], to + r * blocks);
  }
  return to;
}

}  // namespace

Index ModelWeight::panel_columns() { return simd::layer_kernels<float>(isa()).tile_shape.nr; }

Index ModelWeight::panels() const { return (out_ + panel_columns() - 1) / panel_columns(); }

CodePanel ModelWeight::panel(Index p) const {
  const Index elements = p * in_ * panel_columns();
  const Index scales = scales_.empty() ? 0 : elements / code_block;
  return {words_.data() + elements / 32 * bits_, scales_.data() + scales,
          offsets_.empty() ? nullptr : offsets_.data() + scales, in_, bits_};
}

std::size_t ModelWeight::bytes() const {
  return sizeof(float) * (words_.size() + scales_.size() + offsets_.size() + floats_.size());
}

void ModelWeight::row_into(Index row, float* to) const {
  HEED_ASSERT(row >= 0 && row < out_);
  const Index nr = panel_columns(), p = row / nr, column = row % nr;
  if (!has_words()) {
    for (Index k = 0; k < in_; ++k) to[k] = floats_[at((p * in_ + k) * nr + column)];
    return;
  }
  std::vector<float> panel_floats(at(in_ * nr));
  simd::for_isa<float, PanelToFloats>(isa())({panel(p), panel_floats.data()});
  for (Index k = 0; k < in_; ++k) to[k] = panel_floats[at(k * nr + column)];
}

void ModelWeight::multiply_words(const View<float, 2>& y, const View<const float, 2>& x,
                                 std::vector<float>& room, const nn::Options& options) const {
  const Index nr = panel_columns(), rows = x.extent[0];
  const DigitKernels* digits = bits_ == 16 ? nullptr : digit_kernels(isa());
  const DigitBlock* blocks = digits != nullptr ? split_rows(*digits, x, room) : nullptr;
  const bool sums_blocks = digits == nullptr && !offsets_.empty();
  const float* block_sums = sums_blocks ? sum_blocks(x, room) : nullptr;
  const auto multiply_floats = simd::for_isa<float, MultiplyPanel, Index>(isa());
  HEED_ASSERT(nr <= most_columns && rows <= few_rows);
  HEED_ASSERT(digits == nullptr || nr == 32);
  const auto multiply_panel = [&](Index p) {
    simd::Array<float, few_rows * most_columns> sums;
    if (digits != nullptr) {
      digits->multiply(panel(p), blocks, rows, sums);
    } else {
      multiply_floats({panel(p), x.data, x.stride[0], block_sums, sums}, rows);
    }
    const Index columns = std::min(nr, out_ - p * nr);
    for (Index r = 0; r < rows; ++r) {
      std::copy_n(sums + r * nr, columns, y.data + r * y.stride[0] + p * nr);
    }
  };
  parallel_ranges(panels(), worker_count(panels(), options.threads, options.executor),
                  options.executor, multiply_panel);
}

const float* ModelWeight::as_floats(std::vector<float>& room, const nn::Options& options) const {
  if (!has_words()) return floats_.data();
  const Index size = in_ * panel_columns();
  if (room.size() < at(panels() * size)) room.resize(at(panels() * size));
  const auto convert = simd::for_isa<float, PanelToFloats>(isa());
  parallel_for(panels(), worker_count(panels(), options.threads, options.executor),
               options.executor, [&](Index p, int) {
                 convert({panel(p), room.data() + p * size});
               });
  return room.data();
}

void ModelWeight::multiply_into(const View<float, 2>& y, const View<const float, 2>& x,
                                std::vector<float>& room, const nn::Options& options) const {
  HEED_ASSERT(x.extent[1] == in_ && y.extent[1] == out_ && x.extent[0] == y.extent[0]);
  if (has_words() && x.extent[0] <= few_rows) return multiply_words(y, x, room, options);
  nn::Affine<float> affine{matrix_of<const float>(nullptr, out_, in_)};
  affine.packed = {as_floats(room, options), options.compute};
  nn::affine_into(nn::as_batch(y), nn::as_batch(x), affine, options);
}

}  // namespace heed::models
