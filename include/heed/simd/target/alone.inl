// Opens a part of a target by itself, as an editor or a syntax check does: all targets are there
// already, and the part is parsed once more in a namespace that sees the names of HEED_ALONE.
// HEED_ALONE is portable, avx512_bf16 or amx; alone_end.inl closes it.
#include "heed/simd/kernels.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wpsabi"

namespace heed::simd {
inline namespace HEED_ABI {
namespace HEED_ALONE::alone {
