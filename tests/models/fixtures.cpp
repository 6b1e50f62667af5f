#include "fixtures.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

namespace heed::models::test {
namespace {

const nlohmann::json& fixture_file() {
  static const nlohmann::json file = [] {
    std::ifstream stream(HEED_TEST_DIR "/models/fixtures/minilm.json");
    return nlohmann::json::parse(stream);
  }();
  return file;
}

Fixture fixture_from(const nlohmann::json& entry) {
  Fixture fixture;
  entry.at("name").get_to(fixture.name);
  entry.at("max_tokens").get_to(fixture.max_tokens);
  entry.at("ids").get_to(fixture.ids);
  entry.at("embedding").get_to(fixture.embedding);
  if (entry.contains("text")) {
    entry.at("text").get_to(fixture.text);
  } else {
    for (int i = entry.at("count").get<int>(); i > 0; --i) {
      fixture.text += entry.at("unit").get_ref<const std::string&>();
    }
  }
  return fixture;
}

}  // namespace

const std::vector<Fixture>& fixtures() {
  static const std::vector<Fixture> all = [] {
    std::vector<Fixture> made;
    for (const auto& entry : fixture_file().at("cases")) made.push_back(fixture_from(entry));
    return made;
  }();
  return all;
}

const InsideFixture& inside_fixture() {
  static const InsideFixture inside = [] {
    const nlohmann::json& entry = fixture_file().at("inside");
    InsideFixture made;
    entry.at("text").get_to(made.text);
    entry.at("tokens").get_to(made.tokens);
    entry.at("token").get_to(made.token);
    entry.at("token_embedding").get_to(made.token_embedding);
    for (const auto& [layer, weights] : entry.at("weights").items()) {
      weights.get_to(made.weights[std::stoul(layer)]);
    }
    return made;
  }();
  return inside;
}

}  // namespace heed::models::test
