// The values of a GGUF header's pairs.
#pragma once

#include "models/gguf_cursor.hpp"

namespace heed::models {

// The type and the value behind a key. Throws heed::Error for a type that there is not, and for an
// array of arrays.
GgufValue take_gguf_value(GgufCursor& cursor);

}  // namespace heed::models
