#define HEED_DEFINE_KERNELS
#include <heed/heed.hpp>
