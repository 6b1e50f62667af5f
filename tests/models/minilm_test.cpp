// all-MiniLM-L6-v2 against its reference implementation, where the model is in the cache.
#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "fixtures.hpp"
#include "heed/core/error.hpp"
#include "models/bert_tokenizer.hpp"
#include "models/model_folder.hpp"
#include "models/sentence_encoder.hpp"
#include "support/catch.hpp"

namespace {

using heed::models::BertTokenizer;
using heed::models::SentenceEncoder;
using heed::models::TokenId;
using heed::models::Vocabulary;
using heed::models::test::Fixture;
using heed::models::test::fixtures;
using heed::models::test::inside_fixture;

constexpr double tolerance = 1e-5;

// Eigen's products take a hundred times as long under a sanitizer, which finds in five texts what
// it finds in fifty.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

// The fixtures to run the encoder on.
std::vector<Fixture> encoded_fixtures() {
  std::vector<Fixture> chosen;
  for (const Fixture& fixture : fixtures()) {
    const bool few = fixture.name == "plain" || fixture.name == "empty" ||
                     fixture.name == "accents" || fixture.name == "chinese" ||
                     fixture.name == "cut to three tokens";
    if (few || !sanitized) chosen.push_back(fixture);
  }
  return chosen;
}

bool model_is_here() {
  if (heed::models::has_model(heed::models::minilm_folder())) return true;
  WARN("skipped: the model is not in " << heed::models::minilm_folder()
                                       << "; examples/models/minilm/fetch.sh downloads it");
  return false;
}

const SentenceEncoder& encoder() {
  static const SentenceEncoder made(heed::models::minilm_folder());
  return made;
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    // A NaN compares as no larger than anything, so it is asked for by name.
    if (std::isnan(difference)) return difference;
    largest = std::max(largest, difference);
  }
  return largest;
}

// The ids of the sentence that the reference was looked into on.
std::vector<TokenId> inside_ids() {
  return encoder().tokenizer().encode(inside_fixture().text, 256).ids;
}

}  // namespace

TEST_CASE("ids are the reference's") {
  REQUIRE(fixtures().size() >= 50);
  if (!model_is_here()) return;
  const BertTokenizer tokenizer(Vocabulary::from_file(heed::models::minilm_folder() / "vocab.txt"));
  for (const Fixture& fixture : fixtures()) {
    CAPTURE(fixture.name);
    CHECK(tokenizer.encode(fixture.text, fixture.max_tokens).ids == fixture.ids);
  }
}

TEST_CASE("embeddings are the reference's") {
  if (!model_is_here()) return;
  const std::vector<Fixture> chosen = encoded_fixtures();
  for (const Fixture& fixture : chosen) {
    CAPTURE(fixture.name);
    const std::string_view text = fixture.text;
    const auto embedding = encoder().embed(std::span(&text, 1), {fixture.max_tokens});
    CHECK(largest_difference(embedding, fixture.embedding) < tolerance);
  }
}

TEST_CASE("no bit of an embedding depends on the batch, the order or the threads") {
  if (!model_is_here()) return;
  const std::vector<Fixture> chosen = encoded_fixtures();
  std::vector<std::string_view> texts;
  for (const Fixture& fixture : chosen) {
    const bool short_enough = fixture.ids.size() <= 30;
    if (short_enough || fixture.name == "254 tokens") texts.push_back(fixture.text);
  }
  REQUIRE(texts.size() > (sanitized ? 3 : 40));
  const std::vector<float> alone = encoder().embed(texts, {0, 1, 1});
  CHECK(encoder().embed(texts, {0, 7, 2}) == alone);

  std::reverse(texts.begin(), texts.end());
  const std::vector<float> reversed = encoder().embed(texts, {0, texts.size(), 0});
  const std::size_t dimension = encoder().dimension();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CAPTURE(texts[i].substr(0, 40));
    const auto row = reversed.begin() + static_cast<std::ptrdiff_t>(i * dimension);
    const auto row_alone =
        alone.begin() + static_cast<std::ptrdiff_t>((texts.size() - 1 - i) * dimension);
    CHECK(std::equal(row, row + static_cast<std::ptrdiff_t>(dimension), row_alone));
  }
}

TEST_CASE("hidden states and attention weights are the reference's") {
  if (!model_is_here()) return;
  const std::vector<TokenId> ids = inside_ids();
  const std::size_t L = ids.size();
  REQUIRE(L == inside_fixture().tokens.size());
  for (std::size_t i = 0; i < L; ++i) {
    CHECK(encoder().tokenizer().vocabulary().token(ids[i]) == inside_fixture().tokens[i]);
  }
  const int length = static_cast<int>(L);
  const auto hidden = encoder().bert().forward(ids, std::span(&length, 1), 6);
  const std::size_t dimension = encoder().dimension();
  CHECK(largest_difference(std::span(hidden).subspan(inside_fixture().token * dimension, dimension),
                           inside_fixture().token_embedding) < tolerance);
  for (const auto& [layer, heads] : inside_fixture().weights) {
    CAPTURE(layer);
    std::vector<float> expected;
    for (const auto& head : heads) {
      for (const auto& row : head) expected.insert(expected.end(), row.begin(), row.end());
    }
    const auto weights = encoder().bert().attention_weights(ids, layer);
    CHECK(largest_difference(weights, expected) < tolerance);
  }
}

TEST_CASE("calls that the encoder cannot serve are errors") {
  if (!model_is_here()) return;
  using heed::Error;
  const std::string_view text = "text";
  const std::string_view bad = "\xff";
  CHECK(encoder().embed({}).empty());
  CHECK_THROWS_AS(encoder().embed(std::span(&bad, 1)), Error);
  CHECK_THROWS_WITH(encoder().embed(std::span(&text, 1), {513}),
                    heed::test::ContainsSubstring("513 but the model has 512"));
  CHECK_THROWS_AS(encoder().embed(std::span(&text, 1), {0, 0}), Error);
  CHECK_THROWS_AS(SentenceEncoder("/no/such/folder"), Error);

  const int one = 1;
  const int two = 2;
  const std::vector<TokenId> outside{30522};
  const std::vector<TokenId> negative{-1};
  const std::vector<TokenId> long_row(513, 101);
  const int too_many = 513;
  const auto& bert = encoder().bert();
  CHECK_THROWS_AS(bert.forward(outside, std::span(&one, 1), 6), Error);
  CHECK_THROWS_AS(bert.forward(negative, std::span(&one, 1), 6), Error);
  CHECK_THROWS_AS(bert.forward(long_row, std::span(&too_many, 1), 6), Error);
  CHECK_THROWS_AS(bert.forward(std::span(long_row).first(1), std::span(&two, 1), 6), Error);
  CHECK_THROWS_AS(bert.forward(std::span(long_row).first(3), {}, 6), Error);
  CHECK_THROWS_AS(bert.forward(std::span(long_row).first(1), std::span(&one, 1), 7), Error);
  CHECK_THROWS_AS(bert.attention_weights(std::span(long_row).first(1), 6), Error);
  CHECK_THROWS_AS(bert.attention_weights({}, 0), Error);
}
