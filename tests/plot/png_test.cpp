// PNG: what is written is what is read back, and what cannot be written says why.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#if __has_include(<stb_image.h>)
#include <stb_image.h>
#else
#include <stb/stb_image.h>
#endif
#pragma GCC diagnostic pop

#include "heed/plot/png.hpp"
#include "support/catch.hpp"

namespace {

using heed::plot::Image;

Image speckled(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.set(x, y,
                {static_cast<std::uint8_t>(x * 37 + y), static_cast<std::uint8_t>(y * 11),
                 static_cast<std::uint8_t>(x ^ y)});
    }
  }
  return image;
}

struct Decoded {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;
};

Decoded decode(const std::vector<std::uint8_t>& png) {
  Decoded image;
  int channels = 0;
  std::uint8_t* pixels = stbi_load_from_memory(png.data(), static_cast<int>(png.size()),
                                               &image.width, &image.height, &channels, 3);
  REQUIRE(pixels != nullptr);
  CHECK(channels == 3);
  image.pixels.assign(pixels, pixels + 3 * image.width * image.height);
  stbi_image_free(pixels);
  return image;
}

std::filesystem::path scratch(const std::string& name) {
  const auto folder = std::filesystem::temp_directory_path() / "heed_png_test";
  std::filesystem::create_directories(folder);
  return folder / name;
}

TEST_CASE("a picture survives encoding") {
  for (const auto& [width, height] : {std::pair{1, 1}, {2, 3}, {64, 1}, {1, 64}, {301, 207}}) {
    CAPTURE(width, height);
    const Image image = speckled(width, height);
    const Decoded back = decode(heed::plot::encode_png(image));
    REQUIRE(back.width == width);
    REQUIRE(back.height == height);
    CHECK(std::memcmp(back.pixels.data(), image.data(), back.pixels.size()) == 0);
  }
}

TEST_CASE("the file holds the encoded bytes and replaces an older one") {
  const auto path = scratch("picture.png");
  heed::plot::write_png(path, speckled(200, 200));
  heed::plot::write_png(path, speckled(20, 10));
  std::ifstream file(path, std::ios::binary);
  const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  CHECK(bytes == heed::plot::encode_png(speckled(20, 10)));
  std::filesystem::remove_all(path.parent_path());
}

TEST_CASE("an unwritable path is an error with path and reason") {
  CHECK_THROWS_WITH(
      heed::plot::write_png("/no/such/folder/x.png", speckled(2, 2)),
      "heed::plot::write_png: cannot write '/no/such/folder/x.png': No such file or directory");
  CHECK_THROWS_AS(heed::plot::write_png("/", speckled(2, 2)), heed::Error);
}

TEST_CASE("a full disk is an error") {
  if (!std::filesystem::exists("/dev/full")) return;
  const auto link = scratch("full.png");
  std::filesystem::remove(link);
  std::filesystem::create_symlink("/dev/full", link);
  CHECK_THROWS_WITH(heed::plot::write_png(link, speckled(2, 2)),
                    heed::test::ContainsSubstring("No space left on device"));
  CHECK(std::filesystem::exists("/dev/full"));
  std::filesystem::remove_all(link.parent_path());
}

TEST_CASE("a picture without pixels cannot be a PNG") {
  CHECK_THROWS_WITH(heed::plot::encode_png(Image(0, 5)),
                    "heed::plot::encode_png: the image is empty (0 x 5)");
}

}  // namespace
