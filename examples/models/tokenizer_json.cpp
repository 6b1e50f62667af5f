#include "models/tokenizer_json.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "heed/core/error.hpp"
#include "models/bert_tokenizer.hpp"
#include "models/input_file.hpp"
#include "models/json_text.hpp"
#include "models/printable.hpp"

namespace heed::models {
namespace {

using Json = nlohmann::json;

constexpr std::size_t max_file_size = std::size_t{1} << 26U;

[[noreturn]] void refuse(const std::string& why) { throw Error(why); }

// The member of an object; null where it is not there, as JSON says nothing by null.
const Json& member(const Json& object, const char* name) {
  static const Json null;
  const auto found = object.find(name);
  return object.is_object() && found != object.end() ? *found : null;
}

void expect(const Json& object, const char* part, const char* name, const Json& value) {
  const Json& found = member(object, name);
  if (found.is_null() || found == value) return;
  refuse("says " + std::string(part) + "." + name + " is " + printable(found.dump()) + "; only " +
         value.dump() + " is implemented");
}

// Token i of the map has the id i.
std::vector<std::string> tokens_by_id(const Json& map) {
  if (!map.is_object()) refuse("has no model.vocab");
  std::vector<const std::string*> places(map.size());
  for (const auto& [token, id] : map.items()) {
    const bool fits = id.is_number_unsigned() && id.get<std::uint64_t>() < places.size();
    if (!fits || places[id.get<std::size_t>()] != nullptr) {
      refuse("gives the token " + printable(token) + " the id " + printable(id.dump()) +
             ", which another has or none of " + std::to_string(places.size()) +
             " tokens can have");
    }
    places[id.get<std::size_t>()] = &token;
  }
  std::vector<std::string> tokens;
  tokens.reserve(places.size());
  for (const std::string* token : places) tokens.push_back(*token);
  return tokens;
}

void check_added_tokens(const Json& added) {
  constexpr std::array<std::string_view, 5> known{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (const Json& token : added) {
    const Json& content = member(token, "content");
    const auto* found = std::find_if(known.begin(), known.end(),
                                     [&](std::string_view name) { return content == name; });
    if (found == known.end()) {
      refuse("adds the token " + printable(content.dump()) + ", which is not one of BERT's");
    }
    expect(token, "added_tokens", "normalized", false);
  }
}

// [CLS] text [SEP], said in either of two ways.
void check_template(const Json& processor) {
  if (member(processor, "type") == "BertProcessing") return;
  expect(processor, "post_processor", "type", "TemplateProcessing");
  std::string pieces;
  for (const Json& piece : member(processor, "single")) {
    const Json& special = member(member(piece, "SpecialToken"), "id");
    const Json& text = member(member(piece, "Sequence"), "id");
    pieces += (special.is_string() ? special : text).dump();
  }
  if (!processor.is_null() && pieces != R"("[CLS]""A""[SEP]")") {
    refuse("says post_processor.single is " + printable(pieces) +
           "; only [CLS] A [SEP] is implemented");
  }
}

Vocabulary vocabulary_of(const Json& json) {
  if (!json.is_object()) refuse("is not a JSON object");
  const Json& model = member(json, "model");
  expect(model, "model", "type", "WordPiece");
  expect(model, "model", "unk_token", "[UNK]");
  expect(model, "model", "continuing_subword_prefix", "##");
  expect(model, "model", "max_input_chars_per_word", BertTokenizer::max_word_characters);
  const Json& normalizer = member(json, "normalizer");
  expect(normalizer, "normalizer", "type", "BertNormalizer");
  for (const char* name : {"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}) {
    expect(normalizer, "normalizer", name, true);
  }
  if (normalizer.is_null()) refuse("has no normalizer; only BertNormalizer is implemented");
  expect(member(json, "pre_tokenizer"), "pre_tokenizer", "type", "BertPreTokenizer");
  check_template(member(json, "post_processor"));
  check_added_tokens(member(json, "added_tokens"));
  return Vocabulary(tokens_by_id(member(model, "vocab")));
}

}  // namespace

Vocabulary read_tokenizer_json(const std::filesystem::path& path) {
  const std::string text = InputFile(path).text(max_file_size);
  try {
    return vocabulary_of(parse_json(text));
  } catch (const Error& error) {
    throw Error("heed::models::read_tokenizer_json: " + path.string() + " " + error.what());
  }
}

}  // namespace heed::models
