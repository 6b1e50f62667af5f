// A learnable array, and how the parameters of a module are reached: by name, each exactly once.
//
// A module has one static function
//   template <class Self, class Visit>
//   static void each_parameter(Self& self, const Visit& visit, const std::string& prefix);
// that calls visit(prefix + "name", parameter) for its own and hands the prefix on to its parts.
// Loading, counting and initialising need nothing else; a user's module joins by writing it.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/core/error.hpp"
#include "heed/core/view.hpp"
#include "heed/nn/packed.hpp"

namespace heed::nn {

// Column-major in memory, whatever is loaded: the kernels take several outputs of [out, in] weights
// side by side, which are then neighbours.
template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

inline namespace HEED_ABI {

template <class T>
struct Parameter {
  Matrix<T> value;   // [out, in], or [size, 1] for rank 1
  int rank = 1;      // 1: [size], 2: [out, in]
  Index fan_in = 0;  // inputs and outputs of the map it belongs to; 0: not initialised at random
  Index fan_out = 0;
  T start = 0;  // what a parameter without fans begins as
  // The weight as kernels read it, from nn::prepare on, or null.
  std::shared_ptr<const PackedWeight<T>> packed = {};
  double deviation = 0;  // above 0: begins as N(0, deviation²), whatever else is initialised how
  bool tied = false;     // a table that is an output layer's weight too

  // True for what linear maps multiply by.
  bool is_map() const { return rank == 2 && (fan_in != 0 || tied); }

  // Each throws heed::Error for a size below 0.
  static Parameter weight(Index out, Index in) { return {zeros(out, in), 2, in, out, T(0)}; }
  static Parameter bias(Index out, Index in) { return {zeros(out, 1), 1, in, out, T(0)}; }
  static Parameter constant(Index size, T start) {
    Parameter all{zeros(size, 1), 1, 0, 0, start};
    all.value.setConstant(start);
    return all;
  }
  // Rows that are looked up; they begin as N(0, deviation²): 1 as torch.nn.Embedding's.
  static Parameter table(Index rows, Index size, double deviation = 1) {
    if (!(deviation >= 0 && is_finite(deviation))) {
      throw Error("heed::nn::Parameter: deviation " + std::to_string(deviation) +
                  " is not a finite number of at least 0");
    }
    return {zeros(rows, size), 2, 0, 0, T(0), {}, deviation};
  }
  // One learned row; begins as torch.nn.init.xavier_normal_ makes [1, 1, size].
  static Parameter row(Index size) {
    const double deviation = 1 / std::sqrt(static_cast<double>(size));
    return {zeros(size, 1), 1, 0, 0, T(0), {}, deviation};
  }

  static Matrix<T> zeros(Index rows, Index cols) {
    if (rows >= 0 && cols >= 0) return Matrix<T>::Zero(rows, cols);
    throw Error("heed::nn::Parameter: a size is below 0 ([" + std::to_string(rows) + "," +
                std::to_string(cols) + "])");
  }

  Index size() const { return value.size(); }
  View<const T, 2> view() const { return view_of(value); }
  std::vector<Index> shape() const {
    if (rank == 1) return {value.rows()};
    return {value.rows(), value.cols()};
  }
};

// "[384,1536]"
inline std::string to_string(const std::vector<Index>& shape) {
  std::string text = "[";
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (d > 0) text += ',';
    text += std::to_string(shape[d]);
  }
  return text + "]";
}

// Calls visit(name, parameter) for every parameter of a module, always in the same order; the
// parameter is const where the module is.
template <class Module, class Visit>
void each_parameter(Module& module, const Visit& visit, const std::string& prefix = {}) {
  std::remove_const_t<Module>::each_parameter(module, visit, prefix);
}

// Numbers to learn in a module.
template <class Module>
Index parameter_count(const Module& module) {
  Index count = 0;
  each_parameter(module, [&](const std::string&, const auto& p) { count += p.size(); });
  return count;
}

}  // namespace HEED_ABI
}  // namespace heed::nn
