// JSON of a model's folder, as a tree.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace heed::models {

// A null value for text that is not JSON. Values nested deeper than eight levels are left out,
// so that a hostile file costs no more memory than its size.
nlohmann::json parse_json(std::string_view text);

}  // namespace heed::models
