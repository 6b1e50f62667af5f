// cuda_attention.cu in a build without CUDA.
#include <string>

#include "heed/core/error.hpp"
#include "models/cuda_attention.hpp"

namespace heed::models {

void require_cuda(const char* who) {
  throw Error(
      std::string(who) +
      ": this program was built without CUDA; where nvcc is installed, CMake builds it with");
}

void cuda_attention_into(const View<float, 4>& /*out*/, const View<const float, 4>& /*q*/,
                         const View<const float, 4>& /*k*/, const View<const float, 4>& /*v*/,
                         std::span<const int> /*lengths*/) {
  require_cuda("heed::models");
}

}  // namespace heed::models
