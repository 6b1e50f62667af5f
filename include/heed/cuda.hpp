// heed on CUDA devices: heed::cuda::attention. For .cu files; links cudart, needs nothing else.
#pragma once

#if !defined(__CUDACC__)
#error "heed/cuda.hpp holds kernels: include it in a .cu file, compiled by nvcc"
#endif

#include "heed/core/abi.hpp"
#include "heed/core/set_macros_aside.inl"

#include "heed/cuda/attention.cuh"
#include "heed/mask/bigbird.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/dense.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/strided.hpp"
#include "heed/score/alibi.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/soft_cap.hpp"
#include "heed/version.hpp"

#include "heed/core/restore_macros.inl"
