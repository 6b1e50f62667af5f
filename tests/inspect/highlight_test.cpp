// Highlight: words and weights come out right, and no token can break out of the page or terminal.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "heed/inspect/highlight.hpp"
#include "support/catch.hpp"

namespace {

using heed::inspect::highlight_ansi;
using heed::inspect::highlight_html;
using heed::inspect::weighted_words;

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

const std::vector<std::string> pieces{"the", "bank", "was", "steep", "##ly", "##ish", "##"};
const std::vector<float> shares{0.1F, 0.2F, 0.05F, 0.25F, 0.125F, 0.125F, 0.15F};

TEST_CASE("word pieces merge and their weights add up") {
  const auto words = weighted_words(pieces, shares);
  REQUIRE(words.size() == 5);
  CHECK(words[3].text == "steeplyish");
  CHECK(words[3].weight == Approx(0.5));
  CHECK(words[4].text == "##");
  CHECK(weighted_words(pieces, shares, false).size() == pieces.size());
}

TEST_CASE("a piece with nothing before it stays as it is") {
  const auto words = weighted_words({"##ing", "x"}, std::vector<double>{0.5, 0.5});
  CHECK(words[0].text == "##ing");
}

TEST_CASE("every word's colours are reset, and the line ends with a reset") {
  const std::string line = highlight_ansi(pieces, shares);
  CHECK(line.ends_with("\x1b[0m"));
  CHECK(count_of(line, "\x1b[48;2;") == 5);
  CHECK(count_of(line, "\x1b[0m") == 6);
  CHECK(line.find('\n') == std::string::npos);
  CHECK(highlight_ansi({}, std::vector<double>{}) == "\x1b[0m");
}

TEST_CASE("the most-attended word has the darkest ground") {
  const auto darkest = heed::inspect::blues()(1);
  const std::string ground = heed::inspect::words::css(darkest);
  const std::string page = highlight_html({"a", "b", "c"}, std::vector<double>{0.1, 0.6, 0.3});
  CHECK(count_of(page, "background:" + ground) == 1);
  CHECK(page.find(ground) < page.find(">b<"));
  CHECK(page.find(ground) > page.find(">a<"));
}

TEST_CASE("the full scale can be fixed") {
  const std::string page =
      highlight_html({"a"}, std::vector<double>{0.5}, {.full_scale = 1, .percent = true});
  const auto half = heed::inspect::words::css(heed::inspect::blues()(0.5));
  CHECK(page.find("background:" + half) != std::string::npos);
  CHECK(page.find("<small>50.0 %</small>") != std::string::npos);
}

TEST_CASE("a full scale that is not finite or below 0 is refused; any weight has a ground") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (const double scale : {inf, std::nan(""), -1.0}) {
    CHECK_THROWS_WITH(highlight_ansi({"a"}, std::vector<double>{1}, {.full_scale = scale}),
                      heed::test::ContainsSubstring("heed::inspect::highlight: full_scale is "));
  }
  const std::vector<double> odd{inf, -inf, 5e-324, 1.7e308, 0};
  CHECK(count_of(highlight_ansi({"a", "b", "c", "d", "e"}, odd, {.percent = true}), "48;2;") == 5);
  CHECK(count_of(highlight_ansi({"a"}, std::vector<double>{inf}, {.full_scale = 5e-324}), "48;") ==
        1);
}

TEST_CASE("markup in tokens and title is text") {
  const std::string page = highlight_html({"<script>alert(1)</script>", "a&b", "\"q'"},
                                          std::vector<double>{1, 2, 3}, {.title = "</title><b>"});
  CHECK(count_of(page, "<script") == 0);
  CHECK(page.find("&lt;script&gt;alert(1)&lt;/script&gt;") != std::string::npos);
  CHECK(page.find("a&amp;b") != std::string::npos);
  CHECK(page.find("&quot;q&#39;") != std::string::npos);
  CHECK(count_of(page, "</title>") == 1);
  CHECK(count_of(page, "<b>") == 0);
}

TEST_CASE("a token cannot send the terminal an escape sequence or a new line") {
  const std::string line = highlight_ansi({"\x1b[2J", "a\nb\x7f",
                                           "\xc2\x9b"
                                           "31m"},
                                          std::vector<double>{1, 1, 1});
  CHECK(line.find("\x1b[2J") == std::string::npos);
  CHECK(line.find('\n') == std::string::npos);
  CHECK(line.find('\x7f') == std::string::npos);
  CHECK(line.find("\xc2\x9b") == std::string::npos);
  CHECK(line.find("\xEF\xBF\xBD[2J") != std::string::npos);
}

TEST_CASE("UTF-8 passes, malformed bytes become U+FFFD") {
  using heed::inspect::printable;
  CHECK(printable("caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80") ==
        "caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80");
  CHECK(printable("\xff") == "\xEF\xBF\xBD");
  CHECK(printable("\xe4\xb8") == "\xEF\xBF\xBD\xEF\xBF\xBD");  // cut short
  CHECK(printable("\xc0\xaf") == "\xEF\xBF\xBD\xEF\xBF\xBD");  // overlong '/'
  CHECK(printable("\xe0\x80\xaf") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(printable("\xed\xa0\x80").find('\xed') == std::string::npos);  // a surrogate
  CHECK(printable("\xf4\x90\x80\x80").find('\xf4') == std::string::npos);
  const char right_to_left_override[] = {'a', '\xe2', '\x80', '\xae', 'b', '\0'};
  CHECK(printable(right_to_left_override) == "a\xEF\xBF\xBD" + std::string("b"));
}

TEST_CASE("NaN weights show as such, negative and zero ones are pale") {
  const double nan = std::nan("");
  const std::string page = highlight_html({"a", "b"}, std::vector<double>{nan, -1}, {});
  CHECK(page.find("title=\"NaN\"") != std::string::npos);
  CHECK(page.find(heed::inspect::words::css(heed::inspect::palette::not_a_number)) !=
        std::string::npos);
  CHECK(page.find(heed::inspect::words::css(heed::inspect::blues()(0))) != std::string::npos);
  CHECK(highlight_ansi({"a"}, std::vector<double>{0}).ends_with("\x1b[0m"));
}

TEST_CASE("the 256-colour palette picks the nearest cube colour") {
  using heed::inspect::words::cube_index;
  CHECK(cube_index({0, 0, 0}) == 16);
  CHECK(cube_index({255, 255, 255}) == 231);
  CHECK(cube_index({95, 135, 175}) == 67);
  const std::string line = highlight_ansi({"a"}, std::vector<double>{1},
                                          {.terminal = heed::inspect::TerminalColors::palette_256});
  CHECK(line.find("\x1b[48;5;") == 0);
  CHECK(line.find(";2;") == std::string::npos);
}

TEST_CASE("tokens and weights must agree in number") {
  CHECK_THROWS_WITH(highlight_ansi({"a", "b"}, std::vector<float>{1}),
                    "heed::inspect::highlight: 2 tokens but 1 weights");
}

}  // namespace
