#include "models/model_weight.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <span>

#include "heed/core/eigen.hpp"
#include "heed/core/parallel.hpp"
#include "heed/nn/product.hpp"
#include "heed/simd/kernels.hpp"
#include "models/code_panel.hpp"
#include "models/digit_products.hpp"
#include "models/gguf_blocks.hpp"
#include "models/parallel_ranges.hpp"
#include "models/printable.hpp"

namespace heed::models {
namespace {

static_assert(code_block == Index{quantised_block});

// Rows of x that are multiplied by codes; more of them by the floats that codes become once.
constexpr Index few_rows = 12;
constexpr Index most_columns = 64;  // NR of any instruction set

Index panel_columns() { return simd::layer_kernels<float>(isa()).tile_shape.nr; }

std::size_t at(Index n) { return static_cast<std::size_t>(n); }

// One part of a weight with its bytes.
struct Source {
  GgufType type;
  Index first, rows;  // of the whole weight
  std::vector<std::byte> bytes;
};

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

std::vector<std::uint64_t> shape_of(const WeightPart& part, Index in) {
  return {static_cast<std::uint64_t>(part.rows), static_cast<std::uint64_t>(in)};
}

}  // namespace

// Writes blocks of codes where the panels have them.
struct ModelWeight::Writer {
  ModelWeight& weight;
  Index nr = panel_columns();

  // Block n of a source. False where it is not finite.
  bool put(const Source& source, Index n) const {
    const Index blocks = weight.in_ / code_block, row = source.first + n / blocks;
    const auto bytes = gguf_block(source.type).bytes;
    QuantisedBlock block =
        quantised_block_of(source.type, std::span(source.bytes).subspan(at(n) * bytes, bytes));
    if (weight.bits_ == 4 && source.type == GgufType::q4_0) {  // d·(q − 8) = d·q − 8·d
      for (std::int8_t& code : block.codes) code = static_cast<std::int8_t>(code + 8);
      block.offset = -8 * block.scale;
    }
    const Index scale = (row / nr * blocks + n % blocks) * nr + row % nr;
    weight.scales_[at(scale)] = block.scale;
    if (!weight.offsets_.empty()) weight.offsets_[at(scale)] = block.offset;
    put_codes(block, row, n % blocks * code_block);
    return is_finite(block.scale) && is_finite(block.offset);
  }

 private:
  void put_codes(const QuantisedBlock& block, Index row, Index k) const {
    const Index in_word = 32 / weight.bits_;
    const std::uint32_t mask = weight.bits_ == 4 ? 0xfU : 0xffU;
    for (Index i = 0; i < code_block; i += in_word) {
      std::uint32_t word = 0;
      for (int n = 0; n < in_word; ++n) {
        const int bit = weight.bits_ == 4 ? code_bit<4>(n) : code_bit<8>(n);
        word |= (static_cast<std::uint32_t>(block.codes[at(i + n)]) & mask) << bit;
      }
      const Index place = ((row / nr * weight.in_ + k + i) / in_word) * nr + row % nr;
      weight.words_[at(place)] = static_cast<std::int32_t>(word);
    }
  }
};

ModelWeight::ModelWeight(const Gguf& file, const std::vector<WeightPart>& parts, Index in,
                         WeightFormat format, const nn::Options& options)
    : in_(in) {
  bool has_codes = format == WeightFormat::codes;
  for (const WeightPart& part : parts) {
    has_codes = has_codes && is_quantised(file.tensor(part.name, shape_of(part, in)).type);
    out_ += part.rows;
  }
  if (has_codes) {
    take_codes(file, parts, options);
  } else {
    take_floats(file, parts, options);
  }
}

void ModelWeight::take_codes(const Gguf& file, const std::vector<WeightPart>& parts,
                             const nn::Options& options) {
  const auto has = [&](GgufType type) {
    return std::ranges::any_of(parts, [&](const WeightPart& part) {
      return file.tensor(part.name, shape_of(part, in_)).type == type;
    });
  };
  bits_ = has(GgufType::q8_0) ? 8 : 4;
  const Index elements = checked_product(panels() * panel_columns(), in_);
  words_.resize(at(elements / 32 * bits_));
  scales_.resize(at(elements / code_block));
  if (bits_ == 4 || has(GgufType::q4_1)) offsets_.resize(scales_.size());
  Index first = 0;
  for (const WeightPart& part : parts) {
    const auto shape = shape_of(part, in_);
    const Source source{file.tensor(part.name, shape).type, first, part.rows,
                        file.bytes(part.name, shape)};
    const Index blocks = in_ / code_block;
    std::atomic<bool> finite{true};
    parallel_for(part.rows, worker_count(part.rows, options.threads, options.executor),
                 options.executor, [&](Index row, int) {
                   for (Index n = row * blocks; n < (row + 1) * blocks; ++n) {
                     if (!Writer{*this}.put(source, n)) finite = false;
                   }
                 });
    if (!finite) {
      file.refuse("tensor " + printable(part.name) + " has elements that are not finite");
    }
    first += part.rows;
  }
}

void ModelWeight::take_floats(const Gguf& file, const std::vector<WeightPart>& parts,
                              const nn::Options& options) {
  std::vector<float> all;
  for (const WeightPart& part : parts) {
    const std::vector<float> values = file.finite_floats(part.name, shape_of(part, in_));
    all.insert(all.end(), values.begin(), values.end());
  }
  floats_.resize(at(nn::packed_size<float>(out_, in_, options)));
  nn::pack_weights(matrix_of<const float>(all.data(), out_, in_), floats_.data(), options);
}

Index ModelWeight::panels() const { return (out_ + panel_columns() - 1) / panel_columns(); }

CodePanel ModelWeight::panel(Index p) const {
  const Index elements = p * in_ * panel_columns(), scales = elements / code_block;
  return {words_.data() + elements / 32 * bits_, scales_.data() + scales,
          offsets_.empty() ? nullptr : offsets_.data() + scales, in_, bits_};
}

std::size_t ModelWeight::bytes() const {
  return sizeof(float) * (words_.size() + scales_.size() + offsets_.size() + floats_.size());
}

void ModelWeight::row_into(Index row, float* to) const {
  HEED_ASSERT(row >= 0 && row < out_);
  const Index nr = panel_columns(), p = row / nr, column = row % nr;
  if (!has_codes()) {
    for (Index k = 0; k < in_; ++k) to[k] = floats_[at((p * in_ + k) * nr + column)];
    return;
  }
  std::vector<float> panel_floats(at(in_ * nr));
  simd::for_isa<float, PanelToFloats>(isa())({panel(p), panel_floats.data()});
  for (Index k = 0; k < in_; ++k) to[k] = panel_floats[at(k * nr + column)];
}

void ModelWeight::multiply_codes(const View<float, 2>& y, const View<const float, 2>& x,
                                 std::vector<float>& room, const nn::Options& options) const {
  const Index nr = panel_columns(), rows = x.extent[0];
  const DigitKernels* digits = digit_kernels(isa());
  const DigitBlock* blocks = digits != nullptr ? split_rows(*digits, x, room) : nullptr;
  const float* block_sums = digits == nullptr ? sum_blocks(x, room) : nullptr;
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
  if (!has_codes()) return floats_.data();
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
  if (has_codes() && x.extent[0] <= few_rows) return multiply_codes(y, x, room, options);
  nn::Affine<float> affine{matrix_of<const float>(nullptr, out_, in_)};
  affine.packed = {as_floats(room, options), options.compute};
  nn::affine_into(nn::as_batch(y), nn::as_batch(x), affine, options);
}

}  // namespace heed::models
