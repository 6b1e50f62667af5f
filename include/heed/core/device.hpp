// HEED_DEVICE: marks a function that a CUDA kernel may call too; nothing for any other compiler.
// HEED_DEVICE_ONLY marks one that only a kernel may call: nvcc then refuses, by name, an unmarked
// functor that it reaches. Such functions use nothing of std but <cmath>, <limits> and types: nvcc
// lets a kernel call constexpr library functions only under a flag that users need not know.
#pragma once

#if defined(__CUDACC__)
#define HEED_DEVICE __host__ __device__
#define HEED_DEVICE_ONLY __device__
#else
#define HEED_DEVICE
#define HEED_DEVICE_ONLY
#endif
