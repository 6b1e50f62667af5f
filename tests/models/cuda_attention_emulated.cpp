// The models' attention on the GPU, with an emulated one: its source as it is.
#include "cuda/simt/runtime.hpp"
#include "models/cuda_attention.cu"

namespace {

const heed::simt::Runtime runtime(std::vector<heed::simt::Device>(1));

}  // namespace
