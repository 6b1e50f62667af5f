// A weight in 4, 8 or 16 bits an element, multiplied from there; or as floats.
//
// An element is scale·code + offset, a scale and an offset for 32 codes of a row, or a bfloat16.
// Both lie in the kernels' panels (code_panel.hpp), so that a panel becomes floats in one pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "heed/core/view.hpp"
#include "heed/nn/options.hpp"
#include "models/gguf.hpp"
#include "models/weight_memory.hpp"

namespace heed::models {

struct CodePanel;

// file      codes and bfloat16 as the file has them; floats for its other tensors
// bfloat16  rounded to the nearest bfloat16; floats where a row is not a multiple of 32
enum class WeightFormat { file, bfloat16, floats };

// Some rows of a weight, as a tensor of a file.
struct WeightPart {
  std::string name;
  Index rows;
};

class ModelWeight {
 public:
  // The rows of these tensors, one part below the other: [Σ rows, in]. Throws heed::Error where a
  // tensor is missing or of another shape, or has elements that are not finite in the format.
  ModelWeight(const Gguf& file, const std::vector<WeightPart>& parts, Index in, WeightFormat format,
              const nn::Options& options = {});

  Index out() const { return out_; }
  Index in() const { return in_; }
  std::size_t bytes() const;  // that a product reads

  // y = x Wᵀ
  //
  //   x     [n, in]    rows contiguous
  //   y     [n, out]   rows contiguous
  //   room  of any size; holds the weight as floats where n is large
  //
  // The bits of an output depend neither on the threads nor, up to 12 rows and above, on n.
  void multiply_into(const View<float, 2>& y, const View<const float, 2>& x,
                     std::vector<float>& room, const nn::Options& options) const;

  // Row `row`, [in].
  void row_into(Index row, float* to) const;

 private:
  struct Writer;

  bool has_words() const { return !words_.empty(); }
  static Index panel_columns();  // NR
  Index panels() const;
  void allocate_words(int bits);
  CodePanel panel(Index p) const;
  void take_bfloat16(const Gguf& file, const std::vector<WeightPart>& parts,
                     const nn::Options& options);
  void take_codes(const Gguf& file, const std::vector<WeightPart>& parts,
                  const nn::Options& options);
  void take_floats(const Gguf& file, const std::vector<WeightPart>& parts,
                   const nn::Options& options);
  void multiply_words(const View<float, 2>& y, const View<const float, 2>& x,
                      std::vector<float>& room, const nn::Options& options) const;
  const float* as_floats(std::vector<float>& room, const nn::Options& options) const;

  Index out_ = 0, in_;
  int bits_ = 8;                          // of a code, or 16, of a bfloat16
  WeightVector<std::int32_t> words_;      // [panels, in · bits / 32, NR]
  WeightVector<float> scales_, offsets_;  // [panels, in / 32, NR]; no offsets where all are 0
  WeightVector<float> floats_;            // [panels, in, NR] where there are no words
};

}  // namespace heed::models
