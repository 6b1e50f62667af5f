// An Image holds what was drawn, clips what was not inside, and refuses what cannot be.
#include "heed/plot/image.hpp"
#include "support/catch.hpp"

namespace {

using heed::plot::Color;
using heed::plot::Image;

constexpr Color red{200, 10, 20};

TEST_CASE("a new image is its background") {
  const Image image(3, 2, red);
  REQUIRE(image.width() == 3);
  REQUIRE(image.height() == 2);
  CHECK(image.at(0, 0) == red);
  CHECK(image.at(2, 1) == red);
}

TEST_CASE("pixels are red, green, blue, row by row") {
  Image image(2, 2, Color{0, 0, 0});
  image.set(1, 0, {1, 2, 3});
  image.set(0, 1, {4, 5, 6});
  const std::uint8_t expected[12] = {0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0};
  CHECK(std::equal(expected, expected + 12, image.data()));
}

TEST_CASE("a rectangle fills exactly its half-open area") {
  Image image(6, 5);
  image.fill({1, 2, 3, 2}, red);
  for (int y = 0; y < 5; ++y) {
    for (int x = 0; x < 6; ++x) {
      const bool inside = x >= 1 && x < 4 && y >= 2 && y < 4;
      CAPTURE(x, y);
      CHECK((image.at(x, y) == red) == inside);
    }
  }
}

TEST_CASE("a frame is one pixel wide and leaves the inside") {
  Image image(5, 5);
  image.frame({0, 0, 5, 5}, red);
  CHECK(image.at(0, 0) == red);
  CHECK(image.at(4, 4) == red);
  CHECK(image.at(4, 0) == red);
  CHECK(image.at(1, 1) == heed::plot::palette::white);
}

TEST_CASE("drawing outside is clipped") {
  Image image(2, 2);
  image.set(-1, 0, red);
  image.set(0, 7, red);
  image.fill({-5, -5, 6, 6}, red);
  image.fill({1, 1, 100, 100}, red);
  image.paste(Image(3, 3, Color{9, 9, 9}), 1, -2);
  CHECK(image.at(0, 0) == red);
  CHECK(image.at(1, 1) == red);
  CHECK(image.at(1, 0) == Color{9, 9, 9});
  CHECK(image.at(0, 1) == heed::plot::palette::white);
}

TEST_CASE("blending mixes by coverage") {
  Image image(1, 1, Color{0, 100, 200});
  image.blend(0, 0, {100, 100, 0}, 0.5F);
  CHECK(image.at(0, 0) == Color{50, 100, 100});
  image.blend(0, 0, red, 1.0F);
  CHECK(image.at(0, 0) == red);
}

TEST_CASE("an empty image is legal, a negative one is not") {
  CHECK(Image(0, 0).width() == 0);
  CHECK_THROWS_AS(Image(-1, 4), heed::Error);
  CHECK_THROWS_WITH(Image(2, 2).at(2, 0), "heed::plot::Image::at: pixel (2, 0) is outside 2 x 2");
}

}  // namespace
