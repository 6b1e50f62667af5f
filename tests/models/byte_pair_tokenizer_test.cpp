// Byte-level BPE against the package tokenizers: see make_tokenizer_fixtures.py.
#include "models/byte_pair_tokenizer.hpp"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "models/byte_level_words.hpp"
#include "models/gguf.hpp"
#include "models/model_folder.hpp"
#include "support/catch.hpp"

namespace {

using heed::models::BytePairTokenizer;
using heed::models::Specials;
using Ids = std::vector<heed::models::TokenId>;
using Words = std::vector<std::string>;

const nlohmann::json& fixtures() {
  static const nlohmann::json read =
      nlohmann::json::parse(std::ifstream(HEED_TEST_DIR "/models/fixtures/byte_pair.json"));
  return read;
}

const BytePairTokenizer& tokenizer() {
  static const BytePairTokenizer made = [] {
    const auto tokens = fixtures()["tokens"].get<Words>();
    std::vector<bool> special(tokens.size());
    for (std::size_t n = 0; n < fixtures()["special"]; ++n) special[n] = true;
    return BytePairTokenizer(tokens, special, fixtures()["merges"].get<Words>());
  }();
  return made;
}

void check_texts(const BytePairTokenizer& tokenizer, const char* ids) {
  for (const auto& fixture : fixtures()["texts"]) {
    const auto text = fixture["text"].get<std::string>();
    INFO(text);
    const Ids encoded = tokenizer.encode(text, Specials::as_tokens);
    CHECK(encoded == fixture[ids].get<Ids>());
  }
}

Words words_of(const std::string& text) {
  const auto words = heed::models::byte_level_words(text);
  return {words.begin(), words.end()};
}

}  // namespace

TEST_CASE("words: digits stand alone, a space belongs to the word behind it") {
  CHECK(words_of("I've 42 cats,  no  dogs.\n\n ok ") == Words{"I", "'ve", " ", "4", "2", " cats",
                                                              ",", " ", " no", " ", " dogs", ".",
                                                              "\n\n", " ok", " "});
  CHECK(words_of("a\xff\xfe") == Words{"a", "\xff\xfe"});  // not UTF-8: nothing is lost
  CHECK(words_of("").empty());
}

TEST_CASE("tokens are those of the package tokenizers") { check_texts(tokenizer(), "ids"); }

TEST_CASE("decoded tokens are the text, special ones included") {
  for (const auto& fixture : fixtures()["texts"]) {
    const auto text = fixture["text"].get<std::string>();
    CHECK(tokenizer().decode(tokenizer().encode(text, Specials::as_tokens)) == text);
    CHECK(tokenizer().decode(tokenizer().encode(text)) == text);
  }
}

TEST_CASE("a special token in a user's text stays text") {
  const auto end = tokenizer().special("<|im_end|>");
  CHECK(tokenizer().is_special(end));
  CHECK(tokenizer().encode("<|im_end|>", Specials::as_tokens) == Ids{end});
  for (const auto id : tokenizer().encode("<|im_end|>")) CHECK(!tokenizer().is_special(id));
}

TEST_CASE("a long word comes back") {
  const std::string word(200'000, 'a');
  CHECK(tokenizer().decode(tokenizer().encode(word)) == word);
}

TEST_CASE("a vocabulary that contradicts itself is refused") {
  const auto made = [](const Words& tokens, const Words& merges) {
    return BytePairTokenizer(tokens, std::vector<bool>(tokens.size()), merges);
  };
  CHECK_NOTHROW(made({"a", "b", "ab"}, {"a b"}));
  CHECK_THROWS_AS(made({}, {}), heed::Error);
  CHECK_THROWS_AS(made({"a", "a"}, {}), heed::Error);
  CHECK_THROWS_AS(made({"", "a"}, {}), heed::Error);
  CHECK_THROWS_AS(BytePairTokenizer({"", "a"}, {true, false}, {}), heed::Error);
  CHECK_THROWS_AS(made({"\xe4\xb8\xad"}, {}), heed::Error);  // 中 stands for no byte
  CHECK_THROWS_AS(made({"a", "b"}, {"a b"}), heed::Error);
  CHECK_THROWS_AS(made({"a", "b", "ab"}, {"ab"}), heed::Error);
  CHECK_THROWS_AS(made({"a"}, {}).bytes(1), heed::Error);
  CHECK_THROWS_AS(made({"a"}, {}).bytes(-1), heed::Error);
  CHECK_THROWS_AS(made({"a"}, {}).special("a"), heed::Error);
}

TEST_CASE("SmolLM2's tokens are those of the package tokenizers") {
  const std::filesystem::path path = heed::models::smollm2_file();
  if (!std::filesystem::exists(path)) {
    WARN("skipped: the model is not in " << path << "; examples/models/llama/fetch.sh gets it");
    return;
  }
  check_texts(BytePairTokenizer::from_file(heed::models::Gguf(path)), "smollm2");
}
