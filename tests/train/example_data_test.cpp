// The readers of the examples that learn (examples/train): files as their packages have them, and
// the model that counts.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/temporary_file.hpp"
#include "train/characters/order_two.hpp"
#include "train/characters/text.hpp"
#include "train/digits/images.hpp"
#include "train/program.hpp"
#include "train/sentences/counting.hpp"
#include "train/sentences/texts.hpp"

using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::TemporaryFile;

namespace {

// "0,1,2,…,63,LABEL"
std::string digit_line(const std::string& label) {
  std::string line;
  for (int n = 0; n < 64; ++n) line += std::to_string(n % 17) + ",";
  return line + label + "\n";
}

}  // namespace

TEST_CASE("digits come as patches of 2 x 2 pixels, and a bad line is named") {
  const TemporaryFile good(digit_line("7") + digit_line("0"));
  const digits::Images images = digits::read(good.path());
  CHECK(images.target == std::vector<int>{7, 0});
  REQUIRE(images.input.dimension(0) == 2);
  const auto pixel = [](float value) { return value / 4 - 2; };
  CHECK(images.input(1, 0, 3) == pixel(9));    // row 1, column 1
  CHECK(images.input(1, 5, 0) == pixel(1));    // row 2, column 2: 18 % 17
  CHECK(images.input(1, 15, 2) == pixel(11));  // row 7, column 6: 62 % 17

  for (const char* label : {"10", "-1", "", "x"}) {
    const TemporaryFile bad(digit_line("7") + digit_line(label));
    CHECK_THAT(error_of([&] { digits::read(bad.path()); }),
               ContainsSubstring(":2: not 64 pixels and a digit"));
  }
  const std::string line = digit_line("7");
  for (const std::string& other :
       {"17" + line.substr(1), "-1" + line.substr(1), "nan" + line.substr(1), "0;" + line.substr(2),
        digit_line("7,"), digit_line("7 8")}) {
    const TemporaryFile bad(other);
    CHECK_THAT(error_of([&] { digits::read(bad.path()); }),
               ContainsSubstring(":1: not 64 pixels and a digit"));
  }
  CHECK(digits::read(TemporaryFile("0," + line.substr(2, line.size() - 3) + "\r\n").path())
            .target.size() == 1);
  CHECK_THAT(error_of([&] { digits::read("/nowhere/digits.csv"); }),
             ContainsSubstring("cannot read"));
  CHECK_THAT(error_of([&] { digits::read(TemporaryFile("").path()); }),
             ContainsSubstring("has no digits"));
}

TEST_CASE("one digit in five is held out") {
  const auto parts = digits::split(digits::made(23));
  CHECK(parts.train.target.size() == 19);
  CHECK(parts.held_out.target.size() == 4);
  const digits::Images all = digits::made(23);
  CHECK(parts.held_out.target[1] == all.target[9]);
  CHECK(parts.held_out.input(1, 6, 2) == all.input(9, 6, 2));
}

TEST_CASE("a text gives up a tenth at most") {
  CHECK(characters::held_out_size(std::string(6000, 'a'), 600) == 600);
  CHECK_THAT(error_of([] { characters::held_out_size("# Lear\n", 100000); }),
             ContainsSubstring("has 7 characters, fewer than 1000000"));
}

TEST_CASE("plays lose the marks of Markdown and keep their lines") {
  const auto folder = TemporaryFile("").path();  // a name that is free
  std::filesystem::create_directories(folder / "b");
  std::ofstream(folder / "b" / "two.md") << "**KENT**  \nI, _sir_\n";
  std::ofstream(folder / "a.md") << "# Lear\n\n\n\n ## ACT I  \n\n";
  std::ofstream(folder / "c.txt") << "no play\n";
  CHECK(characters::read_plays(folder) == "Lear\n\nACT I\n\nKENT\nI, sir\n");
  std::filesystem::remove_all(folder);

  const characters::Alphabet alphabet("banana\n");
  CHECK(alphabet.size() == 4);
  CHECK(alphabet.ids("ab\nn") == std::vector<int>{1, 2, 0, 3});
  CHECK(alphabet.character(3) == 'n');
  CHECK_THROWS_AS(alphabet.ids("c"), heed::Error);
}

TEST_CASE("counting gives probabilities, after pairs that were never seen too") {
  const std::vector<int> text{0, 1, 2, 0, 1, 2, 0, 1, 3};
  const characters::OrderTwo model(text, 5);
  const auto p = [&](int a, int b, int c) {
    return std::exp2(-model.bits(std::vector<int>{a, b, c}, 2));
  };
  for (int a = 0; a < 5; ++a) {
    for (int b = 0; b < 5; ++b) {
      double sum = 0;
      for (int c = 0; c < 5; ++c) sum += p(a, b, c);
      CHECK(sum == Approx(1));
    }
  }
  // By hand, from the end: 4 of 9 characters are known, so p(2) = (2 + 4/5) / 13; 1 is followed by
  // 2 and 3, three times in all, so p(2 | 1) = (2 + 2 · p(2)) / 5, and likewise after 0 1.
  const double one = (2 + 4 * 0.2) / 13, two = (2 + 2 * one) / 5;
  CHECK(p(0, 1, 2) == Approx((2 + 2 * two) / 5));
  CHECK(p(4, 1, 2) == Approx(two));
  CHECK(p(4, 4, 2) == Approx(one));
}

TEST_CASE("tweets: quotes hold commas, lines and quotes; doubtful and neutral ones are left out") {
  const TemporaryFile file(
      "sentiment,confidence,text\n"
      "negative,0.7,\"late, and \"\"rude\"\"\nagain\"\n"
      "positive,0.59,unsure\n"
      "positive,1,RT @b: Late and RUDE again http://t.co/x\n"
      "neutral,1,a train\n"
      "positive,1,caf\xC3\xA9 is great!\n");
  const sentences::Texts texts = sentences::read_tweets(file.path(), 1);
  CHECK(texts.labels == std::vector<int>{0, 1});
  CHECK(texts.texts == std::vector<std::string>{"late, and \"rude\" again", "caf is great!"});
  CHECK_THAT(error_of([&] { sentences::read_tweets(file.path(), 2); }),
             ContainsSubstring("1 texts of a class"));
  CHECK(sentences::words_of("It's GREAT!? @me 2day") ==
        std::vector<std::string>{"it's", "great", "!", "?", "me", "2day"});
}

TEST_CASE("a held-out text was not learnt from, copies included") {
  const auto parts = sentences::split(sentences::made_texts());
  CHECK(parts.train.texts.size() + parts.held_out.texts.size() == 128);
  CHECK(std::ranges::count(parts.held_out.labels, 1) == 12);
  CHECK(parts.held_out.labels.size() == 25);
  for (const auto& text : parts.held_out.texts) {
    INFO(text);
    CHECK(std::ranges::count(parts.train.texts, text) == 0);
  }
}

TEST_CASE("words are counted by class") {
  sentences::Counting counting(4);
  counting.learn(std::vector<int>{0, 1, 1}, 0);
  counting.learn(std::vector<int>{0, 2}, 1);
  // p(1 | negative) = 3 / 7, p(1 | positive) = 1 / 6; p(2 | ...) = 1 / 7 and 2 / 6.
  CHECK(counting.answer(std::vector<int>{1}) == 0);
  CHECK(counting.answer(std::vector<int>{2}) == 1);
  CHECK(counting.answer(std::vector<int>{1, 2}) == 0);     // 3 / 49 against 2 / 36
  CHECK(counting.answer(std::vector<int>{1, 2, 2}) == 1);  // 3 / 343 against 4 / 216
}

TEST_CASE("an example's wrong call is told before it learns") {
  const auto run = [](std::vector<const char*> words, const auto& learn) {
    std::vector<char*> arguments;
    for (const char* word : words) arguments.push_back(const_cast<char*>(word));
    return learn::run_program(arguments, 3, "name [DATA [OUT [MORE]]]", learn);
  };
  int calls = 0;
  const auto counted = [&](const learn::Arguments&) { return ++calls, 0; };
  CHECK(run({"name", "-x"}, counted) == 2);
  CHECK(run({"name", "a", "b", "c", "d"}, counted) == 2);
  CHECK(run({"name", "a", "--help"}, counted) == 0);
  CHECK(run({"name", "a", "/dev/null/out"}, counted) == 1);
  CHECK(calls == 0);
  const auto folder = TemporaryFile("").path();  // a name that is free
  CHECK(run({"name", "a", (folder / "b").c_str()}, counted) == 0);
  CHECK(std::filesystem::is_empty(folder / "b"));
  std::filesystem::remove_all(folder);
  CHECK(run({"name"}, [](const learn::Arguments& to) { return to.whole() ? 1 : 0; }) == 0);
  CHECK(run({"name", "--compute", "fp8"}, counted) == 2);
  CHECK(run({"name", "--compute", "bf16", "a"}, [](const learn::Arguments& to) {
          return to.compute == heed::Compute::bfloat16 && to.data == "a" ? 0 : 1;
        }) == 0);
  CHECK(run({"name"}, [](const learn::Arguments&) -> int { throw heed::Error("why"); }) == 1);
  CHECK(calls == 1);
}
