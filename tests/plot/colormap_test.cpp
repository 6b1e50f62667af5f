// Colour maps: lightness moves one way, zero is where it should be, and the ends are the anchors.
#include "heed/plot/colormap.hpp"
#include "support/catch.hpp"

namespace {

using heed::plot::Color;
using heed::plot::Colormap;

double lightness(Color color) { return heed::plot::to_oklab(color).lightness; }

TEST_CASE("Oklab and back is the same colour") {
  for (int red = 0; red < 256; red += 15) {
    for (int green = 0; green < 256; green += 15) {
      for (int blue = 0; blue < 256; blue += 15) {
        const Color color{static_cast<std::uint8_t>(red), static_cast<std::uint8_t>(green),
                          static_cast<std::uint8_t>(blue)};
        REQUIRE(heed::plot::from_oklab(heed::plot::to_oklab(color)) == color);
      }
    }
  }
}

TEST_CASE("white has lightness 1 and no hue") {
  const auto white = heed::plot::to_oklab({255, 255, 255});
  CHECK(white.lightness == Approx(1).margin(1e-6));
  CHECK(white.a == Approx(0).margin(1e-6));
  CHECK(white.b == Approx(0).margin(1e-6));
}

TEST_CASE("blues darkens from end to end without a step back") {
  const Colormap map = heed::plot::blues();
  for (int i = 0; i < 255; ++i) {
    CAPTURE(i);
    REQUIRE(lightness(map((i + 1) / 255.0)) <= lightness(map(i / 255.0)) + 0.002);
  }
  CHECK(lightness(map(0)) > 0.95);
  CHECK(lightness(map(1)) < 0.35);
}

TEST_CASE("blues spends its lightness evenly") {
  const Colormap map = heed::plot::blues();
  const double whole = lightness(map(0)) - lightness(map(1));
  for (double t = 0; t < 0.95; t += 0.1) {
    const double step = lightness(map(t)) - lightness(map(t + 0.1));
    CAPTURE(t);
    CHECK(step > 0.05 * whole);
    CHECK(step < 0.15 * whole);
  }
}

TEST_CASE("red_blue is lightest at zero, and red means negative") {
  const Colormap map = heed::plot::red_blue();
  CHECK(map.diverging());
  for (int i = 0; i < 127; ++i) {
    CAPTURE(i);
    REQUIRE(lightness(map(i / 255.0)) <= lightness(map((i + 1) / 255.0)) + 0.002);
    REQUIRE(lightness(map(1 - i / 255.0)) <= lightness(map(1 - (i + 1) / 255.0)) + 0.002);
  }
  CHECK(map(0).red > map(0).blue);
  CHECK(map(1).blue > map(1).red);
  CHECK(std::abs(lightness(map(0)) - lightness(map(1))) < 0.05);
}

TEST_CASE("values outside the range take the end's colour") {
  const Colormap map = heed::plot::blues();
  CHECK(map(-3) == map(0));
  CHECK(map(1e9) == map(1));
}

TEST_CASE("a map's ends are its anchors, and one anchor is too few") {
  const Colormap map({{10, 20, 30}, {200, 100, 50}});
  CHECK(map(0) == Color{10, 20, 30});
  CHECK(map(1) == Color{200, 100, 50});
  CHECK_THROWS_AS(Colormap({{1, 2, 3}}), heed::Error);
}

TEST_CASE("text stands out from its ground") {
  for (const Colormap& map : {heed::plot::blues(), heed::plot::red_blue()}) {
    for (int i = 0; i <= 255; ++i) {
      const Color ground = map(i / 255.0);
      CAPTURE(i);
      CHECK(std::abs(lightness(heed::plot::text_on(ground)) - lightness(ground)) > 0.3);
    }
  }
}

}  // namespace
