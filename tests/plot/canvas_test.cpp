// Drawing: text lands where it is anchored, at any angle, for any bytes, and clips at the edge.
#include <set>
#include <string>
#include <vector>

#include "heed/plot/canvas.hpp"
#include "support/catch.hpp"

namespace {

using heed::plot::Align;
using heed::plot::draw_text;
using heed::plot::Image;
using heed::plot::text_width;

struct Box {
  int left = 1 << 20, top = 1 << 20, right = -1, bottom = -1;

  bool empty() const { return right < 0; }
};

Box ink(const Image& image) {
  Box box;
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      if (image.at(x, y) == heed::plot::palette::white) continue;
      box.left = std::min(box.left, x), box.right = std::max(box.right, x);
      box.top = std::min(box.top, y), box.bottom = std::max(box.bottom, y);
    }
  }
  return box;
}

std::string pixels(const std::string& text) {
  Image image(200, 40);
  draw_text(image, text, {20, 20}, {.cap_height = 12});
  return {reinterpret_cast<const char*>(image.data()), 200 * 40 * 3};
}

TEST_CASE("text begins at a left anchor, ends at a right one, straddles a centre") {
  const double width = text_width("Attention", 12);
  Image left(300, 40), right(300, 40), center(300, 40);
  draw_text(left, "Attention", {100, 20}, {.cap_height = 12});
  draw_text(right, "Attention", {200, 20}, {.cap_height = 12, .align = Align::right});
  draw_text(center, "Attention", {150, 20}, {.cap_height = 12, .align = Align::center});
  CHECK(std::abs(ink(left).left - 100) <= 2);
  CHECK(std::abs(ink(left).right - 100 - width) <= 3);
  CHECK(std::abs(ink(right).right - 200) <= 3);
  CHECK(std::abs(ink(center).left + ink(center).right - 300) <= 4);
  CHECK(std::abs(ink(left).top - 14) <= 2);
  CHECK(std::abs(ink(left).bottom - 26) <= 2);
}

TEST_CASE("turned by 90 degrees, width becomes height and reads upwards") {
  Image image(60, 300);
  draw_text(image, "Attention", {30, 200}, {.cap_height = 12, .degrees = 90});
  const Box box = ink(image);
  const double width = text_width("Attention", 12);
  CHECK(std::abs(box.bottom - 200) <= 2);
  CHECK(std::abs(box.bottom - box.top - width) <= 4);
  CHECK(std::abs((box.left + box.right) / 2.0 - 30) <= 1);
}

TEST_CASE("turned by 45 degrees, it rises as far as it runs") {
  Image image(200, 200);
  draw_text(image, "mmmmmmmmmm", {20, 180}, {.cap_height = 12, .degrees = 45});
  const Box box = ink(image);
  CHECK(std::abs((box.right - box.left) - (box.bottom - box.top)) <= 3);
}

TEST_CASE("every printable ASCII character has its own look; a space has none") {
  std::set<std::string> looks;
  for (char c = '!'; c <= '~'; ++c) looks.insert(pixels(std::string(1, c)));
  CHECK(looks.size() >= 93);  // stb draws '-' and '_' or similar pairs apart; none may be blank
  CHECK_FALSE(looks.contains(pixels(" ")));
}

TEST_CASE("letters with accents look like their base letter") {
  CHECK(pixels("caf\xc3\xa9") == pixels("cafe"));
  CHECK(pixels("cafe\xcc\x81") == pixels("cafe"));
  CHECK(pixels("\xc5\xbdi\xc5\xbe") == pixels("Ziz"));
  CHECK(pixels("\xe2\x80\x9cq\xe2\x80\x9d") == pixels("\"q\""));
}

TEST_CASE("an ellipsis is three dots, not a box") {
  Image ellipsis(60, 40), dots(60, 40);
  draw_text(ellipsis, "\xe2\x80\xa6", {20, 20}, {.cap_height = 12});
  draw_text(dots, "...", {20, 20}, {.cap_height = 12});
  CHECK(std::abs(ink(ellipsis).top - ink(dots).top) <= 1);
  CHECK(std::abs(ink(ellipsis).bottom - ink(dots).bottom) <= 1);
  CHECK(ink(ellipsis).right >= ink(dots).right);  // single letters stand closer
  CHECK(ink(ellipsis).right - ink(dots).right <= 6);
}

TEST_CASE("lines break at spaces, and a per cent sign stays with its number") {
  using heed::plot::wrap_text;
  using Lines = std::vector<std::string>;
  CHECK(wrap_text("", 10, 100).empty());
  CHECK(wrap_text("one two", 10, 200) == Lines{"one two"});
  CHECK(wrap_text("one two", 10, text_width("one", 10) + 1) == Lines{"one", "two"});
  CHECK(wrap_text("of 62.5 % only", 10, text_width("of 62.5", 10) + 1) ==
        Lines{"of", "62.5 %", "only"});
  const Lines cut = wrap_text("antidisestablishmentarianism x", 10, 100);
  REQUIRE(cut.size() == 2);
  CHECK(cut[0].ends_with("..."));
}

TEST_CASE("a zero is empty inside, as an 8 is not, and narrower than an O") {
  const auto middle = [](const char* text) {
    Image image(40, 40);
    draw_text(image, text, {20, 20}, {.cap_height = 20, .align = heed::plot::Align::center});
    return image.at(20, 20);
  };
  CHECK(middle("0") == heed::plot::palette::white);
  CHECK(middle("8") != heed::plot::palette::white);
  CHECK(text_width("O", 11) > text_width("0", 11) + 1);
}

TEST_CASE("characters without a letter are distinct boxes, and bad bytes are U+FFFD") {
  CHECK(pixels("\xe4\xb8\xad") != pixels("\xe6\x96\x87"));
  CHECK(pixels("\xff") == pixels("\xEF\xBF\xBD"));
  CHECK(pixels("\xf0\x9f\x98\x80") != pixels(" "));
  CHECK(pixels("\x01") != pixels(" "));
}

TEST_CASE("text over the edge is clipped, empty text draws nothing") {
  Image image(20, 10);
  draw_text(image, "far too long for this", {-30, 5}, {.cap_height = 8});
  draw_text(image, "outside", {500, 500}, {.cap_height = 8});
  draw_text(image, "outside", {-500, -500}, {.cap_height = 8, .degrees = 45});
  CHECK_FALSE(ink(image).empty());
  Image blank(20, 10);
  draw_text(blank, "", {5, 5}, {});
  CHECK(ink(blank).empty());
  CHECK(text_width("", 10) == 0);
}

TEST_CASE("too long a text keeps its beginning and fits") {
  using heed::plot::fit_text;
  CHECK(fit_text("short", 10, 100) == "short");
  const std::string cut = fit_text("antidisestablishmentarianism", 10, 100);
  CHECK(cut.starts_with("anti"));
  CHECK(cut.ends_with("..."));
  CHECK(text_width(cut, 10) <= 100);
  const std::string chinese = fit_text("\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87", 10, 60);
  CHECK(chinese.size() % 3 == 0);
}

TEST_CASE("of a text of megabytes the first 4096 bytes count") {
  std::string text = "x";
  while (text.size() < 5'000'000) text += "\xe4\xb8\xad";
  const std::string_view first = std::string_view(text).substr(0, 1 + 3 * 1365);
  CHECK(text_width(text, 10) == text_width(first, 10));
  const std::string cut = heed::plot::fit_text(text, 10, 1e9);
  CHECK(cut.starts_with(first));
  CHECK(std::string_view(cut).substr(first.size()) == "...");
  std::fill(text.begin(), text.end(), 'x');
  for (std::size_t n = 1; n < text.size(); n += 2) text[n] = ' ';
  const auto lines = heed::plot::wrap_text(text, 10, 1e9);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].ends_with(" ..."));
}

}  // namespace
