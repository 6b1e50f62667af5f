#include "models/json_text.hpp"

#include <nlohmann/json.hpp>

namespace heed::models {

nlohmann::json parse_json(std::string_view text) {
  using Json = nlohmann::json;
  // The parser takes a zero byte for the end of the text.
  if (text.find('\0') != std::string_view::npos) return {};
  constexpr int max_depth = 8;
  const auto shallow = [](int depth, Json::parse_event_t /*event*/, const Json& /*value*/) {
    return depth < max_depth;
  };
  Json json = Json::parse(text, shallow, false);
  return json.is_discarded() ? Json() : json;
}

}  // namespace heed::models
