// Animated PNG, read back by a parser that shares nothing with the writer: a chunk walk, a CRC bit
// by bit, an inflate bit by bit, and PNG's filters undone.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "heed/plot/animation.hpp"
#include "support/catch.hpp"

namespace {

using heed::plot::AnimationOptions;
using heed::plot::encode_apng;
using heed::plot::Image;
using heed::plot::write_apng;
using Bytes = std::vector<std::uint8_t>;

// ---- a slow reader ------------------------------------------------------------------------------

struct Chunk {
  std::string type;
  Bytes data;
};

std::uint32_t number(const Bytes& bytes, std::size_t at, std::size_t size = 4) {
  REQUIRE(at + size <= bytes.size());
  std::uint32_t value = 0;
  for (std::size_t n = 0; n < size; ++n) value = value * 256 + bytes[at + n];
  return value;
}

// The remainder of the message's polynomial, one bit at a time, highest bit first: the definition,
// with the bits of every byte and of the result reversed.
std::uint32_t slow_crc(const Bytes& bytes) {
  std::uint32_t remainder = 0xFFFFFFFF;
  for (const std::uint8_t byte : bytes) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const bool top = (remainder >> 31U) != ((byte >> bit) & 1U);
      remainder = (remainder << 1U) ^ (top ? 0x04C11DB7U : 0U);
    }
  }
  std::uint32_t reversed = 0;
  for (unsigned bit = 0; bit < 32; ++bit) reversed |= ((remainder >> bit) & 1U) << (31U - bit);
  return ~reversed;
}

std::vector<Chunk> chunks_of(const Bytes& file) {
  const Bytes signature{137, 80, 78, 71, 13, 10, 26, 10};
  REQUIRE(file.size() > 8);
  CHECK(Bytes(file.begin(), file.begin() + 8) == signature);
  std::vector<Chunk> chunks;
  for (std::size_t at = 8; at < file.size();) {
    const auto size = static_cast<std::ptrdiff_t>(number(file, at));
    const auto type = file.begin() + static_cast<std::ptrdiff_t>(at) + 4;
    REQUIRE(file.end() - type >= size + 8);
    chunks.push_back({std::string(type, type + 4), Bytes(type + 4, type + 4 + size)});
    CHECK(number(file, at + 8 + static_cast<std::size_t>(size)) ==
          slow_crc(Bytes(type, type + 4 + size)));
    at += 12 + static_cast<std::size_t>(size);
  }
  return chunks;
}

// RFC 1951, with a code as a list of (length, value) searched for every bit.
class Inflate {
 public:
  explicit Inflate(const Bytes& zlib) : in_(zlib), at_(16) {  // behind zlib's two bytes
    REQUIRE(number(zlib, 0, 2) % 31 == 0);
    REQUIRE((zlib[0] & 15U) == 8);
    for (bool last = false; !last;) {
      last = bits(1) == 1;
      const unsigned kind = bits(2);
      REQUIRE(kind < 3);
      if (kind == 0) {
        stored();
      } else {
        kind == 1 ? fixed() : dynamic();
        compressed();
      }
    }
    std::uint32_t a = 1, b = 0;  // RFC 1950: Adler-32
    for (const std::uint8_t byte : out) a = (a + byte) % 65521, b = (b + a) % 65521;
    CHECK(number(zlib, (at_ + 7) / 8) == b * 65536 + a);
    CHECK((at_ + 7) / 8 + 4 == zlib.size());
  }

  Bytes out;

 private:
  unsigned bits(unsigned count) {
    unsigned value = 0;
    for (unsigned n = 0; n < count; ++n, ++at_) {
      value |= ((unsigned{in_.at(at_ / 8)} >> (at_ % 8)) & 1U) << n;
    }
    return value;
  }

  unsigned decode(const std::vector<unsigned>& lengths) {
    unsigned code = 0, first = 0;
    for (unsigned length = 1; length < 16; ++length) {
      code = code * 2 + bits(1);
      first *= 2;
      for (unsigned value = 0; value < lengths.size(); ++value) {
        if (lengths[value] == length && code == first++) return value;
      }
    }
    FAIL("no such code");
    return 0;
  }

  void stored() {
    at_ = (at_ + 7) / 8 * 8;
    const unsigned size = bits(16);
    CHECK(bits(16) == 65535 - size);
    for (unsigned n = 0; n < size; ++n) out.push_back(static_cast<std::uint8_t>(bits(8)));
  }

  void fixed() {
    symbols_.assign(288, 8);
    for (unsigned n = 144; n < 280; ++n) symbols_[n] = n < 256 ? 9 : 7;
    distances_.assign(30, 5);
  }

  void dynamic() {
    const unsigned symbols = bits(5) + 257, distances = bits(5) + 1, count = bits(4) + 4;
    const unsigned order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    std::vector<unsigned> meta(19), lengths;
    for (unsigned n = 0; n < count; ++n) meta[order[n]] = bits(3);
    while (lengths.size() < symbols + distances) {
      const unsigned what = decode(meta);
      if (what < 16) {
        lengths.push_back(what);
      } else {
        const unsigned before = what == 16 ? lengths.back() : 0;
        const unsigned again = what == 16 ? 3 + bits(2) : what == 17 ? 3 + bits(3) : 11 + bits(7);
        lengths.insert(lengths.end(), again, before);
      }
    }
    symbols_.assign(lengths.begin(), lengths.begin() + symbols);
    distances_.assign(lengths.begin() + symbols, lengths.end());
  }

  void compressed() {
    for (unsigned symbol = decode(symbols_); symbol != 256; symbol = decode(symbols_)) {
      if (symbol < 256) {
        out.push_back(static_cast<std::uint8_t>(symbol));
        continue;
      }
      const unsigned l = symbol - 257;
      const unsigned length_bits = l < 8 || l == 28 ? 0 : l / 4 - 1;
      const unsigned base = l == 28 ? 258 : l < 8 ? l + 3 : ((4 + l % 4) << length_bits) + 3;
      const unsigned length = base + bits(length_bits);
      const unsigned d = decode(distances_), distance_bits = d < 4 ? 0 : d / 2 - 1;
      const std::size_t back = (d < 4 ? d : (2 + d % 2) << distance_bits) + 1 + bits(distance_bits);
      REQUIRE(back <= out.size());
      for (unsigned n = 0; n < length; ++n) out.push_back(out[out.size() - back]);
    }
  }

  const Bytes& in_;
  std::size_t at_;  // in bits
  std::vector<unsigned> symbols_, distances_;
};

// PNG, section 9: what each row's filter took off is added again.
Bytes unfiltered(const Bytes& data, std::size_t width, std::size_t height) {
  const std::size_t row = 3 * width;
  REQUIRE(data.size() == (row + 1) * height);
  Bytes pixels(row * height);
  for (std::size_t y = 0; y < height; ++y) {
    const unsigned filter = data[y * (row + 1)];
    REQUIRE(filter < 5);
    for (std::size_t x = 0; x < row; ++x) {
      const int left = x < 3 ? 0 : pixels[y * row + x - 3];
      const int up = y == 0 ? 0 : pixels[(y - 1) * row + x];
      const int corner = x < 3 || y == 0 ? 0 : pixels[(y - 1) * row + x - 3];
      const int p = left + up - corner;
      const int l = std::abs(p - left), u = std::abs(p - up), c = std::abs(p - corner);
      const int paeth = l <= u && l <= c ? left : u <= c ? up : corner;
      const int guess[] = {0, left, up, (left + up) / 2, paeth};
      pixels[y * row + x] = static_cast<std::uint8_t>(data[y * (row + 1) + 1 + x] + guess[filter]);
    }
  }
  return pixels;
}

Bytes bytes_of(const Image& image) {
  return {image.data(), image.data() + 3 * image.width() * image.height()};
}

Image speckled(int width, int height, int seed) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      if ((x * seed + y) % 3 == 0) continue;  // runs of white, which repeat
      image.set(x, y,
                {static_cast<std::uint8_t>(x * 37 + seed), static_cast<std::uint8_t>(y * 11),
                 static_cast<std::uint8_t>(x ^ (y * seed))});
    }
  }
  return image;
}

// ---- the tests ----------------------------------------------------------------------------------

void check_animation(const std::vector<Image>& frames, const AnimationOptions& options) {
  const auto width = static_cast<std::uint32_t>(frames[0].width());
  const auto height = static_cast<std::uint32_t>(frames[0].height());
  const auto chunks = chunks_of(encode_apng(frames, options));
  REQUIRE(chunks.size() == 3 + 2 * frames.size());
  CHECK(chunks[0].type == "IHDR");
  REQUIRE(chunks[0].data.size() == 13);
  CHECK(number(chunks[0].data, 0) == width);
  CHECK(number(chunks[0].data, 4) == height);
  CHECK(Bytes(chunks[0].data.begin() + 8, chunks[0].data.end()) == Bytes{8, 2, 0, 0, 0});
  CHECK(chunks[1].type == "acTL");
  REQUIRE(chunks[1].data.size() == 8);
  CHECK(number(chunks[1].data, 0) == frames.size());
  CHECK(number(chunks[1].data, 4) == static_cast<std::uint32_t>(options.loops));
  CHECK(chunks.back().type == "IEND");
  CHECK(chunks.back().data.empty());
  std::uint32_t sequence = 0;
  for (std::size_t n = 0; n < frames.size(); ++n) {
    CAPTURE(n);
    const Chunk &control = chunks[2 + 2 * n], &pixels = chunks[3 + 2 * n];
    CHECK(control.type == "fcTL");
    REQUIRE(control.data.size() == 26);
    CHECK(number(control.data, 0) == sequence++);
    CHECK(number(control.data, 4) == width);
    CHECK(number(control.data, 8) == height);
    CHECK(number(control.data, 12) == 0);
    CHECK(number(control.data, 16) == 0);
    CHECK(number(control.data, 20, 2) == static_cast<std::uint32_t>(options.delay_ms));
    CHECK(number(control.data, 22, 2) == 1000);
    CHECK(number(control.data, 24, 2) == 0);
    CHECK(pixels.type == (n == 0 ? "IDAT" : "fdAT"));
    Bytes zlib = pixels.data;
    if (n > 0) {
      CHECK(number(zlib, 0) == sequence++);
      zlib.erase(zlib.begin(), zlib.begin() + 4);
    }
    CHECK(unfiltered(Inflate(zlib).out, width, height) == bytes_of(frames[n]));
  }
}

TEST_CASE("an animation's chunks, sequence numbers and pixels") {
  for (const auto& [width, height] : {std::pair{1, 1}, {5, 1}, {1, 7}, {40, 23}}) {
    for (const int count : {1, 2, 5}) {
      CAPTURE(width, height, count);
      std::vector<Image> frames;
      for (int n = 0; n < count; ++n) frames.push_back(speckled(width, height, n + 1));
      check_animation(frames, {});
      check_animation(frames, {.delay_ms = 1, .loops = 2147483647});
      check_animation(frames, {.delay_ms = 65535, .loops = 1});
    }
  }
}

TEST_CASE("the slow CRC is the standard's") {
  const std::string digits = "123456789";
  CHECK(slow_crc(Bytes(digits.begin(), digits.end())) == 0xCBF43926U);
}

TEST_CASE("what cannot be an animation is an error with the argument and its value") {
  const std::vector<Image> two{Image(4, 3), Image(4, 3)};
  const auto said = [&](const AnimationOptions& options) {
    try {
      encode_apng(two, options);
    } catch (const heed::Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK_THROWS_WITH(encode_apng({}), "heed::plot::encode_apng: 0 frames");
  CHECK_THROWS_WITH(encode_apng({Image(4, 3), Image(4, 3), Image(3, 4)}),
                    "heed::plot::encode_apng: frame 2 is 3 x 4 but frame 0 is 4 x 3");
  CHECK_THROWS_AS(encode_apng({Image(0, 3), Image(0, 3)}), heed::Error);
  CHECK(said({.delay_ms = 0}) == "heed::plot::encode_apng: delay_ms is 0, outside [1, 65535]");
  CHECK(said({.delay_ms = -1}) == "heed::plot::encode_apng: delay_ms is -1, outside [1, 65535]");
  CHECK(said({.delay_ms = 65536}) ==
        "heed::plot::encode_apng: delay_ms is 65536, outside [1, 65535]");
  CHECK(said({.loops = -1}) == "heed::plot::encode_apng: loops is -1, below 0");
  CHECK(said({}) == "accepted");
}

TEST_CASE("the file holds the encoded bytes; what cannot be written is an error with the reason") {
  const auto folder = std::filesystem::temp_directory_path() / "heed_animation_test";
  std::filesystem::create_directories(folder);
  const std::vector<Image> frames{speckled(9, 9, 1), speckled(9, 9, 2)};
  write_apng(folder / "a.png", frames, {.delay_ms = 40, .loops = 3});
  std::ifstream file(folder / "a.png", std::ios::binary);
  CHECK(Bytes{std::istreambuf_iterator<char>(file), {}} ==
        encode_apng(frames, {.delay_ms = 40, .loops = 3}));
  CHECK_THROWS_WITH(
      write_apng("/no/such/folder/x.png", frames),
      "heed::plot::write_apng: cannot write '/no/such/folder/x.png': No such file or directory");
  if (std::filesystem::exists("/dev/full")) {
    std::filesystem::create_symlink("/dev/full", folder / "full.png");
    CHECK_THROWS_WITH(write_apng(folder / "full.png", frames),
                      heed::test::ContainsSubstring("No space left on device"));
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("frames of heat maps have one size and one range, whatever their titles and NaNs") {
  std::vector<Eigen::MatrixXd> layers(3, Eigen::MatrixXd::Zero(4, 4));
  layers[0](0, 0) = 1;
  layers[1](0, 0) = 4;
  layers[0](3, 3) = std::nan("");
  const std::string wide(60, 'm');
  const auto frames =
      heed::plot::heatmap_frames(layers, {"Layer 1", wide, "Layer 3"}, {.plot_size = 80});
  REQUIRE(frames.size() == 3);
  namespace heat = heed::plot::heat;
  for (std::size_t n = 0; n < 3; ++n) {
    CAPTURE(n);
    CHECK(frames[n].width() == frames[0].width());
    CHECK(frames[n].height() == frames[0].height());
    const heed::plot::HeatmapOptions options{
        .title = n == 1 ? wide : "Layer " + std::to_string(n + 1),
        .range = heed::plot::Range{0, 4},
        .plot_size = 80};
    const Image alone = heed::plot::heatmap(layers[n], options);
    Image part(alone.width(), alone.height());
    part.paste(frames[n], 0, 0);
    CHECK(bytes_of(part) == bytes_of(alone));
  }
  CHECK_NOTHROW(encode_apng(frames));
  CHECK_THROWS_WITH(heed::plot::heatmap_frames(layers, {"one"}),
                    "heed::plot::heatmap_frames: 3 matrices but 1 titles");
  CHECK(heed::plot::same_size({}).empty());
}

}  // namespace
