// Loading of a weight: the panels that model_weight.cpp multiplies.
#include <algorithm>
#include <atomic>
#include <bit>
#include <span>

#include "heed/core/eigen.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/types.hpp"
#include "heed/nn/packed.hpp"
#include "models/code_panel.hpp"
#include "models/gguf_blocks.hpp"
#include "models/model_weight.hpp"
#include "models/printable.hpp"

namespace heed::models {
namespace {

static_assert(code_block == Index{quantised_block});

std::size_t at(Index n) { return static_cast<std::size_t>(n); }

// One part of a weight with its bytes.
struct Source {
  GgufType type;
  Index first, rows;  // of the whole weight
  std::vector<std::byte> bytes;
};

std::vector<std::uint64_t> shape_of(const WeightPart& part, Index in) {
  return {static_cast<std::uint64_t>(part.rows), static_cast<std::uint64_t>(in)};
}

// f(row) for each of so many rows, in parallel. True where all are.
template <class F>
bool all_rows(Index rows, const nn::Options& options, const F& f) {
  std::atomic<bool> all{true};
  parallel_for(rows, worker_count(rows, options.threads, options.executor), options.executor,
               [&](Index row, int) {
                 if (!f(row)) all = false;
               });
  return all;
}

// Types of all parts, each of which must have its shape.
std::vector<GgufType> types_of(const Gguf& file, const std::vector<WeightPart>& parts, Index in) {
  std::vector<GgufType> types;
  for (const WeightPart& part : parts) {
    types.push_back(file.tensor(part.name, shape_of(part, in)).type);
  }
  return types;
}

}  // namespace

// Writes elements where the panels have them.
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

  // A row of floats as bfloat16. False where one is not finite as such.
  bool put(const float* from, Index row) const {
    bool finite = true;
    const auto rounded = [&](float x) {
      const BFloat16 number(x);
      finite = finite && is_finite(static_cast<float>(number));
      return std::uint32_t{std::bit_cast<std::uint16_t>(number)};
    };
    for (Index k = 0; k < weight.in_; k += 2) {
      const std::uint32_t word = rounded(from[k]) | rounded(from[k + 1]) << code_bit<16>(1);
      const Index place = (row / nr * weight.in_ + k) / 2 * nr + row % nr;
      weight.words_[at(place)] = static_cast<std::int32_t>(word);
    }
    return finite;
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
  for (const WeightPart& part : parts) out_ += part.rows;
  const std::vector<GgufType> types = types_of(file, parts, in);
  const auto has_bfloat16 = [&] {
    return std::ranges::all_of(types, [](GgufType type) { return type == GgufType::bf16; });
  };
  if (format == WeightFormat::file && std::ranges::all_of(types, is_quantised)) {
    take_codes(file, parts, options);
  } else if (in % code_block == 0 && (format == WeightFormat::bfloat16 ||
                                      (format == WeightFormat::file && has_bfloat16()))) {
    take_bfloat16(file, parts, options);
  } else {
    take_floats(file, parts, options);
  }
}

void ModelWeight::allocate_words(int bits) {
  bits_ = bits;
  words_.resize(at(checked_product(panels() * panel_columns(), in_) / 32 * bits));
}

void ModelWeight::take_bfloat16(const Gguf& file, const std::vector<WeightPart>& parts,
                                const nn::Options& options) {
  allocate_words(16);
  Index first = 0;
  for (const WeightPart& part : parts) {
    const std::vector<float> values = file.finite_floats(part.name, shape_of(part, in_));
    const auto put = [&](Index row) {
      return Writer{*this}.put(values.data() + row * in_, first + row);
    };
    if (!all_rows(part.rows, options, put)) {
      file.refuse("tensor " + printable(part.name) + " has elements beyond the largest bfloat16");
    }
    first += part.rows;
  }
}

void ModelWeight::take_codes(const Gguf& file, const std::vector<WeightPart>& parts,
                             const nn::Options& options) {
  const std::vector<GgufType> types = types_of(file, parts, in_);
  const auto has = [&](GgufType type) { return std::ranges::count(types, type) > 0; };
  allocate_words(has(GgufType::q8_0) ? 8 : 4);
  scales_.resize(words_.size() * at(32 / bits_) / at(code_block));
  if (bits_ == 4 || has(GgufType::q4_1)) offsets_.resize(scales_.size());
  Index first = 0;
  for (const WeightPart& part : parts) {
    const auto shape = shape_of(part, in_);
    const Source source{file.tensor(part.name, shape).type, first, part.rows,
                        file.bytes(part.name, shape)};
    const Index blocks = in_ / code_block;
    const auto put = [&](Index row) {
      bool finite = true;
      for (Index n = row * blocks; n < (row + 1) * blocks; ++n) {
        finite = Writer{*this}.put(source, n) && finite;
      }
      return finite;
    };
    if (!all_rows(part.rows, options, put)) {
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

}  // namespace heed::models
