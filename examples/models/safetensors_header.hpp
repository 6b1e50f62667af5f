// The grammar of a safetensors header, read as a stream of JSON events.
//
// A stream, not a document: nothing is built for text that has no place in a header, so neither
// deep nesting nor long arrays of a hostile file cost memory, and each key may come once.
#pragma once

#include <string_view>

#include "models/safetensors.hpp"

namespace heed::models {

// The tensors as written; their numbers are not yet compared with anything.
// Throws heed::Error for text that is not JSON (bad UTF-8 included), not of the header's form, or
// followed by other than spaces.
TensorTable read_safetensors_header(std::string_view header);

}  // namespace heed::models
