// all-MiniLM-L6-v2 against its reference implementation, where the model is in the cache.
#include <string>
#include <vector>

#include "catch.hpp"
#include "fixtures.hpp"
#include "heed/core/error.hpp"
#include "models/bert_tokenizer.hpp"
#include "models/model_folder.hpp"

namespace {

using heed::models::BertTokenizer;
using heed::models::Vocabulary;
using heed::models::test::Fixture;
using heed::models::test::fixtures;

bool model_is_here() {
  if (heed::models::has_model(heed::models::minilm_folder())) return true;
  WARN("skipped: the model is not in " << heed::models::minilm_folder()
                                       << "; examples/models/minilm/fetch.sh downloads it");
  return false;
}

}  // namespace

TEST_CASE("ids are the reference's") {
  REQUIRE(fixtures().size() >= 50);
  if (!model_is_here()) return;
  const BertTokenizer tokenizer(
      Vocabulary::from_file(heed::models::minilm_folder() / "vocab.txt"));
  for (const Fixture& fixture : fixtures()) {
    CAPTURE(fixture.name);
    CHECK(tokenizer.encode(fixture.text, fixture.max_tokens).ids == fixture.ids);
  }
}
