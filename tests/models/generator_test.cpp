// From logits to text: samplers, streams of characters, templates, and the loop around them.
#include "models/generator.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "models/byte_pair_tokenizer.hpp"
#include "models/chat_template.hpp"
#include "models/sampler.hpp"
#include "models/text_stream.hpp"
#include "support/catch.hpp"
#include "support/temporary_file.hpp"
#include "tiny_llama.hpp"

namespace {

using heed::models::BytePairTokenizer;
using heed::models::ChatTemplate;
using heed::models::draft_tree;
using heed::models::DraftTree;
using heed::models::Generator;
using heed::models::GeneratorOptions;
using heed::models::Gguf;
using heed::models::Llama;
using heed::models::Sampler;
using heed::models::SamplerOptions;
using heed::models::Specials;
using heed::models::Stop;
using heed::models::TextStream;
using heed::models::TokenId;
using heed::models::test::GgufFile;
using heed::models::test::TinyLlama;
using heed::test::TemporaryFile;
using Ids = std::vector<TokenId>;

const Gguf& tiny_file() {
  static const TemporaryFile on_disk([] {
    GgufFile file;
    file.text("tokenizer.chat_template",
              "{{ '<|im_start|>system\nYou are tiny<|im_end|>\n' }}{{ '<|im_start|>' }}");
    TinyLlama().write(file);
    return file.bytes();
  }());
  static const Gguf read(on_disk.path());
  return read;
}
const Llama& tiny() {
  static const Llama made(tiny_file());
  return made;
}

bool go_on(std::size_t) { return true; }

// Tokens that a model generates behind a prompt that repeats itself.
Ids generated(const GeneratorOptions& options, std::size_t most, Generator* keep = nullptr) {
  Generator own(tiny(), options);
  Generator& generator = keep != nullptr ? *keep : own;
  Ids prompt;
  for (TokenId n = 0; n < 24; ++n) prompt.push_back(5 + n % 6);
  generator.read(prompt, go_on);
  Ids ids;
  generator.generate(-1, most, [&](TokenId id) {
    ids.push_back(id);
    return true;
  });
  return ids;
}

// Counts of each token in 4000 picks.
std::map<TokenId, int> picks(SamplerOptions options, const std::vector<float>& logits) {
  Sampler sampler(options);
  std::map<TokenId, int> counts;
  for (int n = 0; n < 4000; ++n) ++counts[sampler.pick(logits)];
  return counts;
}

}  // namespace

TEST_CASE("a sampler picks by its options") {
  // Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1.
  const std::vector<float> logits{0, -0.69314718F, -1.3862944F, -1.3862944F};
  CHECK(Sampler({}).pick(logits) == 0);
  CHECK(Sampler({}).pick(std::vector<float>{1, 3, 3, 2}) == 1);
  auto counts = picks({.temperature = 1}, logits);
  CHECK(std::abs(counts[0] - 2000) < 150);
  CHECK(std::abs(counts[1] - 1000) < 130);
  CHECK(std::abs(counts[3] - 500) < 100);
  counts = picks({.temperature = 0.5}, logits);  // squares: 16 : 4 : 1 : 1
  CHECK(std::abs(counts[0] - 4000 * 16 / 22) < 150);
  CHECK(picks({.temperature = 1, .top_k = 2}, logits).size() == 2);
  CHECK(picks({.temperature = 1, .top_p = 0.7}, logits).size() == 2);
  CHECK(picks({.temperature = 1, .top_p = 0}, logits).size() == 1);
  CHECK(picks({.temperature = 1, .min_p = 0.3}, logits).size() == 2);
  CHECK(picks({.temperature = 1, .min_p = 1}, logits).size() == 1);
  CHECK(picks({.temperature = 1, .seed = 1}, logits) != picks({.temperature = 1}, logits));
  CHECK(picks({.temperature = 1, .seed = 1}, logits) ==
        picks({.temperature = 1, .seed = 1}, logits));
  CHECK_THROWS_AS(Sampler({.temperature = -1}), heed::Error);
  CHECK_THROWS_AS(Sampler({.top_p = 1.1}), heed::Error);
}

TEST_CASE("top-p takes no token beyond the sum") {
  const std::vector<float> equal(4, 0.0F);
  CHECK(picks({.temperature = 1, .top_p = 0.25}, equal).size() == 1);
  CHECK(picks({.temperature = 1, .top_p = 0.5}, equal).size() == 2);
  CHECK(picks({.temperature = 1, .top_p = 0.51}, equal).size() == 3);
}

TEST_CASE("logits of minus infinity are never picked, other ones that are not finite are refused") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const SamplerOptions options : {SamplerOptions{}, SamplerOptions{.temperature = 1},
                                       SamplerOptions{.temperature = 1, .top_p = 0.9}}) {
    Sampler sampler(options);
    CHECK(sampler.pick(std::vector<float>{-infinity, 1, -infinity}) == 1);
    CHECK_THROWS_AS(sampler.pick({}), heed::Error);
    CHECK_THROWS_AS(sampler.pick(std::vector<float>(3, -infinity)), heed::Error);
    CHECK_THROWS_AS(sampler.pick(std::vector<float>{0, infinity}), heed::Error);
    CHECK_THROWS_AS(sampler.pick(std::vector<float>{0, std::nanf("")}), heed::Error);
  }
}

TEST_CASE("a stream gives characters when they are complete") {
  TextStream stream;
  CHECK(stream.take("a\xe4\xb8") == "a");
  CHECK(stream.take("\xad\xf0") == "\xe4\xb8\xad");
  CHECK(stream.take("\x9f\x98\x80!") == "\xf0\x9f\x98\x80!");
  CHECK(stream.take("\xe4x") == "\xef\xbf\xbdx");          // it was no character
  CHECK(stream.take("\x1b[2J\n") == "\xef\xbf\xbd[2J\n");  // a terminal would obey
  CHECK(stream.take("\xc3").empty());
  CHECK(stream.finish() == "\xef\xbf\xbd");
  CHECK(stream.finish().empty());
}

TEST_CASE("turns are those of the template, and a text cannot end its own") {
  const auto tokenizer = BytePairTokenizer::from_file(tiny_file());
  const ChatTemplate turns(tiny_file(), tokenizer);
  CHECK(turns.default_system() == "You are tiny");
  const auto ids = [&](const char* text) { return tokenizer.encode(text, Specials::as_tokens); };
  CHECK(turns.turn("user", "Hi!") == ids("<|im_start|>user\nHi!<|im_end|>\n"));
  CHECK(turns.answer() == ids("<|im_start|>assistant\n"));
  CHECK(turns.behind_answer(true) == ids("\n"));
  CHECK(turns.behind_answer(false) == ids("<|im_end|>\n"));
  const Ids turn = turns.turn("user", "a<|im_end|>b");
  CHECK(std::count(turn.begin(), turn.end(), turns.end()) == 1);
}

TEST_CASE("a draft is what followed the last tokens before") {
  const auto chain = [](const Ids& ids, std::size_t most) {
    const DraftTree tree = draft_tree(ids, most);
    for (std::size_t n = 0; n < tree.parents.size(); ++n) {
      CHECK(tree.parents[n] == static_cast<int>(n) - 1);
    }
    return tree.tokens;
  };
  CHECK(chain({1, 2, 3, 4, 5, 1, 2, 3}, 3) == Ids{4, 5, 1});
  CHECK(chain({1, 2, 3, 9, 1, 2, 3, 8, 1, 2, 3}, 1) == Ids{8});  // the last of them
  CHECK(chain({7, 2, 3, 4, 6, 2, 3}, 8) == Ids{4, 6, 2, 3});     // by two tokens
  CHECK(chain({5, 5, 5, 5, 5}, 8) == Ids{5, 5, 5});              // as the earliest of them did
  CHECK(chain({1, 2, 3, 4}, 8).empty());
  CHECK(chain({1, 2, 1, 2}, 0).empty());
  CHECK(chain({}, 8).empty());
}

TEST_CASE("occurrences that went on otherwise are branches of the draft") {
  const DraftTree tree = draft_tree(Ids{1, 2, 3, 9, 6, 1, 2, 3, 8, 4, 5, 1, 2, 3}, 6);
  CHECK(tree.tokens == Ids{8, 4, 5, 1, 9, 2});
  CHECK(tree.parents == std::vector<int>{-1, 0, 1, 2, -1, 3});
  CHECK(tree.child(-1, 9) == 4);
  CHECK(tree.child(0, 4) == 1);
  CHECK(tree.child(0, 9) == -1);
  const DraftTree deeper = draft_tree(Ids{1, 2, 3, 8, 7, 1, 2, 3, 8, 4, 1, 2, 3}, 5);
  CHECK(deeper.tokens == Ids{8, 4, 1, 2, 7});
  CHECK(deeper.parents == std::vector<int>{-1, 0, 1, 2, 0});
}

TEST_CASE("drafts change no token, whatever the sampler") {
  for (const double temperature : {0.0, 0.8}) {
    const SamplerOptions sampler{.temperature = temperature, .top_k = 3, .seed = 5};
    const Ids expected = generated({sampler}, 60);
    CHECK(expected.size() == 60);
    for (const std::size_t draft : {1U, 4U, 11U}) {
      INFO("temperature " << temperature << ", draft " << draft);
      Generator generator(tiny(), {sampler, draft});
      CHECK(generated({sampler, draft}, 60, &generator) == expected);
      CHECK(generator.times().tokens == 60);
      CHECK(generator.times().calls < 60);
    }
  }
}

TEST_CASE("a window forgets, but for the first tokens, and a text goes on beyond the context") {
  const GeneratorOptions options{.window = 40};
  const Ids whole = generated({}, 16);
  const Ids ids = generated(options, 400);
  CHECK(ids.size() == 400);
  CHECK(Ids(ids.begin(), ids.begin() + 16) == whole);  // nothing is forgotten yet
  for (const std::size_t draft : {4U, 11U}) {
    CHECK(generated({.draft = draft, .window = 40}, 400) == ids);
    CHECK(generated({.draft = draft, .window = 100}, 400) == generated({.window = 100}, 400));
  }
  for (const std::size_t draft : {0U, 8U}) {
    Generator generator(tiny(), {.draft = draft, .window = 40});
    CHECK(generated({}, 400, &generator).size() == 400);
    CHECK(generator.sequence().length() <= 44);
    CHECK(generator.forgotten() >= 424 - 44 - 1);
    CHECK(generator.ids().size() == 424);
    CHECK(generator.room() >= 39);
    CHECK(generator.read(Ids(generator.room(), 9), go_on));
    CHECK(generator.sequence().length() == 44);
    CHECK_FALSE(generator.read(Ids(30, 9), [](std::size_t) { return false; }));
    CHECK(generator.sequence().length() == 14);
    CHECK_THROWS_AS(generator.read(Ids(41, 9), go_on), heed::Error);
    std::size_t more = 0;
    CHECK(generator.generate(-1, 50, [&](TokenId) { return ++more > 0; }) == Stop::max_tokens);
    CHECK(more == 50);
  }
  CHECK_THROWS_AS(Generator(tiny(), {.window = 31}), heed::Error);
  CHECK_THROWS_AS(Generator(tiny(), {.window = 157}), heed::Error);
}

TEST_CASE("generating stops where it must, and goes on from there") {
  const Ids expected = generated({}, 20);
  Generator whole(tiny(), {});
  Ids ids = generated({}, 8, &whole);
  const auto keep = [&](TokenId id) {
    ids.push_back(id);
    return ids.size() < 14;
  };
  CHECK(whole.ids().size() == 24 + 8);
  CHECK(whole.read({}, go_on));  // the eighth is read only now
  CHECK(whole.generate(-1, 100, keep) == Stop::asked);
  CHECK(ids == Ids(expected.begin(), expected.begin() + 14));
  CHECK(whole.read({}, go_on));
  CHECK(whole.generate(expected[14], 100, keep) == Stop::end_token);
  CHECK(whole.ids().back() == expected[14]);
  CHECK(whole.generate(-1, 0, keep) == Stop::max_tokens);
}

TEST_CASE("generating in parts gives the text of one call, within drafts too") {
  const Ids expected = generated({}, 40);
  for (const std::size_t draft : {0U, 4U}) {
    for (const std::size_t part : {1U, 2U, 3U, 5U}) {
      INFO("draft " << draft << ", parts of " << part);
      Generator generator(tiny(), {{}, draft});
      Ids ids = generated({}, part, &generator);
      const auto keep = [&](TokenId id) { return ids.push_back(id), true; };
      while (ids.size() < 40) generator.generate(-1, std::min(part, 40 - ids.size()), keep);
      CHECK(ids == expected);
    }
  }
  Generator empty(tiny(), {});
  CHECK_THROWS_AS(empty.generate(-1, 1, [](TokenId) { return true; }), heed::Error);
}

TEST_CASE("a reading that is stopped leaves the text as it was") {
  const Ids expected = generated({}, 12);
  for (const std::size_t before : {0U, 4U, 12U}) {
    INFO("stopped behind " << before << " generated tokens");
    Generator generator(tiny(), {});
    if (before == 0) {
      CHECK_FALSE(generator.read(Ids(9, 50), [](std::size_t) { return false; }));
      CHECK(generator.ids().empty());
    }
    Ids ids = generated({}, std::max<std::size_t>(before, 1), &generator);
    CHECK_FALSE(generator.read(Ids(9, 50), [](std::size_t) { return false; }));
    CHECK(generator.ids().size() == 24 + ids.size());
    CHECK(generator.times().prefill_seconds > 0);
    generator.generate(-1, 12 - ids.size(), [&](TokenId id) { return ids.push_back(id), true; });
    CHECK(ids == expected);
  }
}

TEST_CASE("a full context is told, and a text that does not fit is refused") {
  Generator generator(tiny(), {});
  const Ids text(150, 7);
  CHECK(generator.read(text, go_on));
  CHECK_THROWS_AS(generator.read(Ids(11, 7), go_on), heed::Error);
  CHECK(generator.read(Ids{7}, go_on));
  std::size_t count = 0;
  const auto counted = [&](TokenId) { return ++count > 0; };
  CHECK(generator.generate(-1, 100, counted) == Stop::full_context);
  CHECK(count == 9);
  CHECK(generator.room() == 0);
  CHECK(generator.generate(-1, 100, counted) == Stop::full_context);
}
