// The precision of products of floats.
#pragma once

namespace heed {

// Operands as they are, or each rounded to 16 bits on its way into a product. Sums are float in
// any case.
enum class Compute { full, bfloat16, half };

}  // namespace heed
