// HEED_DEVICE: marks a function that a CUDA kernel may call too; nothing for any other compiler.
#pragma once

#if defined(__CUDACC__)
#define HEED_DEVICE __host__ __device__
#else
#define HEED_DEVICE
#endif
